"""The words every page uses for the state of a command or a delivery, with the sentence under it: one vocabulary.

Text only; what a page adds (links, moments) is the page's.
"""

from datetime import datetime

from devices.models import Command, CommandState, LadderState, PushState

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
