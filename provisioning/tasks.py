"""Celery's doors to the provisioning app: each finds its work in the database, so that a lost message costs time only."""

from celery import shared_task
from django.utils import timezone

from operations.background import start_on_commit
from provisioning import alerts, keys, polling, renewals, rollout


@shared_task
def plan_enrollments(enrollment_ids: list[int]) -> None:
    """Plan these enrollments."""
    rollout.plan(enrollment_ids, timezone.now())


@shared_task
def plan_all() -> None:
    """Plan the whole fleet: heals whatever a lost message or a crash left undone."""
    rollout.plan_all(timezone.now())


@shared_task
def plan_due() -> None:
    """Plan the enrollments whose next act has come."""
    rollout.plan_due(timezone.now())


@shared_task
def scan_profiles() -> None:
    """Begin the renewals that are due."""
    for renewal_pk in renewals.scan(timezone.now()):
        start_on_commit(advance_renewal, renewal_pk)


@shared_task
def advance_renewals() -> None:
    """Find the renewals that have a step to take, and fan out."""
    for renewal_pk in renewals.due(timezone.now()):
        start_on_commit(advance_renewal, renewal_pk)


@shared_task
def advance_renewal(renewal_pk: int) -> None:
    """Take one renewal as far as it goes now."""
    now = timezone.now()
    renewals.advance(renewal_pk, now, client_for=lambda key: keys.client_for(key, now=now))


@shared_task
def poll_lists() -> None:
    """Ask devices for their lists where the last one is a day old."""
    polling.poll_lists(timezone.now())


@shared_task
def check_api_keys() -> None:
    """Try every key, so that a lapsed agreement or membership is known before a renewal needs it."""
    keys.check_keys(timezone.now())


@shared_task
def warn() -> None:
    """Raise alerts for ends, certificates, keys, and renewals that need somebody."""
    alerts.warn(timezone.now())
