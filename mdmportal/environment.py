"""Configuration from the environment, and only from it.

Every name may also be given as NAME_FILE, the path of a file that holds the value (for container secrets).
A value that cannot be read never stops the import of the settings: the default is taken and the mistake is kept,
so that `mdmportal.checks` can report it with an id and a hint instead of a stack trace.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Mistake:
    """One variable that could not be used; the value itself is never kept, it may be a secret."""

    name: str
    reason: str


class Environment:
    """Reads typed values out of a mapping of strings (usually os.environ) and collects what was wrong."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.mistakes: list[Mistake] = []
        self.names: set[str] = set()

    def text(self, name: str, default: str = "") -> str:
        """The value of NAME, or the content of the file NAME_FILE names, or the default."""
        self.names.add(name)
        if name in self._values:
            if f"{name}_FILE" in self._values:
                self.mistakes.append(Mistake(name, f"both {name} and {name}_FILE are set; {name} was taken"))
            return self._values[name].strip()
        path = self._values.get(f"{name}_FILE", "")
        if not path:
            return default
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            self.mistakes.append(Mistake(f"{name}_FILE", f"the file cannot be read ({type(error).__name__})"))
            return default

    def parsed(self, name: str, default: T, *, parse: Callable[[str], T], expected: str) -> T:
        """`parse` applied to the value; on ValueError the default, with the mistake kept. `expected` says what is right."""
        raw = self.text(name)
        if not raw:
            return default
        try:
            return parse(raw)
        except (ValueError, KeyError):
            self.mistakes.append(Mistake(name, f"expected {expected}"))
            return default

    def flag(self, name: str, *, default: bool) -> bool:
        """A boolean: 1/0, true/false, yes/no, on/off."""
        words = {
            "1": True,
            "true": True,
            "yes": True,
            "on": True,
            "0": False,
            "false": False,
            "no": False,
            "off": False,
        }
        return self.parsed(name, default, parse=lambda raw: words[raw.lower()], expected="true or false")

    def integer(self, name: str, default: int) -> int:
        """A whole number, zero or more."""

        def parse(raw: str) -> int:
            value = int(raw)
            if value < 0:
                raise ValueError(raw)
            return value

        return self.parsed(name, default, parse=parse, expected="a whole number, zero or more")

    def seconds(self, name: str, default: int) -> timedelta:
        """A time span, given as a whole number of seconds."""
        return timedelta(seconds=self.integer(name, default))

    def integers(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """A comma separated list of whole numbers above zero, at least one."""

        def parse(raw: str) -> tuple[int, ...]:
            values = tuple(int(word) for word in raw.split(","))
            if min(values) <= 0:
                raise ValueError(raw)
            return values

        return self.parsed(name, default, parse=parse, expected="whole numbers above zero, separated by commas")

    def words(self, name: str) -> tuple[str, ...]:
        """A comma separated list."""
        return tuple(word.strip() for word in self.text(name).split(",") if word.strip())


def listen_address(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`, `[::1]:PORT` or `PORT` (then loopback). ValueError when it is none of these."""
    host, _, port = text.rpartition(":")
    number = int(port)
    if not 0 <= number <= 65535 or "/" in host:
        raise ValueError(text)
    return host.strip("[]") or "127.0.0.1", number


def portal_url(text: str) -> str:
    """The address under which devices and people reach the portal, without a path. ValueError otherwise."""
    parts = urlsplit(text.rstrip("/"))
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path or parts.query or parts.username:
        raise ValueError(text)
    _ = parts.port  # raises ValueError when it is no port
    return f"{parts.scheme}://{parts.netloc}"
