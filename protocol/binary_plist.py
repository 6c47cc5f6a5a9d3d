"""The binary property list format ("bplist00"), read with a bounded amount of work.

Layout after CoreFoundation's CFBinaryPList.c: header, objects, offset table,
32-byte trailer. Hostile files point many offsets at the same bytes, share
containers or refer to themselves; honest writers never do, so the bytes
read and the tree's size are held against the length of the file.
"""

from __future__ import annotations

import struct
from datetime import datetime, timedelta
from typing import Final

from protocol.errors import PlistError, PlistTooDeepError

__all__ = ["MAGIC", "read_binary"]

MAGIC: Final = b"bplist00"
_TRAILER = struct.Struct(">6xBBQQQ")
# Seconds in binary dates count from here; datetimes of plists are naive UTC throughout.
_EPOCH = datetime(2001, 1, 1)  # noqa: DTZ001
# Writers store equal strings once; a reference of one byte may stand for a long key. Honest files stay far below.
_GROWTH = 16
_FLOOR = 1 << 20
# However large the file: what its tree may weigh. A value weighs what a reference to it does, a text its letters too.
_HEAVIEST = 1 << 27
_REFERENCE = 8


def read_binary(data: bytes, *, max_depth: int) -> object:
    """Read one document into a finite tree of dicts, lists and scalars (None and non-text keys may occur).

    Raises PlistError, or PlistTooDeepError below `max_depth` containers.
    """
    try:
        return _Reader(data, max_depth).read()
    except (struct.error, ValueError, IndexError, OverflowError) as error:
        raise PlistError(f"not a binary property list ({type(error).__name__})") from None


class _Reader:
    __slots__ = (
        "_budget",
        "_data",
        "_done",
        "_max_depth",
        "_max_weight",
        "_objects",
        "_offset_size",
        "_ref_size",
        "_table",
    )

    def __init__(self, data: bytes, max_depth: int) -> None:
        self._data = data
        self._max_depth = max_depth
        self._budget = len(data)
        self._max_weight = min(_FLOOR + _GROWTH * len(data), _HEAVIEST)
        # reference -> (value, weight of its whole tree); None while it is being read, which shows a cycle
        self._done: dict[int, tuple[object, int] | None] = {}

    def read(self) -> object:
        offset_size, ref_size, count, top, table = _TRAILER.unpack(self._data[-32:])
        if not (1 <= offset_size <= 8 and 1 <= ref_size <= 8 and table + count * offset_size <= len(self._data) - 32):
            raise PlistError("the trailer of the binary property list is wrong")
        self._offset_size, self._ref_size, self._objects, self._table = offset_size, ref_size, count, table
        return self._object(top, 1)[0]

    def _object(self, ref: int, depth: int) -> tuple[object, int]:
        if ref in self._done:
            known = self._done[ref]
            if known is None:
                raise PlistError("the binary property list contains itself")
            return known
        if ref >= self._objects:
            raise PlistError("the binary property list refers to an object it does not have")
        self._done[ref] = None
        result = self._read_at(self._number(self._table + ref * self._offset_size, self._offset_size), depth)
        self._done[ref] = result
        return result

    def _weigh(self, weight: int) -> None:
        if weight > self._max_weight:
            raise PlistError("the binary property list grows beyond any honest size")

    def _read_at(self, offset: int, depth: int) -> tuple[object, int]:
        if not len(MAGIC) <= offset < self._table:
            raise PlistError("an object of the binary property list lies outside it")
        kind, info = self._data[offset] >> 4, self._data[offset] & 0x0F
        if kind in {0x4, 0x5, 0x6, 0xA, 0xD}:
            count, start = self._count(offset, info)
            if kind in {0xA, 0xD}:
                if depth > self._max_depth:
                    raise PlistTooDeepError(f"the property list is nested deeper than {self._max_depth} levels")
                return self._array(start, count, depth) if kind == 0xA else self._dict(start, count, depth)
            return self._text_or_data(kind, start, count)
        return self._scalar(kind, info, offset), _REFERENCE

    def _scalar(self, kind: int, info: int, offset: int) -> object:
        match kind, info:
            case 0x0, 0x8:
                return False
            case 0x0, 0x9:
                return True
            case 0x1, _ if info <= 4:
                size = 1 << info
                # Only 8 and 16 byte integers are signed (CFBinaryPList.c).
                return int.from_bytes(self._bytes(offset + 1, size), "big", signed=size >= 8)
            case 0x2, 0x2:
                return float(struct.unpack(">f", self._bytes(offset + 1, 4))[0])
            case 0x2, 0x3:
                return float(struct.unpack(">d", self._bytes(offset + 1, 8))[0])
            case 0x3, 0x3:
                seconds = struct.unpack(">d", self._bytes(offset + 1, 8))[0]
                return _EPOCH + timedelta(seconds=seconds)
        raise PlistError("the binary property list holds a value that MDM does not use")

    def _text_or_data(self, kind: int, start: int, count: int) -> tuple[object, int]:
        raw = self._bytes(start, count * 2 if kind == 0x6 else count)
        if kind == 0x4:
            return raw, _REFERENCE + len(raw)
        return raw.decode("ascii" if kind == 0x5 else "utf-16-be"), _REFERENCE + len(raw)

    def _array(self, start: int, count: int, depth: int) -> tuple[object, int]:
        values: list[object] = []
        weight = _REFERENCE
        for ref in self._refs(start, count):
            value, its_weight = self._object(ref, depth + 1)
            values.append(value)
            weight += its_weight
            self._weigh(weight)
        return values, weight

    def _dict(self, start: int, count: int, depth: int) -> tuple[object, int]:
        refs = self._refs(start, 2 * count)
        pairs: dict[str, object] = {}
        weight = _REFERENCE
        for key_ref, value_ref in zip(refs[:count], refs[count:], strict=True):
            key, key_weight = self._object(key_ref, depth + 1)
            if not isinstance(key, str):
                raise PlistError("a key of the binary property list is no string")
            pairs[key], its_weight = self._object(value_ref, depth + 1)
            weight += key_weight + its_weight
            self._weigh(weight)
        return pairs, weight

    def _refs(self, start: int, count: int) -> list[int]:
        size = self._ref_size
        raw = self._bytes(start, count * size)
        return [int.from_bytes(raw[at : at + size], "big") for at in range(0, len(raw), size)]

    def _count(self, offset: int, info: int) -> tuple[int, int]:
        """How many items an object has and where they begin; 15 means that an integer object says it."""
        if info != 0xF:
            return info, offset + 1
        marker = self._data[offset + 1]
        if marker >> 4 != 0x1 or marker & 0x0F > 3:
            raise PlistError("a length in the binary property list is wrong")
        size = 1 << (marker & 0x0F)
        return self._number(offset + 2, size), offset + 2 + size

    def _number(self, offset: int, size: int) -> int:
        raw = self._data[offset : offset + size]
        if len(raw) != size:
            raise PlistError("the binary property list ends too early")
        return int.from_bytes(raw, "big")

    def _bytes(self, start: int, size: int) -> bytes:
        if start + size > self._table:
            raise PlistError("the binary property list ends too early")
        # Objects of an honest file never overlap, so all of them together are shorter than the file.
        self._budget -= size
        if self._budget < 0:
            raise PlistError("the objects of the binary property list overlap")
        return self._data[start : start + size]
