"""The words every page uses for a state, with the sentence under it (one vocabulary, so that all pages say the same)."""

from datetime import datetime

from django.conf import settings
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from devices.models import Command, CommandState, LadderState, PushState, Verdict, VerdictState
from portal_ui.admin import moment
from profiles.models import Installation, Part

COMMAND_WORDS: dict[int, str] = {
    CommandState.QUEUED: "Waiting",
    CommandState.SENT: "Waiting for the device",
    CommandState.NOT_NOW: "Device is busy or locked",
    CommandState.ACKNOWLEDGED: "Done",
    CommandState.ERROR: "Failed",
    CommandState.FORMAT_ERROR: "Failed",
    CommandState.UNRENDERABLE: "Could not be made",
    CommandState.CANCELLED: "Cancelled",
    CommandState.EXPIRED: "Given up",
}

# The colour of a command's state, by the ladder's names in blocks.css; words always stand beside it.
COMMAND_TONES: dict[int, str] = {
    CommandState.QUEUED: "waiting",
    CommandState.SENT: "waiting",
    CommandState.NOT_NOW: "waiting",
    CommandState.ACKNOWLEDGED: "installed",
    CommandState.ERROR: "failed",
    CommandState.FORMAT_ERROR: "failed",
    CommandState.UNRENDERABLE: "failed",
}

LADDER_WORDS: dict[str, str] = {
    LadderState.WAITING: "Waiting",
    LadderState.QUEUED: "Waiting for the device",
    LadderState.SENT: "Waiting for the device",
    LadderState.ACKNOWLEDGED: "Installed, checking",
    LadderState.INSTALLED: "Installed",
    LadderState.FAILED: "Failed",
    LadderState.DRIFTED: "Missing, will be sent again",
    LadderState.REMOVING: "Being removed",
    LadderState.REMOVED: "Removed",
}

UNREACHABLE: dict[str, str] = {
    PushState.NO_TOKEN: "The device has not sent its push token yet: it cannot be woken.",
    PushState.DEAD: "Apple refused the push token. The device was probably erased or unenrolled.",
}

NEXT_STEP: dict[int, str] = {
    CommandState.NOT_NOW: "It will ask again when someone unlocks it. Nothing to do.",
    CommandState.EXPIRED: "No answer in time. Send it again if it is still wanted.",
    CommandState.FORMAT_ERROR: "This device does not understand the command. Sending it again will not help.",
}


def command_sentence(command: Command, *, now: datetime) -> str:
    """One sentence under a command's state: why it is there and what happens next."""
    if command.error_chain:
        first = command.error_chain[0]
        if first.get("domain") == "portal":
            return str(first.get("description"))
        return f"{first.get('description') or 'The device gave no reason.'} ({first.get('domain')} {first.get('code')})"
    if command.state == CommandState.QUEUED and command.not_before and command.not_before > now:
        return f"Not before {command.not_before:%Y-%m-%d %H:%M} UTC."
    if command.state == CommandState.QUEUED:
        return "Goes out at the next check-in."
    if command.state == CommandState.SENT:
        return (
            f"Handed out {command.attempts} times, no answer yet."
            if command.attempts > 1
            else "Handed out, no answer yet."
        )
    return NEXT_STEP.get(command.state, "")


def sentence(text: str) -> str:
    """A stored reason as a sentence: reasons are joined from parts that begin small and end without a full stop."""
    text = text.strip()
    return text and text[0].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


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
