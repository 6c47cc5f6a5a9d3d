"""Celery's doors to the devices app: each finds its work in the database, so that a lost message costs time only."""

from celery import shared_task
from django.utils import timezone

from devices import apns, bulk, expiring
from devices.models import Command, CommandState
from devices.push import chunks, due, go_quiet
from operations.background import start_on_commit

# More than a sweep's worth is found by the next one, and messages do not pile up in a broker that is behind.
SWEEP_LIMIT = 20_000


@shared_task
def push(enrollment_pks: list[int]) -> None:
    """Push those of these enrollments that are due."""
    apns.send_pushes(enrollment_pks, timezone.now())


@shared_task
def push_due() -> None:
    """Find whatever is due, also again because commands are still open, and fan out."""
    now = timezone.now()
    go_quiet(now)
    topics = list(apns.usable_certificates())
    expiring.tell_of_unreachable(topics, now)
    for chunk in chunks(due(now, topics=topics, limit=SWEEP_LIMIT)):
        start_on_commit(push, chunk)


@shared_task
def expire_commands() -> None:
    """Close open commands past their end."""
    now = timezone.now()
    Command.objects.expired(now).update(state=CommandState.EXPIRED, completed_at=now)


@shared_task
def run_bulk(operation_pk: int) -> None:
    """Send the next commands of a bulk operation, and start again for the rest."""
    if bulk.run(operation_pk, timezone.now()):
        start_on_commit(run_bulk, operation_pk)


@shared_task
def run_bulks() -> None:
    """Find the bulk operations that were left unfinished, and fan out."""
    for operation_pk in bulk.abandoned(timezone.now()):
        start_on_commit(run_bulk, operation_pk)


@shared_task
def warn_expiring() -> None:
    """Raise alerts for what ends soon."""
    expiring.warn(timezone.now())
