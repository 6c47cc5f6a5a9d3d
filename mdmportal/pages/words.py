"""The outlook of an installation: what happens next with it, and until when. The words of states are in devices.words."""

from datetime import datetime

from django.conf import settings
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from devices.models import LadderState, Verdict, VerdictState
from devices.words import sentence
from portal_ui.admin import moment
from profiles.models import Installation, Part


def outlook(row: Installation, verdict: Verdict | None, *, now: datetime) -> SafeString:
    """What happens next with this row, and until when; goes under its reason."""
    parts: list[tuple[str, object]] = []
    if row.state == LadderState.WAITING and row.part == Part.CAPABILITY and verdict is not None:
        parts = _gate(verdict, now=now)
    elif row.state == LadderState.INSTALLED and row.proved_at:
        parts = [("Seen in the device's own list {}.", moment(row.proved_at, now=now)), *_together(row, verdict)]
    elif row.state == LadderState.REMOVED and row.removed_at:
        parts = [("Gone since {}.", f"{row.removed_at:%Y-%m-%d %H:%M} UTC")]
    elif row.state == LadderState.FAILED and row.next_at is None:
        where = reverse("admin:profiles_installation_changelist") + f"?state__exact={LadderState.FAILED}"
        parts = [
            ('Nothing more happens by itself: mend the cause, then retry it in <a href="{}">Installations</a>.', where)
        ]
    elif row.next_at is not None:
        parts = [(_NEXT.get(row.state, "Looked at again {}."), soon(row.next_at, now=now))]
        if row.state in {LadderState.FAILED, LadderState.DRIFTED} and row.attempts:
            parts.append(("{} tries are used up.", f"{row.attempts} of {settings.RETRY_CEILING}"))
    return format_html_join(" ", "{}", ((format_html(text, value),) for text, value in parts))


_NEXT: dict[str, str] = {
    LadderState.ACKNOWLEDGED: "The device is asked for its list again {} if it has not sent it.",
    LadderState.FAILED: "The portal tries again {}.",
    LadderState.DRIFTED: "It will be sent again {}.",
    LadderState.REMOVING: "If the device does not answer, the portal looks again {}.",
}


def _together(row: Installation, verdict: Verdict | None) -> list[tuple[str, object]]:
    """With both in one profile nothing can be withheld; a reason is there while the passcode is missing."""
    if row.part != Part.WHOLE or verdict is None or verdict.state != VerdictState.NOT_COMPLIANT or not row.reason:
        return []
    missing = sentence("; ".join(verdict.reasons))
    return [("{} This rule holds nothing back: the device itself makes its user set one.", missing)]


def _gate(verdict: Verdict, *, now: datetime) -> list[tuple[str, object]]:
    """Why a capability waits is in its reason; here is when that may change."""
    if verdict.state == VerdictState.UNPROVABLE:
        return [("It stays off this device{}: exclude it, or deliver the bundle's parts together.", "")]
    parts: list[tuple[str, object]] = [("Goes out as soon as the device proves it{}.", "")]
    if verdict.judged_at:
        parts.append(("Last answer {}.", moment(verdict.judged_at, now=now)))
    if verdict.next_poll_at:
        parts.append(("Asked again {}.", soon(verdict.next_poll_at, now=now)))
    if verdict.alerted_at:
        parts.append(("An alert was raised {}.", moment(verdict.alerted_at, now=now)))
    elif verdict.deadline:
        parts.append(("If it is not proved by {}, an alert is raised.", f"{verdict.deadline:%Y-%m-%d %H:%M} UTC"))
    return parts


def soon(value: datetime, *, now: datetime) -> SafeString | str:
    """A planned moment that has passed is due: the next job takes it."""
    return moment(value, now=now) if value > now else "now"
