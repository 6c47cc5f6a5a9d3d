"""Celery's doors to the endpoint: what a crash left between an answer and its handler, and what was too large."""

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from devices.models import UnmatchedReport
from endpoint import reports, unmatched

# More than a sweep's worth is found by the next one.
SWEEP_LIMIT = 1000
PARKED_FOR = timedelta(seconds=10)


@shared_task
def handle_reports() -> None:
    """Find stored answers that nobody handled, and large reports that nobody read, and fan out."""
    now = timezone.now()
    for command_pk in reports.unhandled(now, limit=SWEEP_LIMIT):
        handle_report.apply_async(args=(command_pk,), ignore_result=True, retry=False)
    parked = UnmatchedReport.objects.filter(reason=unmatched.WAITING, received_at__lt=now - PARKED_FOR)
    for kept_pk in parked.values_list("pk", flat=True)[:SWEEP_LIMIT]:
        read_large_report.apply_async(args=(kept_pk,), ignore_result=True, retry=False)


@shared_task
def handle_report(command_pk: int) -> None:
    """Let one stored answer take effect."""
    reports.handle_report(command_pk, timezone.now())


@shared_task
def read_large_report(kept_pk: int) -> None:
    """Read one parked report."""
    reports.read_large_report(kept_pk, timezone.now())
