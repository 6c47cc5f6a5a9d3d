"""Reports: what a device sends to ServerURL, with the status of a command or asking for one.

Statuses and ErrorChain after Apple's "Sending MDM commands to a device".
Response keys stay in `body`, for a report does not say which RequestType it
answers. Matching a report to its command is the queue's work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from protocol.identity import EnrollmentIdentity, identify
from protocol.plist import PlistValue, dumps, loads_dict
from protocol.reading import MessageReader

__all__ = ["ErrorChainItem", "Report", "Status", "parse_report", "render_report"]

# A device sends a handful of causes; more is noise nobody reads.
_LONGEST_CHAIN = 32
_LONGEST_DESCRIPTION = 2000


class Status(StrEnum):
    """The five words of Apple's protocol for how a command went."""

    IDLE = "Idle"
    ACKNOWLEDGED = "Acknowledged"
    ERROR = "Error"
    COMMAND_FORMAT_ERROR = "CommandFormatError"
    NOT_NOW = "NotNow"


@dataclass(frozen=True, slots=True)
class ErrorChainItem:
    """One cause; the first of a chain is the outermost. Codes may change between OS releases."""

    code: int
    domain: str
    description: str
    localized: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One report.

    `status` is None when the device sent a word that Apple does not document, kept in `status_text`.
    `command_uuid` is as sent. `body` and `raw` hold the whole report, which may contain secrets.
    """

    identity: EnrollmentIdentity
    status: Status | None
    status_text: str
    command_uuid: str | None = None
    error_chain: tuple[ErrorChainItem, ...] = ()
    body: dict[str, PlistValue] = field(default_factory=dict, repr=False)
    raw: bytes = field(default=b"", repr=False)


def parse_report(body: bytes) -> Report:
    """Read a report, XML or binary. Raises PlistError, or MessageError without identity or Status."""
    content = loads_dict(body)
    text = MessageReader(content).text("Status")
    return Report(
        identity=identify(content),
        status=_STATUSES.get(text),
        status_text=text,
        command_uuid=_command_uuid(content),
        error_chain=_error_chain(content.get("ErrorChain")),
        body=content,
        raw=body,
    )


def render_report(
    identity: EnrollmentIdentity,
    status: Status,
    *,
    command_uuid: str | None = None,
    error_chain: tuple[ErrorChainItem, ...] = (),
    response: Mapping[str, PlistValue] | None = None,
) -> bytes:
    """Write a report as a device does: response keys stand beside Status, not below a name of their own."""
    report: dict[str, PlistValue] = {**identity.keys(), "Status": status.value}
    if command_uuid is not None:
        report["CommandUUID"] = command_uuid
    if error_chain:
        report["ErrorChain"] = [_render_item(item) for item in error_chain]
    return dumps({**report, **(response or {})})


def _command_uuid(content: Mapping[str, PlistValue]) -> str | None:
    """None for anything but a string; one of any length and look is the queue's to match or not."""
    value = content.get("CommandUUID")
    return value if isinstance(value, str) else None


def _error_chain(chain: PlistValue | None) -> tuple[ErrorChainItem, ...]:
    """What can be read of the chain: a device that cannot even describe its error has failed all the same."""
    if not isinstance(chain, list):
        return ()
    return tuple(_error_item(item) for item in chain[:_LONGEST_CHAIN] if isinstance(item, dict))


def _error_item(item: Mapping[str, PlistValue]) -> ErrorChainItem:
    read = MessageReader(item)
    localized = _description(item, "LocalizedDescription")
    return ErrorChainItem(
        code=read.optional_int("ErrorCode") or 0,
        domain=read.optional_text("ErrorDomain") or "",
        description=_description(item, "USEnglishDescription") or localized or "",
        localized=localized,
    )


def _description(item: Mapping[str, PlistValue], key: str) -> str | None:
    value = item.get(key)
    return value[:_LONGEST_DESCRIPTION] if isinstance(value, str) else None


def _render_item(item: ErrorChainItem) -> PlistValue:
    return {
        "ErrorCode": item.code,
        "ErrorDomain": item.domain,
        "LocalizedDescription": item.localized if item.localized is not None else item.description,
        "USEnglishDescription": item.description,
    }


_STATUSES = {status.value: status for status in Status}
