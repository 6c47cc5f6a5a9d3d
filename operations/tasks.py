"""Background doors of this app."""

from celery import shared_task
from django.utils import timezone

from operations import delivery


@shared_task
def deliver_alerts() -> None:
    """Mail and post the alerts that are due."""
    delivery.deliver_due(timezone.now())
