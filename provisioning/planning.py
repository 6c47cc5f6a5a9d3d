"""Desired minus observed for one lineage on one enrollment: which step each row takes, and which commands that needs.

Pure: rows are changed in memory. The order is held here: the new profile first, and the old one goes only from a
device that has proved the new one. Adding a profile beside another harms nothing, so nobody's new one waits for the
old one, and a device that comes by itself gets it whatever its wave.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto

from django.conf import settings

from devices import ladder
from devices.models import CommandState, LadderState
from provisioning.models import ProvisioningInstallation
from provisioning.wishes import ProfileFacts, WantedLineage

UNLISTED = "This device is not in the profile: only the devices it lists can run the app"
UNREADABLE = "The stored profile cannot be read, so nobody can tell whether it lists this device"
PAUSED = "The roll-out is paused"


class Act(Enum):
    """What a row needs from the queue."""

    INSTALL = auto()
    REMOVE = auto()
    LIST = auto()


@dataclass(slots=True)
class LineagePlan:
    """The plan for one lineage on one enrollment. `rows` are by profile; `listed` is UUID key -> as the device writes it.

    `obstacle`: why the wanted profile does not go to this device, such as UNLISTED; "" for nothing.
    """

    enrollment_id: int
    lineage: WantedLineage | None
    rows: dict[int, ProvisioningInstallation]
    listed: Mapping[str, str]
    now: datetime
    obstacle: str = ""
    acts: list[tuple[Act, ProvisioningInstallation]] = field(default_factory=list)
    cancels: list[str] = field(default_factory=list)

    def decide(self) -> None:
        """Move every row one step. Calling it again without new facts changes nothing."""
        for row in self.rows.values():
            ladder.follow_command(row, self.now)
        if self.lineage is None:
            for row in self.rows.values():
                self._close(row, "No longer assigned")
            return
        new = self._want(self.lineage)
        for profile in self.lineage.profiles.values():
            if profile.pk != self.lineage.wanted.pk:
                self._settle(profile, new)

    # --- what is wanted ------------------------------------------------------------------------------------------

    def _want(self, lineage: WantedLineage) -> ProvisioningInstallation:
        row = self.rows.get(lineage.wanted.pk) or self._add(lineage.wanted, lineage)
        row.wanted = True
        if self.obstacle:
            self._hold(row, self.obstacle)
        elif lineage.is_paused:
            self._hold(row, PAUSED)
        else:
            self._go(row)
        return row

    def _add(self, profile: ProfileFacts, lineage: WantedLineage, *, wanted: bool = True) -> ProvisioningInstallation:
        row = ProvisioningInstallation(
            enrollment_id=self.enrollment_id,
            lineage_id=lineage.pk,
            profile_id=profile.pk,
            wanted=wanted,
            created_at=self.now,
            changed_at=self.now,
        )
        row.command_state = row.command_type = None
        self.rows[profile.pk] = row
        return row

    def _go(self, row: ProvisioningInstallation) -> None:
        due = row.next_at is not None and row.next_at <= self.now
        again = row.state in {LadderState.DRIFTED, LadderState.FAILED} and due
        if row.state == LadderState.REMOVING:
            # A removal that was under way for what is wanted now: look first what became of it.
            ladder.move(row, LadderState.WAITING, "Wanted again", now=self.now)
        if row.state in {LadderState.WAITING, LadderState.REMOVED} or again:
            ladder.queue(row, LadderState.QUEUED, "Queued; waiting for the device to connect", now=self.now)
            row.error_chain, row.removed_at = [], None
            self.acts.append((Act.INSTALL, row))
        elif row.state == LadderState.ACKNOWLEDGED and due:
            self._ask_for_list(row)

    def _hold(self, row: ProvisioningInstallation, reason: str) -> None:
        """Keep what is installed, install nothing."""
        put_off = row.state == LadderState.SENT and row.command_state == CommandState.NOT_NOW
        if row.state == LadderState.QUEUED or put_off:
            self._cancel(row)
            row.attempts = max(row.attempts - 1, 0)
            ladder.move(row, LadderState.WAITING, now=self.now)
        retrying = row.state in {LadderState.DRIFTED, LadderState.FAILED} and row.next_at is not None
        if row.state in {LadderState.WAITING, LadderState.REMOVED} or retrying:
            ladder.move(row, LadderState.WAITING, reason, now=self.now)

    # --- what is old ---------------------------------------------------------------------------------------------

    def _settle(self, old: ProfileFacts, new: ProvisioningInstallation) -> None:
        lineage, row = self.lineage, self.rows.get(old.pk)
        if lineage is None or (row is None and old.uuid_key not in self.listed):
            return
        may_go = lineage.may_clean and new.state == LadderState.INSTALLED and old.created_at < lineage.wanted.created_at
        if row is not None and row.state in ladder.ON_THE_WAY:
            self._close(row, "A newer one is wanted")
        elif may_go and old.uuid_key in self.listed:
            self._remove(row or self._add(old, lineage, wanted=False))
        elif may_go and row is not None and row.state != LadderState.REMOVING:
            self._close(row, "Replaced by a newer one")
        elif row is not None and row.state == LadderState.REMOVING:
            self._remove(row)
        elif row is not None and not ladder.may_be_there(row):
            self._close(row, "A newer one is wanted")

    def _remove(self, row: ProvisioningInstallation) -> None:
        """One step towards removal: queue it, wait for it, ask for the list that proves it, or try again."""
        gave_up = row.state == LadderState.FAILED and row.next_at is None and not row.wanted
        row.wanted = False
        if gave_up or row.state == LadderState.REMOVED:
            # An old profile that stays is harmless; and one that came back was put there by somebody else.
            return
        if row.state == LadderState.REMOVING:
            if row.command_uuid or (row.next_at is not None and row.next_at > self.now):
                return
            if row.removed_at is not None:
                self._ask_for_list(row)
                return
        else:
            self._cancel(row)
            row.attempts, row.removed_at, row.error_chain = 0, None, []
        ladder.queue(row, LadderState.REMOVING, "The new one is proved; being removed", now=self.now)
        self.acts.append((Act.REMOVE, row))

    def _close(self, row: ProvisioningInstallation, reason: str) -> None:
        """Nothing more is done about this row."""
        row.wanted = False
        if row.state == LadderState.REMOVED:
            return
        self._cancel(row)
        ladder.finish_removal(row, at=self.now, now=self.now, reason=reason)

    def _ask_for_list(self, row: ProvisioningInstallation) -> None:
        row.next_at = self.now + settings.RETRY_INTERVAL
        self.acts.append((Act.LIST, row))

    def _cancel(self, row: ProvisioningInstallation) -> None:
        if row.state in ladder.ON_THE_WAY and row.command_uuid:
            self.cancels.append(row.command_uuid)
            row.command_uuid = ""
