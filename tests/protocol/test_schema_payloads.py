"""Payload types in Apple's schema: variants, nesting without end, and what a value may be."""

from __future__ import annotations

from datetime import datetime

import pytest

from protocol.errors import SchemaError
from protocol.schema import check_payload, check_value, packaged
from protocol.schema.compile import compile_schema


def key(variant, *names):
    found = packaged().payloads[variant].as_key
    for name in names:
        found = next(inner for inner in found.subkeys if inner.name == name)
    return found


def test_one_payload_type_can_be_described_by_several_files():
    variants = packaged().variants("com.apple.MCX")
    assert len(variants) == 6
    time = packaged().match("com.apple.MCX", {"timeServer": "time.example.com", "timeZone": "Europe/Berlin"})
    assert time is not None
    assert time.variant == "com.apple.MCX(TimeServer)"
    assert packaged().match("com.example.unknown", {}) is None


def test_keys_that_contain_themselves_can_be_followed_for_ever():
    page = key("com.apple.homescreenlayout", "Pages", "PagesItem")
    for _ in range(50):
        icon = page.item
        page = next(inner for inner in icon.subkeys if inner.name == "Pages").item
        assert page.name == "PagesItem"
        assert {"Type", "BundleID"} <= {inner.name for inner in icon.subkeys}


def test_a_key_knows_what_differs_on_a_platform():
    simple = key("com.apple.mobiledevice.passwordpolicy", "allowSimple")
    assert simple.platforms["iOS"].user_enrollment == "ignored"
    assert simple.platforms["macOS"].user_enrollment == "forbidden"
    assert key("com.apple.mobiledevice.passwordpolicy", "changeAtNextAuth").platforms.keys() == {"macOS"}


def test_an_array_of_arrays_and_a_free_dictionary_say_what_they_hold():
    pair = key("com.apple.security.scep", "PayloadContent", "Subject").item.item
    assert (pair.item.min_items, pair.item.max_items) == (2, 2)
    assert key("com.apple.webcontent-filter", "VendorConfig").is_open


@pytest.mark.parametrize(
    ("variant", "content", "problems"),
    [
        ("com.apple.mobiledevice.passwordpolicy", {"minLength": 17}, ["minLength must be between 0 and 16."]),
        ("com.apple.mobiledevice.passwordpolicy", {"minLength": "6"}, ["minLength must be a whole number."]),
        ("com.apple.mobiledevice.passwordpolicy", {"forcePIN": 1}, ["forcePIN must be true or false."]),
        ("com.apple.universalaccess", {"contrast": 2.5}, ["contrast must be between 0.0 and 1.0."]),
        ("com.apple.webClip.managed", {"URL": "https://example.com"}, ["Label is required."]),
        (
            "com.apple.security.scep",
            {"PayloadContent": {"URL": "https://example.com", "Subject": [[["CN"]]]}},
            ["PayloadContent.Subject[0][0] must have at least 2 items."],
        ),
        ("com.apple.system.logging", {"System": {"Enable-Logging": datetime(2024, 1, 1)}}, None),  # noqa: DTZ001
    ],
)
def test_wrong_values_are_named_with_their_path_and_what_would_be_right(variant, content, problems):
    found = [f"{problem.where} {problem.sentence}" for problem in check_payload(packaged().payloads[variant], content)]
    if problems is not None:
        assert found == problems


def test_a_value_that_is_filled_in_for_each_device_is_not_judged():
    vpn_type = key("com.apple.vpn.managed", "VPNType")
    assert check_value(vpn_type, "{{ device.name }}") == []
    assert "must be one of" in check_value(vpn_type, "PPTP")[0]


@pytest.mark.parametrize(
    "content",
    [
        b"\xff",
        b"- [",
        b"just text",
        b"payload: 5",
        b"payload: {payloadtype: a}\npayloadkeys: [{key: a}]",
        b"a: &a [*a]",
    ],
)
def test_files_that_are_no_schema_are_refused_by_name(content):
    with pytest.raises(SchemaError, match="bad"):
        compile_schema({"mdm/profiles/bad.yaml": content})


@pytest.mark.parametrize(
    "place", ["key: *a8, type: <string>", "key: k, type: *a8", "key: k, type: <string>, format: *a8"]
)
def test_aliases_are_counted_before_anything_is_written_out(place):
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 9)]
    text = "\n".join([*levels, "payload: {payloadtype: a}", f"payloadkeys: [{{{place}}}]"])
    with pytest.raises(SchemaError, match="unfolds"):
        compile_schema({"mdm/profiles/bomb.yaml": text.encode()})


@pytest.mark.parametrize("bracket", ["[", "{a: ", "- "])
def test_yaml_that_is_nested_without_end_does_not_reach_the_loader(bracket):
    # The C loader would overflow its stack and take the process with it.
    with pytest.raises(SchemaError, match=r"too deep|no YAML"):
        compile_schema({"mdm/profiles/deep.yaml": b"x:\n  " + bracket.encode() * 100_000})


def test_aliases_that_unfold_without_end_are_refused():
    levels = ["a0: &a0 [{key: k, type: <string>}]"]
    for level in range(1, 5):
        inside = ", ".join(f"{{key: k{n}, type: <dictionary>, subkeys: *a{level - 1}}}" for n in range(12))
        levels.append(f"a{level}: &a{level} [{inside}]")
    text = "\n".join([*levels, "payload: {payloadtype: a}", "payloadkeys: *a4"])
    with pytest.raises(SchemaError, match="more keys"):
        compile_schema({"mdm/profiles/bomb.yaml": text.encode()})
