"""A request from a device and its answer, as values: what the door takes and gives, whatever server stands before it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

PLAIN = "text/plain"
PLIST = "application/xml; charset=UTF-8"


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """One HTTP request. `headers` maps names in any spelling to values; `query` is as sent; `body` is the raw bytes."""

    method: str
    path: str
    query: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    remote_addr: str = ""

    def header(self, name: str) -> str:
        """The value of a header by its name in lower case; "" when it is not there."""
        for key, value in self.headers.items():
            if key.lower() == name:
                return value
        return ""


@dataclass(frozen=True, slots=True)
class DeviceAnswer:
    """One HTTP answer. `after` is work to be done once the answer is out; it never raises."""

    status: int = 200
    body: bytes = field(default=b"", repr=False)
    content_type: str = PLAIN
    headers: Mapping[str, str] = field(default_factory=dict)
    after: Callable[[], None] | None = None


EMPTY = DeviceAnswer()


def shown(text: object, longest: int = 60) -> str:
    """A device's text made safe for one log line: shortened, quoted, without control characters."""
    text = str(text)
    return ascii(text if len(text) <= longest else f"{text[:longest]}…")
