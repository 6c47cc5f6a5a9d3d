"""The Celery application; its configuration and the beat table are in `mdmportal.settings`."""

import os

from celery import Celery

from operations import broker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mdmportal.settings")

broker.install()
app = Celery("mdmportal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
