"""Desired minus observed for one bundle on one enrollment: which step each row takes, and which commands that needs.

Pure: rows are changed in memory, acts and cancellations are returned. The gate's order is held here: the requirement
first, the capability once a verdict on exactly the installed requirement says compliant; removal the other way round.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Self

from django.conf import settings

from devices import ladder
from devices.models import CommandState, Enrollment, LadderState, Verdict, VerdictState
from profiles.models import DeliveryRule, Installation, Part, Scope
from profiles.rendering import device_uuid, facts

PASSCODE_TYPE = "com.apple.mobiledevice.passwordpolicy"
# Apple's countdown after a stricter passcode policy: fixed, invisible to the server.
PASSCODE_GRACE = timedelta(minutes=60)


@dataclass(frozen=True, slots=True)
class WantedProfile:
    """A profile of a current revision; `on` makes it what one device should get.

    `variables` are filled in for each device; `marks` say which value its secrets have. `missing` are the variables
    for which this device has no value.
    """

    pk: int
    part: str
    identifier: str
    uuid: str
    payload_types: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    marks: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    def on(self, facts: Mapping[str, str]) -> Self:
        """The same profile under the UUID that it has with these values (`profiles.rendering.facts`)."""
        if not self.variables:
            return self
        values = {name: self.marks.get(name) or facts.get(name, "") for name in self.variables}
        missing = tuple(name for name, value in values.items() if not value)
        return replace(self, uuid=device_uuid(self.uuid, values), missing=missing)

    @property
    def asks_for_passcode(self) -> bool:
        """Whether it holds a passcode policy."""
        return PASSCODE_TYPE in self.payload_types


@dataclass(frozen=True, slots=True)
class WantedBundle:
    """A bundle's current revision, as it is wanted on an enrollment."""

    bundle_id: int
    rule: str
    withdraw: bool
    label: str
    profiles: Mapping[str, WantedProfile]
    scope: str = Scope.SYSTEM

    def on(self, enrollment: Enrollment) -> Self:
        """The bundle as this channel should get it; `enrollment.device` is loaded."""
        if not any(profile.variables for profile in self.profiles.values()):
            return self
        known = facts(enrollment.device, enrollment)
        return replace(self, profiles={part: profile.on(known) for part, profile in self.profiles.items()})

    @property
    def requirement(self) -> WantedProfile | None:
        """The profile that a verdict is about; a `whole` one only when it holds something a device can report."""
        whole = self.profiles.get(Part.WHOLE)
        return self.profiles.get(Part.REQUIREMENT) or (whole if whole and whole.asks_for_passcode else None)


class Act(Enum):
    """What a row needs from the queue."""

    INSTALL = auto()
    REMOVE = auto()
    LIST = auto()


class Passage(Enum):
    """The gate for one row: may go, must wait, must not be there."""

    OPEN = auto()
    HOLD = auto()
    CLOSED = auto()


@dataclass(slots=True)
class BundlePlan:
    """The plan for one bundle on one enrollment. `rows` are by part; missing ones are added."""

    enrollment_id: int
    bundle_id: int
    wanted: WantedBundle | None
    rows: dict[str, Installation]
    verdict: Verdict | None
    now: datetime
    acts: list[tuple[Act, Installation]] = field(default_factory=list)
    # Commands to cancel. A row whose command turns out to have been handed out is settled by the caller.
    cancels: list[tuple[str, Installation]] = field(default_factory=list)

    def decide(self) -> None:
        """Move every row one step. Calling it again without new facts changes nothing."""
        for row in self.rows.values():
            ladder.follow_command(row, self.now)
        profiles = self.wanted.profiles if self.wanted else {}
        # The capability goes first in both directions: what guards it must see what became of it.
        for part in (Part.CAPABILITY, Part.REQUIREMENT, Part.WHOLE):
            if part in self.rows and part not in profiles:
                self._unwant(self.rows[part])
        for part in (Part.WHOLE, Part.REQUIREMENT, Part.CAPABILITY):
            if part in profiles:
                self._want(profiles[part])

    def identifier(self, row: Installation) -> str:
        """The top-level PayloadIdentifier of a row's profile, without a statement."""
        wanted = self.wanted.profiles.get(row.part) if self.wanted else None
        return wanted.identifier if wanted else row.profile.identifier

    # --- what is wanted ------------------------------------------------------------------------------------------

    def _want(self, profile: WantedProfile) -> None:
        row = self.rows.get(profile.part) or self._add(profile)
        row.wanted = True
        if row.payload_uuid != profile.uuid:
            self._cancel_install(row)
        row.profile_id = profile.pk
        if row.payload_uuid != profile.uuid:
            row.payload_uuid = profile.uuid
            ladder.start_over(row, now=self.now)
        passage, reason, next_at = self._passage(profile)
        if passage is Passage.OPEN and profile.missing:
            # A hole in a profile is worse than none; whoever enters the value, or stores the secret, plans again.
            passage, reason = Passage.HOLD, f"Waiting for a value of {', '.join(profile.missing)} for this device"
        if passage is Passage.OPEN:
            self._go(row)
        elif passage is Passage.CLOSED and self._withdraws and ladder.may_be_there(row):
            self._remove(row, reason)
        else:
            self._hold(row, reason, next_at=next_at)
        if row.state == LadderState.INSTALLED:
            row.reason = self._countdown(profile, row)

    def _add(self, profile: WantedProfile) -> Installation:
        row = Installation(
            enrollment_id=self.enrollment_id,
            bundle_id=self.bundle_id,
            part=profile.part,
            profile_id=profile.pk,
            payload_uuid=profile.uuid,
            state=LadderState.WAITING,
            created_at=self.now,
            changed_at=self.now,
        )
        row.command_state = row.command_type = None
        self.rows[profile.part] = row
        return row

    @property
    def _withdraws(self) -> bool:
        return self.wanted is not None and self.wanted.withdraw

    def _passage(self, profile: WantedProfile) -> tuple[Passage, str, datetime | None]:
        """May this part go to the device now? The reason, and when that may change, come with the answer."""
        old_capability = self.rows.get(Part.CAPABILITY)
        if profile.part == Part.WHOLE and old_capability and old_capability.state != LadderState.REMOVED:
            return Passage.HOLD, "Waiting until the capability of an earlier revision is removed", None
        if profile.part != Part.CAPABILITY or self.wanted is None or self.wanted.requirement is None:
            return Passage.OPEN, "", None
        return self._gate(self.wanted.requirement)

    def _gate(self, requirement: WantedProfile) -> tuple[Passage, str, datetime | None]:
        verdict, row = self.verdict, self.rows[requirement.part]
        subject = "the passcode" if requirement.asks_for_passcode else "the requirement"
        next_at = verdict.next_poll_at if verdict else None
        if verdict is not None and verdict.state == VerdictState.UNPROVABLE:
            return Passage.HOLD, _sentence(f"Waiting for {subject}", verdict.reasons), None
        if verdict is not None and verdict.state == VerdictState.NOT_COMPLIANT:
            return Passage.CLOSED, _sentence(f"Waiting for {subject}", verdict.reasons), next_at
        proved = row.state == LadderState.INSTALLED and row.payload_uuid == requirement.uuid and row.proved_at
        if not proved:
            return Passage.HOLD, "Waiting until the requirement is installed", next_at
        # A verdict from before the proof speaks of an older requirement, or of none: the flags lie without one.
        if verdict is None or verdict.judged_at is None or row.proved_at is None or verdict.judged_at < row.proved_at:
            return Passage.HOLD, f"Waiting for {subject}: the device has not been asked since", next_at
        if verdict.state != VerdictState.COMPLIANT:
            return Passage.HOLD, _sentence(f"Waiting for {subject}", verdict.reasons), next_at
        return Passage.OPEN, "", None

    def _go(self, row: Installation) -> None:
        due = row.next_at is not None and row.next_at <= self.now
        set_aside = row.state == LadderState.REMOVING and not row.command_uuid and row.removed_at is None
        if set_aside or _removal_failed(row):
            # Its removal was never asked for, or failed: look whether it is still there before sending it again.
            there = LadderState.ACKNOWLEDGED if row.acknowledged_at else LadderState.WAITING
            ladder.move(row, there, "Wanted again", now=self.now)
            due = True
        if row.state in {LadderState.WAITING, LadderState.REMOVED} or (
            due and row.state in {LadderState.DRIFTED, LadderState.FAILED}
        ):
            ladder.queue(row, LadderState.QUEUED, "Queued; waiting for the device to connect", now=self.now)
            row.error_chain = []
            self.acts.append((Act.INSTALL, row))
        elif row.state == LadderState.ACKNOWLEDGED and due:
            self._ask_for_list(row)
        elif row.state == LadderState.REMOVING:
            self._remove(row, "Being removed; it will be installed again afterwards")

    def _hold(self, row: Installation, reason: str, *, next_at: datetime | None) -> None:
        """Keep what is installed, install nothing."""
        put_off = row.state == LadderState.SENT and row.command_state == CommandState.NOT_NOW
        if row.state == LadderState.QUEUED or put_off:
            self._cancel_install(row)
            row.attempts = max(row.attempts - 1, 0)
            ladder.move(row, LadderState.WAITING, now=self.now)
        retrying = row.state in {LadderState.DRIFTED, LadderState.FAILED} and row.next_at is not None
        if row.state in {LadderState.WAITING, LadderState.REMOVED} or retrying:
            ladder.move(row, LadderState.WAITING, reason, now=self.now, next_at=next_at)
        elif row.state == LadderState.REMOVING:
            self._remove(row, row.reason)
        elif row.state == LadderState.ACKNOWLEDGED and row.next_at is not None and row.next_at <= self.now:
            self._ask_for_list(row)

    def _countdown(self, profile: WantedProfile, row: Installation) -> str:
        """With the rule `together` nothing can be withheld: say when Apple's countdown ends."""
        compliant = self.verdict is not None and self.verdict.state == VerdictState.COMPLIANT
        started = row.acknowledged_at or row.proved_at
        if profile.part != Part.WHOLE or not profile.asks_for_passcode or compliant or started is None:
            return ""
        if self.verdict is not None and self.verdict.state == VerdictState.UNPROVABLE:
            return _sentence("Whether a passcode is set cannot be told", self.verdict.reasons)
        if self.wanted is None or self.wanted.rule != DeliveryRule.TOGETHER:
            return ""
        due = started + PASSCODE_GRACE
        return f"Passcode {'was due' if due < self.now else 'due'} by about {due:%Y-%m-%d %H:%M} UTC"

    # --- what is not ---------------------------------------------------------------------------------------------

    def _unwant(self, row: Installation) -> None:
        gave_up = _removal_failed(row) and not row.wanted
        row.wanted = False
        if row.state == LadderState.REMOVED or gave_up:
            return
        if not ladder.may_be_there(row):
            self._cancel_install(row)
            ladder.finish_removal(row, at=self.now, now=self.now, reason="No longer assigned")
            return
        successor, capability = self._successor(row), self.rows.get(Part.CAPABILITY)
        if successor is not None:
            self._yield_to(successor, row)
        elif row.part != Part.CAPABILITY and capability and capability.state != LadderState.REMOVED:
            self._set_aside(row, "Waiting until the capability has been removed")
        else:
            self._remove(row, "No longer assigned; being removed")

    def _successor(self, row: Installation) -> WantedProfile | None:
        """The wanted part that carries the same top-level identifier: the device replaces one by the other."""
        profiles = self.wanted.profiles.values() if self.wanted else ()
        return next((profile for profile in profiles if profile.identifier == row.profile.identifier), None)

    def _yield_to(self, successor: WantedProfile, row: Installation) -> None:
        """Removing by identifier would hit the successor too; once that has arrived, the old one is gone."""
        new = self.rows.get(successor.part)
        if new is not None and new.state in {LadderState.ACKNOWLEDGED, LadderState.INSTALLED}:
            self._cancel_install(row)
            ladder.finish_removal(row, at=self.now, now=self.now, reason="Replaced by a new revision")
        else:
            self._set_aside(row, "Will be replaced by a new revision")

    def _set_aside(self, row: Installation, reason: str) -> None:
        if row.state == LadderState.REMOVING and (row.command_uuid or row.removed_at):
            return
        self._cancel_install(row)
        row.command_uuid, row.removed_at, row.attempts = "", None, 0
        ladder.move(row, LadderState.REMOVING, reason, now=self.now)

    # --- both ----------------------------------------------------------------------------------------------------

    def _remove(self, row: Installation, reason: str) -> None:
        """One step towards removal: queue it, wait for it, ask for the list that proves it, or try again."""
        if _removal_failed(row) and row.wanted:
            return
        if row.state == LadderState.REMOVING:
            if row.command_uuid or (row.next_at is not None and row.next_at > self.now):
                return
            if row.removed_at is not None:
                self._ask_for_list(row)
                return
        else:
            self._cancel_install(row)
            row.attempts, row.removed_at, row.error_chain = 0, None, []
        ladder.queue(row, LadderState.REMOVING, reason, now=self.now)
        self.acts.append((Act.REMOVE, row))

    def _ask_for_list(self, row: Installation) -> None:
        row.next_at = self.now + settings.RETRY_INTERVAL
        self.acts.append((Act.LIST, row))

    def _cancel_install(self, row: Installation) -> None:
        """The row's InstallProfile must not be handed out any more."""
        if row.state in ladder.ON_THE_WAY and row.command_uuid:
            self.cancels.append((row.command_uuid, row))
            row.command_uuid = ""


def _removal_failed(row: Installation) -> bool:
    return row.state == LadderState.FAILED and row.command_type == "RemoveProfile"


def _sentence(start: str, reasons: list[str]) -> str:
    return f"{start}: {'; '.join(reason.rstrip('.') for reason in reasons)}" if reasons else start
