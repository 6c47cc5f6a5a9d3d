"""The portal as one Django project: settings, URLs, Celery, checks, and the pages and commands that show several apps."""

from mdmportal.celery import app as celery_app

__all__ = ["celery_app"]
