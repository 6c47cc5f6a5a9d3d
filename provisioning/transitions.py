"""How a renewal changes its state: claimed by one worker at a time, moved by a conditional UPDATE, told as an event.

No decisions (`provisioning.steps`) and no network here. A claim is a lease in `next_at`: who crashed leaves a renewal
that is simply due again a little later, and who was overtaken can no longer write.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction

from provisioning import alerts
from provisioning.models import FINAL_STATES, Renewal, RenewalEvent, RenewalState

_RELATED: Final = (
    "lineage__team",
    "lineage__api_key",
    "lineage__current",
    "lineage__canary_group",
    "old_profile",
    "new_profile",
)
# The files are read through a cache when they are needed.
_FILES: Final = ("old_profile__data", "new_profile__data", "lineage__current__data", "lineage__api_key__private_key")


def load(renewal_pk: int) -> Renewal:
    """The renewal with what its steps look at. Raises Renewal.DoesNotExist."""
    return Renewal.objects.select_related(*_RELATED).defer(*_FILES).get(pk=renewal_pk)


def claim(renewal_pk: int, now: datetime, *, lease: timedelta) -> Renewal | None:
    """Take a renewal whose step is due for ourselves; None when it is not due, paused, or another worker's."""
    # The condition closes the race of two workers that were told of the same renewal: one UPDATE matches.
    due = Renewal.objects.due(now).filter(pk=renewal_pk, paused_at=None)
    return load(renewal_pk) if due.update(next_at=now + lease) else None


def keep(renewal: Renewal, **changes: Any) -> bool:
    """Write fields without leaving the step; False when the renewal is no longer ours, and then nothing was written."""
    return _update(renewal, changes)


def move(
    renewal: Renewal,
    state: RenewalState,
    sentence: str,
    *,
    now: datetime,
    next_at: datetime | None = None,
    details: Mapping[str, Any] | None = None,
    **changes: Any,
) -> bool:
    """Leave the step: a new state (or a new try of the same), and the event that tells why. False when it is not ours.

    `next_at`: when the next step is due, now by default; never for an end.
    """
    if state != renewal.state:
        changes = {"attempts": 0, "error_kind": "", "error": "", "blocked_state": "", **changes}
    if state in FINAL_STATES:
        changes["finished_at"] = now
    changes |= {"state": state, "next_at": None if state in FINAL_STATES else next_at or now}
    with transaction.atomic():
        if not _update(renewal, changes):
            return False
        tell(renewal, sentence, now=now, details=details)
        alerts.follow(renewal, now)
    return True


def tell(renewal: Renewal, sentence: str, *, now: datetime, details: Mapping[str, Any] | None = None) -> None:
    """Write an event of the renewal in its present state. `details` are JSON without secrets and device lists."""
    RenewalEvent.objects.create(
        renewal=renewal, at=now, state=renewal.state, sentence=sentence[:1000], details=dict(details or {})
    )


def wait(
    renewal: Renewal,
    reason: str,
    *,
    now: datetime,
    until: datetime,
    kind: str = "",
    details: Mapping[str, Any] | None = None,
) -> bool:
    """Try the same step again later, after something went wrong that passes. A reason that is known tells no event."""
    changes = {"attempts": renewal.attempts + 1, "error_kind": kind, "error": reason[:1000], "next_at": until}
    is_new = reason[:1000] != renewal.error
    with transaction.atomic():
        if not _update(renewal, changes):
            return False
        if is_new:
            tell(renewal, reason, now=now, details=details)
    return True


def block(
    renewal: Renewal,
    kind: str,
    sentence: str,
    *,
    now: datetime,
    retry_at: datetime | None,
    details: Mapping[str, Any] | None = None,
) -> bool:
    """Stop until somebody does something; with `retry_at` it is also tried by itself then."""
    known = renewal.blocked_state and renewal.error == sentence[:1000]
    changes = {
        "state": RenewalState.BLOCKED,
        "blocked_state": renewal.blocked_state or renewal.state,
        "error_kind": kind,
        "error": sentence[:1000],
        "next_at": retry_at,
    }
    with transaction.atomic():
        if not _update(renewal, changes):
            return False
        if not known:
            tell(renewal, sentence, now=now, details={"kind": kind, **(details or {})})
        alerts.follow(renewal, now)
    return True


def _update(renewal: Renewal, changes: Mapping[str, Any]) -> bool:
    """Write only what is still as we read it: a lease that ran out, or a person, may have changed it meanwhile."""
    ours = Renewal.objects.filter(pk=renewal.pk, state=renewal.state, next_at=renewal.next_at)
    ours = ours.filter(paused_at=None)
    if not ours.update(**changes):
        return False
    for name, value in changes.items():
        setattr(renewal, name, value)
    return True


def pause(renewal: Renewal, reason: str, *, now: datetime, details: Mapping[str, Any] | None = None) -> bool:
    """Stop the roll-out until somebody resumes it; False when the renewal is no longer ours."""
    with transaction.atomic():
        if not _update(renewal, {"paused_at": now, "next_at": None, "error": reason[:1000]}):
            return False
        tell(renewal, reason, now=now, details=details)
        alerts.follow(renewal, now)
    return True


def look_again(renewal: Renewal, now: datetime, *, next_at: datetime) -> bool:
    """Nothing to do before then; no event, but an alert for whoever has to act."""
    if not _update(renewal, {"next_at": next_at}):
        return False
    alerts.follow(renewal, now)
    return True


def unblock(renewal: Renewal, now: datetime) -> bool:
    """Try where it stopped. What was wrong stays written until it is over, so that the same is not told daily."""
    return _update(renewal, {"state": renewal.blocked_state or RenewalState.PLANNED, "next_at": now})
