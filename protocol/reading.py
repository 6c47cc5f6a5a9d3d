"""Typed reading of one message's keys: strict where Apple requires, liberal where it does not.

An optional key of a wrong type is left out and its name remembered, since a
device that sends one odd fact must still be managed; a required one raises
MessageError. Not for profiles, whose authors want to hear of every mistake.
"""

from __future__ import annotations

from collections.abc import Mapping

from protocol.errors import MessageError
from protocol.plist import PlistValue

__all__ = ["LONGEST_TEXT", "MessageReader"]

# No identifier or name that devices send comes near; the tables that keep them need some bound.
LONGEST_TEXT = 255


class MessageReader:
    """Reads keys of one message; `ignored` lists the optional keys that had to be left out."""

    def __init__(self, message: Mapping[str, PlistValue]) -> None:
        self._message = message
        self._ignored: list[str] = []

    @property
    def ignored(self) -> tuple[str, ...]:
        """Names of optional keys that were there, but of a wrong type or too long."""
        return tuple(self._ignored)

    def text(self, key: str) -> str:
        """A required string of 1 to 255 characters."""
        value = self._message.get(key)
        if not isinstance(value, str) or not 0 < len(value) <= LONGEST_TEXT:
            raise MessageError(f"{key} is missing, empty, too long or no string")
        return value

    def data(self, key: str) -> bytes:
        """Required bytes, at least one."""
        value = self._message.get(key)
        if not isinstance(value, bytes) or not value:
            raise MessageError(f"{key} is missing, empty or no data")
        return value

    def optional_text(self, key: str) -> str | None:
        """A string of at most 255 characters, or None."""
        value = self._message.get(key)
        if isinstance(value, str) and len(value) <= LONGEST_TEXT:
            return value
        self._ignore(key, value)
        return None

    def optional_data(self, key: str) -> bytes | None:
        """Bytes, or None."""
        value = self._message.get(key)
        if isinstance(value, bytes):
            return value
        self._ignore(key, value)
        return None

    def optional_int(self, key: str) -> int | None:
        """An integer, or None."""
        value = self._message.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        self._ignore(key, value)
        return None

    def optional_bool(self, key: str) -> bool | None:
        """A boolean, or None; 0 and 1 pass for one, since some tools write them."""
        value = self._message.get(key)
        if isinstance(value, int) and value in {0, 1}:
            return bool(value)
        self._ignore(key, value)
        return None

    def optional_dict(self, key: str) -> dict[str, PlistValue]:
        """A dictionary; empty when the key is missing."""
        value = self._message.get(key)
        if isinstance(value, dict):
            return value
        self._ignore(key, value)
        return {}

    def _ignore(self, key: str, value: PlistValue | None) -> None:
        if value is not None:
            self._ignored.append(key)
