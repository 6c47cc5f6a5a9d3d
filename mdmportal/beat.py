"""Celery beat that never ticks twice: it holds a lease in the database while it ticks.

Every job of the schedule finds in the database whatever is due, so nothing of beat's own is kept: when it gets the
lease, each job runs at once, which catches up with whatever was missed while no beat ran.
"""

import logging
import os
import secrets
import socket
from datetime import UTC, datetime, timedelta
from typing import Any

from celery.beat import Scheduler
from django.db import DatabaseError, connection
from django.utils import timezone

from operations.models import Lease

log = logging.getLogger(__name__)

LEASE = "beat"
LIFETIME = timedelta(seconds=30)
RENEWAL = timedelta(seconds=10)
# Seconds between two looks at a lease that another beat holds.
WAIT = 2.0
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def holder() -> str:
    """Who we are: the supervisor's name for its beat, which a restarted beat takes up again, else this process."""
    return os.environ.get("PORTAL_BEAT_HOLDER") or f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


class LeaseScheduler(Scheduler):
    """Celery's scheduler in memory, behind the lease."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.holder = holder()
        self.held_until: datetime | None = None
        self.renew_at: datetime | None = None
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """One step of the schedule, or a pause while another beat holds the lease; returns seconds to wait."""
        if not self.hold(timezone.now()):
            return WAIT
        return float(super().tick(*args, **kwargs))

    def hold(self, now: datetime) -> bool:
        """True while the lease is ours, prolonging it in time."""
        if self.renew_at is not None and now < self.renew_at:
            return True
        held = self._claim(now)
        if held and (self.held_until is None or now >= self.held_until):
            # New, or lost in between (we were stopped for longer than it lasts): start over.
            log.info("beat: holds the lease")
            self._everything_is_due()
        if not held and self.held_until is not None:
            log.warning("beat: lost the lease")
        self.held_until = now + LIFETIME if held else None
        self.renew_at = now + RENEWAL if held else None
        return held

    def close(self) -> None:
        """Give the lease back, so that the next beat need not wait for its end."""
        if self.held_until is not None:
            self._claim(timezone.now(), lifetime=timedelta(0))
            self.held_until = self.renew_at = None
        super().close()

    def _claim(self, now: datetime, lifetime: timedelta = LIFETIME) -> bool:
        try:
            return Lease.objects.claim(LEASE, self.holder, now=now, lifetime=lifetime)
        except DatabaseError as error:
            log.warning("beat: the database does not answer (%s)", type(error).__name__)
            connection.close()  # the next try makes a new one
            return False

    def _everything_is_due(self) -> None:
        for entry in self.schedule.values():
            entry.last_run_at = LONG_AGO
        self._heap = None
