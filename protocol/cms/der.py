"""A small reader and writer of DER, and a normaliser that turns BER into it (X.690).

Made for CMS: it knows tags and lengths, not types, and it copies nothing until
asked, because it stands on the way of every signed request. It is no general
ASN.1 library: no tags above 30, and certificates go to `cryptography`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from protocol.errors import SignatureError

T = TypeVar("T")

INTEGER = 0x02
OCTET_STRING = 0x04
NULL = 0x05
OBJECT_IDENTIFIER = 0x06
UTF8_STRING = 0x0C
PRINTABLE_STRING = 0x13
SEQUENCE = 0x30
SET = 0x31
CONSTRUCTED = 0x20

# The deepest honest structure, a SCEP reply with a chain, nests 14 levels.
_MAX_DEPTH = 40


class Reader:
    """A cursor over the elements of one DER value; every misfit raises SignatureError."""

    __slots__ = ("at", "data", "end")

    def __init__(self, data: bytes, at: int = 0, end: int | None = None) -> None:
        self.data = data
        self.at = at
        self.end = len(data) if end is None else end

    def __bool__(self) -> bool:
        """Whether anything is left to read."""
        return self.at < self.end

    def peek(self) -> int:
        """The tag byte of the next element, or -1 at the end."""
        return self.data[self.at] if self.at < self.end else -1

    def enter(self, tag: int) -> Reader:
        """Step over the next element and return a reader of what is inside it."""
        start, stop = self._take(tag)
        return Reader(self.data, start, stop)

    def value(self, tag: int) -> bytes:
        """Step over the next element and return its content bytes."""
        start, stop = self._take(tag)
        return self.data[start:stop]

    def whole(self, tag: int = -1) -> bytes:
        """Step over the next element (of any tag when -1) and return it with tag and length."""
        at = self.at
        return self.data[at : self._take(tag)[1]]

    def skip(self, tag: int) -> None:
        """Step over the next element."""
        self._take(tag)

    def rest(self) -> bytes:
        """Step to the end and return all that was left, as it stands."""
        at, self.at = self.at, self.end
        return self.data[at : self.end]

    def finish(self) -> None:
        """Insist that nothing is left."""
        if self.at < self.end:
            raise SignatureError("The structure has elements that do not belong there.")

    def _take(self, tag: int) -> tuple[int, int]:
        found, start, stop = header(self.data, self.at, self.end)
        if tag not in (-1, found):
            raise SignatureError("The structure has another element than the expected one.")
        self.at = stop
        return start, stop


def header(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Tag, start and stop of the content of the element at `at`; definite lengths only."""
    if at + 2 > end:
        raise SignatureError("The structure ends too early.")
    tag, length, start = data[at], data[at + 1], at + 2
    if length > 0x7F:
        count = length & 0x7F
        # 0x80 opens an indefinite length: BER, which the normaliser reads.
        if not 0 < count <= 4 or start + count > end:
            raise SignatureError("An element has a length that cannot be read.")
        length = int.from_bytes(data[start : start + count], "big")
        start += count
    stop = start + length
    if stop > end or tag & 0x1F == 0x1F:
        raise SignatureError("An element is longer than what holds it.")
    return tag, start, stop


def normalise(data: bytes) -> bytes:
    """Rewrite BER with definite minimal lengths and primitive octet strings.

    SET OF keeps its order: signers sign their own. Raises SignatureError for
    what is no BER, nests too deep, or is more than one element.
    """
    canonical, stop = _normalise(data, 0, len(data), depth=0)
    if stop != len(data):
        raise SignatureError("Other bytes follow the structure.")
    return canonical


def read_tolerantly(data: bytes, read: Callable[[bytes], T]) -> T:
    """What `read` makes of DER, else of the same structure rewritten from BER; its SignatureError when neither."""
    try:
        return read(data)
    except SignatureError:
        canonical = normalise(data)
        if canonical == data:
            raise
        return read(canonical)


def _normalise(data: bytes, at: int, end: int, *, depth: int) -> tuple[bytes, int]:
    if depth > _MAX_DEPTH:
        raise SignatureError("The structure is nested too deep.")
    if at + 2 > end:
        raise SignatureError("The structure ends too early.")
    tag = data[at]
    if data[at + 1] == 0x80 and tag & CONSTRUCTED and tag & 0x1F != 0x1F:
        parts, stop = _until_end_of_contents(data, at + 2, end, depth=depth)
    else:
        _, start, stop = header(data, at, end)
        if not tag & CONSTRUCTED:
            return encode(tag, data[start:stop]), stop
        parts = []
        while start < stop:
            part, start = _normalise(data, start, stop, depth=depth + 1)
            parts.append(part)
    if tag == OCTET_STRING | CONSTRUCTED:
        return encode(OCTET_STRING, join_octets(Reader(b"".join(parts)))), stop
    return encode(tag, *parts), stop


def _until_end_of_contents(data: bytes, at: int, end: int, *, depth: int) -> tuple[list[bytes], int]:
    parts: list[bytes] = []
    while data[at : min(at + 2, end)] != b"\0\0":
        part, at = _normalise(data, at, end, depth=depth + 1)
        parts.append(part)
    return parts, at + 2


def join_octets(segments: Reader) -> bytes:
    """The bytes of an octet string that was sent as a row of primitive segments."""
    parts = []
    while segments:
        parts.append(segments.value(OCTET_STRING))
    return b"".join(parts)


def encode(tag: int, *parts: bytes) -> bytes:
    """One element: tag, length and the parts one after the other."""
    content = b"".join(parts)
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(size))) + size + content


def sequence(*parts: bytes) -> bytes:
    """A SEQUENCE of elements that are encoded already."""
    return encode(SEQUENCE, *parts)


def set_of(parts: Iterable[bytes]) -> bytes:
    """A SET OF in the order that DER asks for."""
    return encode(SET, *sorted(parts))


def octets(content: bytes) -> bytes:
    """A primitive OCTET STRING."""
    return encode(OCTET_STRING, content)


def integer(number: int) -> bytes:
    """An INTEGER that is not negative."""
    return encode(INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def oid(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER with tag and length, for constants and comparisons."""
    first, second, *others = (int(arc) for arc in dotted.split("."))
    content = bytearray()
    for arc in (first * 40 + second, *others):
        septets = [arc & 0x7F]
        while arc := arc >> 7:
            septets.append(arc & 0x7F | 0x80)
        content += bytes(reversed(septets))
    return encode(OBJECT_IDENTIFIER, bytes(content))
