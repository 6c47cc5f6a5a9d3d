"""Looking at the XML of a property list once more: which key comes twice, and where a broken file is broken.

A parser keeps the last of two equal keys and gives up without a line number; people who have to mend a file need both.
Sentences name lines and keys, never values: those may be secret. Grammar after Apple's PropertyList-1.0.dtd.
"""

from __future__ import annotations

import binascii
import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

__all__ = ["duplicate_keys", "explain"]

_CONTAINERS = frozenset({"dict", "array"})
_SCALARS = frozenset({"string", "integer", "real", "date", "data", "true", "false"})
_WITH_TEXT = frozenset({"key", "integer", "real", "date", "data", "true", "false"})
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+|0[xX][0-9a-fA-F]+", re.ASCII)
# What generators and people write where a value comes later: {{x}}, {x}, $X, ${X}, %x%, [X], <x>.
_VARIABLE = re.compile(r"[{$%\[]")
_MOST_NAMED = 20
_LONGEST_NAME = 100


def duplicate_keys(xml: bytes) -> list[str]:
    """The keys that one dictionary has twice, as paths ("PayloadContent[0].SSID_STR"), the first twenty; of good XML."""
    walk = _Walk(values=False)
    walk.run(xml)
    return walk.duplicates


def explain(xml: bytes) -> tuple[str, str] | None:
    """Why this is no property list: a code ("variable" or "not_a_plist") and a sentence; None when it is one."""
    walk = _Walk(values=True)
    return walk.run(xml)


class _Found(Exception):  # noqa: N818 (leaves the parser; it is no error of ours)
    def __init__(self, sentence: str, code: str = "not_a_plist") -> None:
        super().__init__(sentence)
        self.code, self.sentence = code, sentence


@dataclass(slots=True)
class _Level:
    """One dictionary or array that is open: the name that waits for its value, or the next item's number."""

    is_dict: bool
    keys: set[str] = field(default_factory=set)
    name: str | None = None
    number: int = 0

    @property
    def step(self) -> str:
        return f".{(self.name or '')[:_LONGEST_NAME]}" if self.is_dict else f"[{self.number}]"


class _Walk:
    """The handlers of one run of the parser."""

    def __init__(self, *, values: bool) -> None:
        self.duplicates: list[str] = []
        self._values = values
        self._levels: list[_Level] = []
        self._text: list[str] = []
        self._roots = 0
        self._parser = parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.EntityDeclHandler = self._entity

    def run(self, xml: bytes) -> tuple[str, str] | None:
        """What is wrong, or None."""
        try:
            self._parser.Parse(xml, True)  # noqa: FBT003 (expat's own signature)
            if not self._roots:
                raise _Found("It holds no value.")
        except _Found as found:
            return found.code, found.sentence
        except expat.ExpatError as error:
            return "not_a_plist", f"Line {error.lineno} is no well-formed XML ({expat.ErrorString(error.code)})."
        except (ValueError, LookupError, TypeError):
            return "not_a_plist", "Its encoding cannot be read."
        return None

    @property
    def _where(self) -> str:
        path = "".join(level.step for level in self._levels[:64]).lstrip(".")
        return f"Line {self._parser.CurrentLineNumber}{f' ({path})' if path else ''}"

    def _start(self, name: str, _attributes: dict[str, str]) -> None:
        if name == "plist":
            return
        if name == "key":
            self._await_key()
        elif name in _CONTAINERS or name in _SCALARS:
            self._await_value()
            if name in _CONTAINERS:
                self._levels.append(_Level(is_dict=name == "dict"))
        else:
            raise _Found(f"{self._where} has an element that property lists do not have.")
        if name == "key" or (self._values and name in _WITH_TEXT):
            self._text = []
            self._parser.CharacterDataHandler = self._text.append

    def _await_key(self) -> None:
        level = self._levels[-1] if self._levels else None
        if level is None or not level.is_dict:
            raise _Found(f"{self._where} has a key outside of a dictionary.")
        if level.name is not None:
            raise _Found(f"{self._where}: this key has no value.")

    def _await_value(self) -> None:
        if not self._levels:
            self._roots += 1
        elif self._levels[-1].is_dict and self._levels[-1].name is None:
            raise _Found(f"{self._where} has a value without a key.")

    def _end(self, name: str) -> None:
        if name == "plist":
            return
        self._parser.CharacterDataHandler = None
        if name == "key":
            self._name("".join(self._text))
            return
        if name in _CONTAINERS:
            level = self._levels[-1]
            if level.name is not None:
                raise _Found(f"{self._where}: this key has no value.")
            self._levels.pop()
        elif self._values and name in _WITH_TEXT:
            self._judge(name, "".join(self._text).strip())
        if self._levels:
            self._levels[-1].name = None
            self._levels[-1].number += 1

    def _name(self, key: str) -> None:
        level = self._levels[-1]
        level.name = key
        if key in level.keys and len(self.duplicates) < _MOST_NAMED:
            self.duplicates.append("".join(each.step for each in self._levels[:64]).lstrip("."))
        level.keys.add(key)

    def _judge(self, name: str, text: str) -> None:
        wanted = _wanted(name, text)
        if wanted is None:
            return
        if name != "data" and _VARIABLE.search(text):
            raise _Found(
                f"{self._where} has a placeholder where {wanted} must stand. Only texts can be filled in for each "
                "device: write the value itself.",
                "variable",
            )
        raise _Found(f"{self._where} must hold {wanted}.")

    def _entity(self, *_declaration: object) -> None:
        raise _Found("It declares entities (a DTD of its own), which property lists do not have.")


def _wanted(name: str, text: str) -> str | None:
    """What should stand in the element instead of this text; None when it is right."""
    if name == "integer":
        return _integer(text)
    is_right, words = _SHAPES[name]
    return None if is_right(text) else words


def _integer(text: str) -> str | None:
    if not _INTEGER.fullmatch(text):
        return "a whole number"
    fits = len(text) <= 30 and -(2**63) <= int(text, 16 if "x" in text.lower() else 10) < 2**64
    return None if fits else "a number of at most 64 bits"


def _is_real(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _is_base64(text: str) -> bool:
    try:
        binascii.a2b_base64(text)
    except (binascii.Error, ValueError):
        return False
    return True


def _is_date(text: str) -> bool:
    return _DATE.fullmatch(text) is not None


_EMPTY = "nothing: true and false are empty elements"
_SHAPES: Mapping[str, tuple[Callable[[str], bool], str]] = {
    "real": (_is_real, "a number"),
    "date": (_is_date, "a date such as 2026-01-31T12:00:00Z"),
    "data": (_is_base64, "Base64"),
    "true": (operator.not_, _EMPTY),
    "false": (operator.not_, _EMPTY),
}
