"""What the two SQL texts of the queue have in common: what goes in, what comes out, what counts as closing.

Statuses after Apple's "Sending MDM commands to a device". No SQL here.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from datetime import datetime
from typing import Any, Protocol

from django.db.backends.base.base import BaseDatabaseWrapper

from devices.models import CommandState
from protocol.reports import Status

# How a status ends a command; the other statuses leave it open.
CLOSING = {
    Status.ACKNOWLEDGED: CommandState.ACKNOWLEDGED,
    Status.ERROR: CommandState.ERROR,
    Status.COMMAND_FORMAT_ERROR: CommandState.FORMAT_ERROR,
}
_LONGEST_UUID = 64
_LONGEST_ENROLLMENT_ID = 400


@dataclass(frozen=True, slots=True)
class Offer:
    """The command to hand out now. `params` is the stored, encrypted token of its plist (b"" when it has none)."""

    command_id: int
    uuid: str
    request_type: str
    params: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one report.

    `enrollment_id` is the channel's primary key; None when the fingerprint belongs to nobody. `channel_known` is
    False when the certificate speaks for another device than the message names; `enrollment_id` is then the
    certificate's own device channel. `matched` says that the report changed an open command of this channel.
    """

    enrollment_id: int | None
    channel_known: bool
    state: str
    closed_command_id: int | None
    closed_request_type: str
    matched: bool
    offer: Offer | None


NOBODY = Outcome(
    enrollment_id=None,
    channel_known=False,
    state="",
    closed_command_id=None,
    closed_request_type="",
    matched=False,
    offer=None,
)


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """One report in the words of the database: texts that its columns can hold, JSON ready to store."""

    fingerprint: bytes
    enrollment_id: str
    parent_id: str | None
    status: Status | None
    uuid: str
    raw: bytes = field(repr=False)
    error_chain: str
    now: datetime

    @property
    def new_state(self) -> CommandState:
        """The state of the command after the report."""
        return CommandState.NOT_NOW if self.status is None else CLOSING.get(self.status, CommandState.NOT_NOW)

    @property
    def changes(self) -> bool:
        """Whether the report may change the command it names."""
        return bool(self.uuid) and (self.status in CLOSING or self.status is Status.NOT_NOW)

    @property
    def skip_not_now(self) -> bool:
        """Only an Idle is offered again what the device has put off: anything else is the same session."""
        return self.status is not Status.IDLE


@dataclass(frozen=True, slots=True)
class Found:
    """What the database found: the certificate's device, the named channel of it, the command that changed."""

    device: int | None = None
    channel: int | None = None
    state: str = ""
    changed: tuple[int, str] | None = None
    offer: Offer | None = None

    def outcome(self, facts: ReportFacts) -> Outcome:
        """The contract's view of it."""
        known = self.channel is not None
        closed = self.changed if known and facts.status in CLOSING else None
        return Outcome(
            enrollment_id=self.channel if known else self.device,
            channel_known=known,
            state=self.state if known else "",
            closed_command_id=closed[0] if closed else None,
            closed_request_type=closed[1] if closed else "",
            matched=known and self.changed is not None,
            offer=self.offer,
        )


class Dialect(Protocol):
    """One SQL text of the queue."""

    def report(self, connection: BaseDatabaseWrapper, facts: ReportFacts) -> Outcome: ...

    def next_offer(
        self, connection: BaseDatabaseWrapper, enrollment_pk: int, *, skip_not_now: bool, now: datetime
    ) -> Offer | None: ...


def facts(
    *,
    fingerprint: bytes,
    enrollment_id: str,
    parent_id: str | None,
    status: Status | None,
    command_uuid: str | None,
    raw: bytes,
    error_chain: Sequence[Any],
    now: datetime,
) -> ReportFacts | None:
    """Bring a report into the database's words; None when its ids fit no column, so that nobody has them."""
    if not storable(enrollment_id, _LONGEST_ENROLLMENT_ID):
        return None
    if parent_id is not None and not storable(parent_id, _LONGEST_ENROLLMENT_ID):
        return None
    uuid = command_uuid if command_uuid is not None and storable(command_uuid, _LONGEST_UUID) else ""
    return ReportFacts(
        fingerprint=fingerprint,
        enrollment_id=enrollment_id,
        parent_id=parent_id,
        status=status,
        uuid="" if status is Status.IDLE else uuid,
        raw=raw,
        error_chain=chain_json(error_chain),
        now=now,
    )


def storable(text: str, longest: int) -> bool:
    """Whether a text column could hold it: PostgreSQL takes neither NUL nor half a surrogate pair."""
    return 0 < len(text) <= longest and "\0" not in text and _clean(text) == text


def chain_json(error_chain: Sequence[Any]) -> str:
    """The chain (dictionaries, or protocol's ErrorChainItem) as JSON that both databases take."""
    return json.dumps([_plain(item) for item in error_chain], ensure_ascii=False)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, dict):
        return {_clean(str(key)): _plain(item) for key, item in value.items()}
    return _clean(value) if isinstance(value, str) else value


def _clean(text: str) -> str:
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
