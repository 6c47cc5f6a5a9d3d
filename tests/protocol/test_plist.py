"""Property lists: what comes in, what never comes in, and what goes out."""

from __future__ import annotations

import contextlib
import plistlib
import struct
from datetime import datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocol.errors import PlistError, PlistTooDeepError
from protocol.plist import MAX_DEPTH, dumps, loads, loads_dict

# Plist dates are naive UTC.
EARLY, LATE = datetime(1970, 1, 1), datetime(2100, 1, 1)  # noqa: DTZ001
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=20)
SCALARS = (
    TEXT
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.binary(max_size=40)
    | st.datetimes(min_value=EARLY, max_value=LATE).map(lambda d: d.replace(microsecond=0))
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=20
)
DOCTYPE = b'<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">'


def binary(objects: list[bytes], *, top: int = 0, ref_size: int = 1, offsets: list[int] | None = None) -> bytes:
    """A binary plist of raw objects, so that a test can write what no writer writes."""
    data = b"bplist00"
    where = []
    for item in objects:
        where.append(len(data))
        data += item
    where = offsets if offsets is not None else where
    table = b"".join(struct.pack(">I", offset) for offset in where)
    return data + table + struct.pack(">6xBBQQQ", 4, ref_size, len(where), top, len(data))


@given(VALUES)
@settings(max_examples=50)
def test_a_value_survives_xml_both_ways(value):
    assert loads(dumps(value)) == value


@given(VALUES)
@settings(max_examples=50)
def test_a_binary_plist_says_the_same_as_the_standard_library(value):
    assert loads(plistlib.dumps(value, fmt=plistlib.FMT_BINARY)) == value


@given(st.binary(max_size=200))
@example(b"")
@example(b"bplist00")
@example(b"<plist><date>x</date></plist>")
@example(b"<plist><data>=</data></plist>")
@example(b"<plist><integer>" + b"9" * 5000 + b"</integer></plist>")
@example(b'<?xml version="1.0" encoding="idna"?><plist/>')
@example(b'<?xml version="1.0" encoding="undefined"?><plist/>')
@settings(max_examples=100)
def test_no_bytes_raise_anything_but_a_plist_error(data):
    for candidate in (data, b"bplist00" + data, b"<plist>" + data + b"</plist>"):
        with contextlib.suppress(PlistError):
            loads(candidate)


@given(VALUES, st.data())
@settings(max_examples=100)
def test_a_damaged_binary_plist_raises_nothing_but_a_plist_error(value, data):
    damaged = bytearray(plistlib.dumps({"k": value}, fmt=plistlib.FMT_BINARY))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(8, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(PlistError):
        dumps(loads(bytes(damaged)))


def test_apples_doctype_is_accepted_and_leading_space_forgiven():
    assert loads(b'\n <?xml version="1.0"?>' + DOCTYPE + b"<plist><dict/></plist>") == {}
    assert loads(DOCTYPE + b"<plist><dict/></plist>") == {}


def test_an_entity_declaration_is_refused():
    bomb = b'<?xml version="1.0"?><!DOCTYPE plist [<!ENTITY a "aaaa">]><plist><string>&a;</string></plist>'
    with pytest.raises(PlistError):
        loads(bomb)


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 5000, 100_000])
def test_a_deep_xml_plist_is_refused(depth):
    with pytest.raises(PlistTooDeepError):
        loads(b"<plist>" + b"<array>" * depth + b"</array>" * depth + b"</plist>")


def test_a_deep_binary_plist_is_refused():
    depth = 5000
    objects = [b"\xa1" + struct.pack(">H", index + 1) for index in range(depth)] + [b"\x08"]
    with pytest.raises(PlistTooDeepError):
        loads(binary(objects, ref_size=2))


def test_the_deepest_allowed_plist_can_be_read_and_written_again():
    xml = b"<plist>" + b"<array>" * MAX_DEPTH + b"<true/>" + b"</array>" * MAX_DEPTH + b"</plist>"
    objects = [b"\xa1" + struct.pack(">H", index + 1) for index in range(MAX_DEPTH)] + [b"\x09"]
    assert dumps(loads(xml)) == dumps(loads(binary(objects, ref_size=2)))


def test_depth_is_counted_through_a_shared_container():
    objects = [b"\xa2" + bytes([index + 1, index + 1]) for index in range(10)] + [b"\xa0"]
    with pytest.raises(PlistTooDeepError):
        loads(binary(objects), max_depth=10)
    assert loads(binary(objects), max_depth=11)


@pytest.mark.parametrize("objects", [[b"\xa1\x00"], [b"\xa1\x01", b"\xa1\x00"], [b"\xd1\x01\x00", b"\x51k"]])
def test_a_binary_plist_that_contains_itself_is_refused(objects):
    with pytest.raises(PlistError, match="contains itself"):
        loads(binary(objects))


def test_exponentially_shared_containers_are_refused():
    objects = [b"\xa2" + bytes([index + 1, index + 1]) for index in range(60)] + [b"\xa0"]
    with pytest.raises(PlistError, match="honest size"):
        loads(binary(objects))


def test_a_long_string_shared_many_times_is_refused():
    long_text = b"\x5f\x12" + struct.pack(">I", 100_000) + b"a" * 100_000
    many = b"\xaf\x12" + struct.pack(">I", 50_000) + b"\x01" * 50_000
    with pytest.raises(PlistError, match="honest size"):
        loads(binary([many, long_text]))


def test_objects_that_lie_over_each_other_are_refused():
    many = b"\xaf\x12" + struct.pack(">I", 30_000) + b"\xff\xff" * 30_000
    objects = [
        b"\xaf\x12" + struct.pack(">I", 200) + b"".join(struct.pack(">H", index + 1) for index in range(200)),
        many,
    ]
    first = 8
    second = first + len(objects[0])
    with pytest.raises(PlistError):
        loads(binary(objects, ref_size=2, offsets=[first] + [second] * 200))
    text = b"\x5f\x12" + struct.pack(">I", 1000) + b"a" * 1000
    with pytest.raises(PlistError, match="overlap"):
        loads(binary([objects[0], text], ref_size=2, offsets=[first] + [second] * 200))


def test_a_trailer_that_promises_the_world_costs_nothing():
    with pytest.raises(PlistError):
        loads(b"bplist00" + b"\x08" + struct.pack(">6xBBQQQ", 8, 8, 2**60, 0, 9))


@pytest.mark.parametrize(
    "value",
    [
        b"\x00",
        b"\x80\x01",
        b"\x0f",
        b"\x51\x00",
        b"\x61\xd8\x00",
        b"\x61\xff\xff",
        b"\x23\x7f\xf8" + bytes(6),
        b"\x33" + b"\x7f" * 8,
    ],
)
def test_values_that_xml_cannot_carry_are_refused(value):
    with pytest.raises(PlistError):
        loads(binary([value]))


@pytest.mark.parametrize("text", ["nan", "inf", "-Infinity"])
def test_a_real_that_is_no_number_is_refused(text):
    with pytest.raises(PlistError):
        loads(f"<plist><real>{text}</real></plist>".encode())


def test_an_integer_beyond_64_bits_is_refused():
    assert loads(f"<plist><integer>{2**64 - 1}</integer></plist>".encode()) == 2**64 - 1
    with pytest.raises(PlistError):
        loads(f"<plist><integer>{2**64}</integer></plist>".encode())


def test_loads_dict_refuses_an_array():
    with pytest.raises(PlistError):
        loads_dict(dumps(["a"]))


def test_what_cannot_be_written_is_a_plist_error():
    cyclic: list = []
    cyclic.append(cyclic)
    for value in (cyclic, {"a": None}, {1: "a"}, "\x00", 2**70):
        with pytest.raises(PlistError):
            dumps(value)


def test_an_error_never_quotes_the_document():
    with pytest.raises(PlistError) as caught:
        loads(b"<plist><integer>topsecret</integer></plist>")
    assert "topsecret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_file_of_nothing_but_tiny_elements_is_refused_before_it_is_read():
    body = b"<plist><array>" + b"<dict/>" * 4_000_000 + b"</array></plist>"
    with pytest.raises(PlistError, match="honest"):
        loads(body)
