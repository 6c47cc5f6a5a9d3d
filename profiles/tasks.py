"""Background jobs of the profiles app: doors only. Each is idempotent and finds in the database whatever is due."""

from celery import shared_task
from django.utils import timezone

from profiles import assignment, gate, secrets


@shared_task
def plan_all() -> None:
    """Plan the whole fleet: after a publication or an assignment, and as the sweep that heals what was missed."""
    assignment.plan_all(timezone.now())


@shared_task
def plan_due() -> None:
    """Plan what tries again now."""
    assignment.plan_due(timezone.now())


@shared_task
def plan_enrollments(enrollment_ids: list[int]) -> None:
    """Plan some enrollments."""
    assignment.plan(enrollment_ids, timezone.now())


@shared_task
def poll_due() -> None:
    """Ask the devices whose verdict is due, and show the new dates on what waits for them."""
    now = timezone.now()
    assignment.plan(gate.poll_due(now), now)


@shared_task
def sweep_held() -> None:
    """Forget values that forms held for their owners."""
    secrets.sweep_held(timezone.now())
