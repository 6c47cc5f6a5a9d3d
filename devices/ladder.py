"""The transitions of one ladder row: waiting, queued, sent, acknowledged, installed; failed, drifted, removing, removed.

One set of transitions for everything that is wanted on a device: configuration profiles and provisioning profiles.
Each function changes a row in memory and writes nothing. Callers hold the enrollment's lock and save. What should
happen next is decided by the room that wants it; why a row may not go on is written into its reason.

FAILED with a `next_at` tries again then; FAILED without one waits for a human.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings

from devices import refusals
from devices.models import CommandState, Delivery, LadderState
from protocol.reports import ErrorChainItem

_LONGEST_BACK_OFF = timedelta(hours=24)
_DEAD_COMMANDS = {CommandState.CANCELLED, CommandState.EXPIRED, CommandState.UNRENDERABLE}
ON_THE_WAY = {LadderState.QUEUED, LadderState.SENT}


def back_off(attempts: int) -> timedelta:
    """How long to wait after this many tries: RETRY_INTERVAL, doubled each time, at most a day."""
    interval: timedelta = settings.RETRY_INTERVAL
    doubled: timedelta = interval * (1 << min(max(attempts, 1) - 1, 16))
    return min(doubled, max(_LONGEST_BACK_OFF, interval))


def move(
    row: Delivery, state: LadderState, reason: str = "", *, now: datetime, next_at: datetime | None = None
) -> None:
    """Put the row on a step; `changed_at` is when it came there."""
    if row.state != state:
        row.changed_at = now
    row.state, row.reason, row.next_at = state, reason[:255], next_at


def may_be_there(row: Delivery) -> bool:
    """Whether the device may hold it, in whatever version: anything was ever handed out for it.

    In doubt yes: removing what is not there costs one command (MCMDMErrorDomain 12075), forgetting costs the gate.
    """
    if row.acknowledged_at or row.proved_at:
        return True
    if row.state in {LadderState.WAITING, LadderState.QUEUED, LadderState.FAILED, LadderState.REMOVED}:
        return row.attempts > (row.state == LadderState.QUEUED)
    return True


def follow_command(row: Delivery, now: datetime) -> None:
    """Take over what the queue did with the row's command since the row was written."""
    removing = row.state == LadderState.REMOVING and bool(row.command_uuid)
    if row.state not in ON_THE_WAY and not removing:
        return
    state = row.command_state
    if state is None or state in _DEAD_COMMANDS:
        label = "lost" if state is None else CommandState(state).label
        fail_for_now(row, f"The command did not reach the device ({label})", now=now)
        return
    reason = row.reason
    if state == CommandState.SENT:
        reason = "Sent; waiting for the device's answer"
    elif state == CommandState.NOT_NOW:
        reason = "The device cannot do it now, for example because it is locked; it will ask again"
    if state in {CommandState.SENT, CommandState.NOT_NOW}:
        move(row, LadderState.REMOVING if removing else LadderState.SENT, reason, now=now)


def start_over(row: Delivery, *, now: datetime) -> None:
    """Another content is wanted under the same row; what the device holds stays there until it is replaced."""
    if row.state in {LadderState.REMOVING, LadderState.REMOVED, LadderState.WAITING}:
        return
    # One try stays counted when the old content may still arrive (see may_be_there).
    row.attempts = 1 if row.state in {LadderState.SENT, LadderState.FAILED} else 0
    row.proved_at, row.error_chain, row.command_uuid = None, [], ""
    move(row, LadderState.WAITING, "A new revision is about to be sent", now=now)


def queue(row: Delivery, state: LadderState, reason: str, *, now: datetime) -> None:
    """A command for the row is about to be queued; its uuid follows when it has one."""
    row.attempts += 1
    move(row, state, reason, now=now)


def acknowledge(row: Delivery, *, at: datetime, now: datetime) -> None:
    """The device says it installed it; that is no proof yet."""
    row.acknowledged_at, row.error_chain = at, []
    move(
        row,
        LadderState.ACKNOWLEDGED,
        "Acknowledged; waiting to see it in the device's own list",
        now=now,
        next_at=now + settings.RETRY_INTERVAL,
    )


def prove(row: Delivery, *, at: datetime, now: datetime) -> None:
    """The device's own list holds exactly what is wanted."""
    if row.state == LadderState.INSTALLED:
        row.proved_at = row.proved_at or at
        return
    row.proved_at, row.error_chain, row.attempts, row.removed_at = at, [], 0, None
    move(row, LadderState.INSTALLED, now=now)


def compare(
    row: Delivery, *, is_listed: bool, is_there: bool, asked_at: datetime, reported_at: datetime, now: datetime
) -> bool:
    """Move a row by the device's own list; True when the list was asked for too early to tell.

    `is_listed`: exactly what is wanted stands in it; `is_there`: anything does that its removal should have taken.
    """
    if row.removed_at is not None and asked_at < row.removed_at:
        # Devices deliver cached answers late: this list is older than the removal.
        return row.state == LadderState.REMOVING
    if row.state == LadderState.REMOVING:
        if row.removed_at is not None and not is_there:
            finish_removal(row, at=row.removed_at, now=now)
        elif row.removed_at is not None:
            row.removed_at = None
            fail_for_now(row, "The device still lists it after its removal", now=now)
        return False
    if is_listed:
        if row.wanted:
            prove(row, at=reported_at, now=now)
        elif row.state == LadderState.REMOVED:
            acknowledge(row, at=reported_at, now=now)
        return False
    if not row.wanted or row.state not in {LadderState.ACKNOWLEDGED, LadderState.INSTALLED}:
        return False
    known = [moment for moment in (row.acknowledged_at, row.proved_at) if moment is not None]
    if known and asked_at < max(known):
        return row.state == LadderState.ACKNOWLEDGED
    drift(row, now=now)
    return False


def drift(row: Delivery, *, now: datetime) -> None:
    """A list asked for after the acknowledgement does not hold what we want."""
    row.proved_at = None
    row.attempts = max(row.attempts, 1)
    if row.attempts >= settings.RETRY_CEILING:
        move(row, LadderState.FAILED, "The device acknowledges it but does not list it", now=now)
        return
    reason = "It is no longer in the device's own list; it will be sent again"
    move(row, LadderState.DRIFTED, reason, now=now, next_at=now + back_off(row.attempts))


def fail(row: Delivery, chain: Sequence[ErrorChainItem], *, now: datetime, malformed: bool = False) -> None:
    """The device refused the row's command: for good, or until the next try."""
    row.error_chain = refusals.as_json(chain)
    reason = f"The device refused it: {refusals.in_words(chain)}"
    if malformed:
        reason = "The device calls the command malformed (CommandFormatError)"
    if malformed or refusals.is_permanent(chain):
        move(row, LadderState.FAILED, reason, now=now)
    else:
        fail_for_now(row, reason, now=now)


def fail_for_now(row: Delivery, reason: str, *, now: datetime) -> None:
    """Something may help next time: try again after the back-off, up to RETRY_CEILING tries."""
    removing = row.state == LadderState.REMOVING
    if row.attempts >= settings.RETRY_CEILING:
        move(row, LadderState.FAILED, f"{reason}; gave up after {row.attempts} tries", now=now)
        return
    if removing:
        row.command_uuid = ""
    state = LadderState.REMOVING if removing else LadderState.FAILED
    move(row, state, reason, now=now, next_at=now + back_off(row.attempts))


def removal_acknowledged(row: Delivery, *, at: datetime, now: datetime) -> None:
    """The device says it removed it; the row waits for a list that no longer holds it."""
    row.removed_at, row.command_uuid, row.error_chain = at, "", []
    reason = "Removal acknowledged; waiting for the device's own list"
    move(row, LadderState.REMOVING, reason, now=now, next_at=now + settings.RETRY_INTERVAL)


def finish_removal(row: Delivery, *, at: datetime, now: datetime, reason: str = "") -> None:
    """It is gone: a wanted row starts again from the bottom, any other has reached its end."""
    row.acknowledged_at = row.proved_at = None
    row.removed_at, row.attempts, row.command_uuid, row.error_chain = at, 0, "", []
    move(row, LadderState.WAITING if row.wanted else LadderState.REMOVED, reason, now=now)


def start_again(row: Delivery, *, now: datetime) -> None:
    """A human asks for another try of what failed or waits for its next try."""
    row.attempts, row.error_chain = min(row.attempts, 1), []
    removal = row.state == LadderState.REMOVING or (row.command_type or "").startswith("Remove")
    row.command_uuid = ""
    if removal:
        row.attempts = 0
    move(row, LadderState.REMOVING if removal else LadderState.WAITING, "Trying again", now=now)
