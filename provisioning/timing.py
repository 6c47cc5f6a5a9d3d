"""When a lineage is renewed, and how a renewal paces itself: lead, soak, waves, back-off.

Pure; the numbers come from the settings (PROVISIONING_*) through `from_settings`. The demo shrinks a year to minutes,
so every distance that counts from a profile's end is also bounded by a share of its life.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

# Days before an end at which IT is told.
THRESHOLDS = (60, 30, 14, 7, 3, 1)
# The lead at which iOS nags nobody yet: it warns users about thirty days ahead.
_USUAL_LEAD = timedelta(days=45)
# A new profile that ends hardly later than the old one is not worth a roll-out.
_LEAST_GAIN = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The pace of this installation.

    `lifetime` is what Apple gives a new profile; `lease` how long a step may take before another worker takes over;
    `look_interval` what must lie between two looks for a lost attempt; `slow_retry` how often what needs somebody is
    tried again by itself; `waves` the shares of the fleet, in per cent, that are woken one after the other.
    """

    lead: timedelta = _USUAL_LEAD
    lifetime: timedelta = timedelta(days=365)
    canary_soak: timedelta = timedelta(hours=24)
    wave_interval: timedelta = timedelta(hours=24)
    waves: tuple[int, ...] = (10, 50, 100)
    poll_interval: timedelta = timedelta(minutes=5)
    cleanup_after: timedelta = timedelta(days=7)
    back_off: tuple[timedelta, ...] = (
        timedelta(seconds=30),
        timedelta(minutes=2),
        timedelta(minutes=10),
        timedelta(hours=1),
    )
    look_interval: timedelta = timedelta(seconds=30)
    slow_retry: timedelta = timedelta(days=1)
    lease: timedelta = timedelta(minutes=15)

    def retry_after(self, attempts: int) -> timedelta:
        """How long to wait after this many tries that failed (one or more); it never gives up."""
        return self.back_off[min(max(attempts, 1), len(self.back_off)) - 1]

    def soak(self, since: datetime, ends: datetime) -> timedelta:
        """How long the canaries are watched that were woken at `since`; less when the old profile `ends` soon."""
        return _hurried(self.canary_soak, since, ends)

    def interval(self, since: datetime, ends: datetime) -> timedelta:
        """How long after a wave the next one follows; less when the old profile ends soon."""
        return _hurried(self.wave_interval, since, ends)


def _hurried(usual: timedelta, since: datetime, ends: datetime) -> timedelta:
    return min(usual, max(ends - since, timedelta(0)) / 8)


def from_settings() -> Timing:
    """The pace of this installation."""
    return Timing(
        lead=settings.PROVISIONING_LEAD,
        lifetime=settings.PROVISIONING_LIFETIME,
        canary_soak=settings.PROVISIONING_CANARY_SOAK,
        wave_interval=settings.PROVISIONING_WAVE_INTERVAL,
        waves=settings.PROVISIONING_WAVES,
        poll_interval=settings.PROVISIONING_ADVANCE_INTERVAL,
        cleanup_after=settings.PROVISIONING_CLEANUP_AFTER,
        back_off=settings.PROVISIONING_BACK_OFF,
        look_interval=settings.PROVISIONING_LOOK_INTERVAL,
        slow_retry=settings.PROVISIONING_SLOW_RETRY,
        lease=settings.PROVISIONING_LEASE,
    )


def lead_of(*, created_at: datetime, ends: datetime, lead_days: int | None, timing: Timing) -> timedelta:
    """How long before its end a profile is renewed: the lineage's own lead or the usual one, at most a third of its life."""
    lead = timing.lead if lead_days is None else timedelta(days=lead_days)
    return min(lead, max(ends - created_at, timedelta(0)) / 3)


def renew_at(
    *, created_at: datetime, ends: datetime, lead_days: int | None, timing: Timing, spread: int = 0
) -> datetime:
    """When renewing should begin. `spread` (the lineage's key) moves it by up to a day, so that not all start at once."""
    lead = lead_of(created_at=created_at, ends=ends, lead_days=lead_days, timing=timing)
    return ends - lead + lead / 45 * (spread % 24) / 24


def least_gain(*, created_at: datetime, ends: datetime) -> timedelta:
    """How much later than the old one, at least, a new profile must end."""
    return min(_LEAST_GAIN, max(ends - created_at, timedelta(0)) / 12)
