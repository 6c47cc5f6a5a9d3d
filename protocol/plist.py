"""Property lists: XML and binary in, XML out, every failure a PlistError.

What `loads` returns can always be walked, stored and dumped again: it is a
finite tree of bounded depth whose numbers and strings XML can carry.
The binary format is read by `binary_plist`, since plistlib's own reader lets
a small hostile file grow without bound. No paths into values, no schema.
"""

from __future__ import annotations

import math
import plistlib
import re
from collections.abc import Iterable
from datetime import datetime
from typing import TypeAlias, cast
from xml.parsers.expat import ExpatError

from protocol.binary_plist import MAGIC, read_binary
from protocol.errors import PlistError, PlistTooDeepError

__all__ = ["MAX_DEPTH", "PlistValue", "dumps", "loads", "loads_dict"]

PlistValue: TypeAlias = "dict[str, PlistValue] | list[PlistValue] | str | int | float | bool | bytes | datetime"

# Apple's deepest message is below 20. plistlib's writer spends two Python frames per level: what is read at
# this depth can be written again under any web server's own stack.
MAX_DEPTH = 256

# An empty element of seven letters becomes an object ten times its size. A list of 20,000 applications has a tenth.
_MOST_TAGS = 4_000_000
# XML 1.0, section 2.2: these cannot be said in a document, and a database's text column refuses NUL.
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1
# plistlib documents none of these: they are what its parser lets through on bytes made to hurt.
_PARSER_FAILURES = (
    ExpatError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    AssertionError,
    ArithmeticError,
    RecursionError,
    MemoryError,
)


def loads(data: bytes, *, max_depth: int = MAX_DEPTH) -> PlistValue:
    """Read an XML or binary property list; dates are naive UTC.

    Raises PlistTooDeepError below `max_depth` levels of dicts and arrays, PlistError for anything
    else that is no plist, among it UIDs, nulls, entity declarations and reals that are no number.
    """
    value = read_binary(data, max_depth=max_depth) if data.startswith(MAGIC) else _read_xml(data)
    _check(value, max_depth)
    return cast("PlistValue", value)


def loads_dict(data: bytes, *, max_depth: int = MAX_DEPTH) -> dict[str, PlistValue]:
    """`loads` for a message, whose top level is a dict. Raises PlistError when it is not."""
    value = loads(data, max_depth=max_depth)
    if not isinstance(value, dict):
        raise PlistError("the top level of the property list is no dictionary")
    return value


def dumps(value: PlistValue, *, sort_keys: bool = False) -> bytes:
    """Write XML, keys in the given order or sorted; equal bytes for equal values. Raises PlistError."""
    try:
        return plistlib.dumps(value, fmt=plistlib.FMT_XML, sort_keys=sort_keys)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise PlistError(f"this value cannot be written as a property list: {type(error).__name__}") from error


def _read_xml(data: bytes) -> object:
    if data.count(b"<") > _MOST_TAGS:
        raise PlistError("the property list has more elements than any honest one")
    try:
        return plistlib.loads(data.lstrip(), fmt=plistlib.FMT_XML)
    except _PARSER_FAILURES as error:
        # The parser's words may quote the document, which may hold secrets: only their kind is told.
        raise PlistError(f"not a property list ({type(error).__name__})") from None


def _check(root: object, max_depth: int) -> None:
    """Walk level by level, without recursion, and refuse what could not be stored or written again."""
    level = [root]
    depth = 0
    while level:
        containers = [value for value in level if not _is_scalar(value)]
        depth += 1
        if containers and depth > max_depth:
            raise PlistTooDeepError(f"the property list is nested deeper than {max_depth} levels")
        level = [item for container in containers for item in _items(container)]


def _items(container: object) -> Iterable[object]:
    if isinstance(container, dict):
        for key in container:
            _check_text(key)
        return container.values()
    return cast("list[object]", container)


def _is_scalar(value: object) -> bool:
    if isinstance(value, dict | list):
        return False
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise PlistError("a real in the property list is no finite number")
    elif isinstance(value, int):
        if not _INT_MIN <= value <= _INT_MAX:
            raise PlistError("an integer in the property list does not fit 64 bits")
    elif not isinstance(value, bytes | datetime):
        raise PlistError("the property list is empty or holds a value that MDM does not use")
    return True


def _check_text(text: object) -> None:
    if not isinstance(text, str) or _NOT_IN_XML.search(text):
        raise PlistError("a string in the property list holds a character that XML forbids")
