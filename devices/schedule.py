"""When to ask a device again whether it complies: often in Apple's first hour, then slower, until a deadline.

Pure; the numbers come from the settings (GATE_*) through `from_settings`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings


@dataclass(frozen=True, slots=True, kw_only=True)
class PollIntervals:
    """How often to ask. The periods count from when waiting began; after the hourly one it is daily.

    `fast_period` covers Apple's 60 minutes in which a user may put the passcode off. `proved_interval` is for
    devices that have proved it; `deadline` is when somebody is told.
    """

    fast_interval: timedelta
    fast_period: timedelta
    hourly_interval: timedelta
    hourly_period: timedelta
    daily_interval: timedelta
    deadline: timedelta
    proved_interval: timedelta


def from_settings() -> PollIntervals:
    """The intervals of this installation."""
    return PollIntervals(
        fast_interval=settings.GATE_FAST_INTERVAL,
        fast_period=settings.GATE_FAST_PERIOD,
        hourly_interval=settings.GATE_HOURLY_INTERVAL,
        hourly_period=settings.GATE_HOURLY_PERIOD,
        daily_interval=settings.GATE_DAILY_INTERVAL,
        deadline=settings.GATE_DEADLINE,
        proved_interval=settings.GATE_PROVED_INTERVAL,
    )


def next_poll(waiting_since: datetime | None, *, now: datetime, proved: bool, intervals: PollIntervals) -> datetime:
    """The moment of the next question, always after `now`.

    `waiting_since` is when the wait for proof began (the requirement was acknowledged); None counts as now. Past
    the deadline the daily question goes on, so that a device that comes back is let in.
    """
    if proved:
        return now + intervals.proved_interval
    since = now if waiting_since is None else min(waiting_since, now)
    waited = now - since
    if waited < intervals.fast_period:
        return now + intervals.fast_interval
    if waited < intervals.fast_period + intervals.hourly_period:
        return now + intervals.hourly_interval
    return now + intervals.daily_interval


def deadline(waiting_since: datetime, intervals: PollIntervals) -> datetime:
    """When somebody is to be told that the device still has not proved it."""
    return waiting_since + intervals.deadline
