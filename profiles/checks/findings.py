"""One thing to know before a bundle is published: how grave it is, what it is about, how many devices it touches."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """An error stops a publish, a warning is counted and must be read, a note explains."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """A sentence without secrets. `path` is a value path within the payload, as people write it ("Rules[0].Action").

    `payload_id` is None for what is about the whole bundle; `devices` is 0 when it is not about devices.
    """

    severity: Severity
    sentence: str
    payload_id: int | None = None
    path: str = ""
    devices: int = 0


def counted(number: int, noun: str = "device") -> str:
    """ "1 device", "3 devices"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
