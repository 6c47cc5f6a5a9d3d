"""Values of a plist as text in an input, and back. One scalar at a time; property lists as text are in `fragments`.

What the text says decides nothing but the type: ranges, patterns and listed values are judged by `protocol.schema`.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from datetime import UTC, datetime

from protocol.plist import PlistValue
from protocol.schema.checking import WORDS

__all__ = ["TextError", "check_characters", "text_of", "value_of"]

_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_REAL = re.compile(r"[+-]?([0-9]{1,400}(\.[0-9]{0,400})?|\.[0-9]{1,400})([eE][+-]?[0-9]{1,4})?", re.ASCII)
_DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})?"
)
# XML 1.0, section 2.2, as in protocol.plist.
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_LEAST, _MOST = -(2**63), 2**64 - 1


class TextError(ValueError):
    """A text that does not say a value of the type; the sentence follows the key's path and quotes nothing."""


def text_of(value: PlistValue) -> str:
    """A scalar as text: "true", "15", "1.0", "2030-01-02T03:04:05" (UTC), base64 for data."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.replace(microsecond=0).isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return repr(value) if isinstance(value, float) else str(value)


def value_of(kind: str, text: str) -> PlistValue:
    """The scalar that a text says. Line ends become LF, as a browser's CR LF stands for them.

    Raises TextError.
    """
    if kind == "string":
        return check_characters(text.replace("\r\n", "\n").replace("\r", "\n"))
    text = text.strip()
    if kind == "boolean" and text in {"true", "false"}:
        return text == "true"
    if kind == "integer":
        return _integer(text)
    if kind == "real":
        return _real(text)
    if kind == "date":
        return _date(text)
    if kind == "data":
        return _data(text)
    raise TextError(f"must be {WORDS.get(kind, kind)}.")


def check_characters(text: str) -> str:
    """The text itself. Raises TextError for characters that no property list can hold, NUL among them."""
    if _NOT_IN_XML.search(text):
        raise TextError("holds a character that a property list cannot carry, such as NUL: remove it.")
    return text


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise TextError(f"must be {WORDS['integer']}, such as 15.")
    # Python refuses to read thousands of digits.
    number = int(text) if len(text) < 40 else _MOST + 1
    if not _LEAST <= number <= _MOST:
        raise TextError(f"must fit into 64 bits: between {_LEAST} and {_MOST}.")
    return number


def _real(text: str) -> float:
    if not _REAL.fullmatch(text):
        raise TextError(f"must be {WORDS['real']}, such as 1.5.")
    number = float(text)
    if not math.isfinite(number):
        raise TextError("must be a number that a computer can hold: below 1.7e308.")
    return number


def _date(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text.replace(" ", "T")) if _DATE.fullmatch(text) else None
        # A plist's dates are UTC without saying so.
        found = found.astimezone(UTC).replace(tzinfo=None) if found and found.tzinfo else found
    except (ValueError, OverflowError):
        found = None
    if found is None:
        raise TextError("must be a date and time in UTC, such as 2030-01-31 18:30.")
    return found.replace(microsecond=0)


def _data(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()).encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        raise TextError("must be base64: letters, digits, +, / and = at the end.") from None
