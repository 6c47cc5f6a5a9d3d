"""Which enrollments are to be woken, and when: asking for a push, claiming what is due, going quiet.

`Enrollment.next_push_at` is the whole truth: a lost message or a crash delays a push until the next sweep, no more.
The network is in `devices.apns`.
"""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, Subquery

from devices.models import Command, Enrollment
from operations.background import start_on_commit

CHUNK = 500
# How long a claimed push may take before the sweep believes that its worker died.
LEASE = timedelta(minutes=2)
CEILING = timedelta(hours=24)
FIRST_RETRY = timedelta(seconds=30)


def push_soon(enrollment_pks: Iterable[int], now: datetime) -> None:
    """Wake these channels once the transaction commits; repeats before that are one push."""
    from devices import tasks  # the tasks import this module

    for chunk in chunks(sorted(set(enrollment_pks))):
        Enrollment.objects.filter(pk__in=chunk).update(next_push_at=now, push_attempts=0)
        start_on_commit(tasks.push, chunk)


def chunks(pks: list[int]) -> Iterable[list[int]]:
    """`pks` in pieces of 500, which is one message, one claim and a second of pushing."""
    return (pks[start : start + CHUNK] for start in range(0, len(pks), CHUNK))


def claim(enrollment_pks: Collection[int], *, topics: Collection[str], now: datetime) -> list[Enrollment]:
    """Take those of `enrollment_pks` that are due, for `LEASE`; nobody else gets them meanwhile."""
    due = Enrollment.objects.push_due(now).filter(pk__in=enrollment_pks, topic__in=topics).order_by("pk")
    with transaction.atomic():
        # The lock closes the race of a task and the sweep that push the same channel; SQLite's BEGIN IMMEDIATE does too.
        claimed = list(due.select_for_update(skip_locked=True))
        Enrollment.objects.filter(pk__in=[row.pk for row in claimed]).update(next_push_at=now + LEASE)
    return claimed


def due(now: datetime, *, topics: Collection[str], limit: int) -> list[int]:
    """The channels whose push is due and that a usable certificate can reach, the longest waiting first."""
    rows = Enrollment.objects.push_due(now).filter(topic__in=topics).order_by("next_push_at", "pk")
    return list(rows.values_list("pk", flat=True)[:limit])


def go_quiet(now: datetime) -> int:
    """Stop pushing channels that were woken and have nothing open now; one statement.

    A command with a later `not_before` sets the next push to that moment.
    """
    open_commands = Command.objects.open().filter(enrollment=OuterRef("pk"))
    open_commands = open_commands.filter(Q(expires_at=None) | Q(expires_at__gt=now))
    ready = open_commands.filter(Q(not_before=None) | Q(not_before__lte=now))
    first = open_commands.order_by("not_before").values("not_before")[:1]
    # A reason means that the last push was not accepted: the device was not woken, so it is tried again.
    woken = Enrollment.objects.push_due(now).filter(push_attempts__gt=0, push_reason="")
    return woken.filter(~Exists(ready)).update(next_push_at=Subquery(first), push_attempts=0)


def repush_at(attempts: int, now: datetime) -> datetime:
    """When to wake a channel again that was woken `attempts` times before and still has open commands."""
    return now + _doubled(settings.REPUSH_INTERVAL, attempts)


def retry_at(attempts: int, now: datetime) -> datetime:
    """When to try again a push that failed after `attempts` earlier ones."""
    return now + _doubled(min(FIRST_RETRY, settings.REPUSH_INTERVAL), attempts)


def _doubled(interval: timedelta, attempts: int) -> timedelta:
    # 2**20 times any interval of at least a second is past the ceiling.
    return min(interval * (1 << min(attempts, 20)), CEILING)
