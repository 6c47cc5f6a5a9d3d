"""Variables are filled in once, as text, wherever a plist holds text; nothing a device calls itself is read again."""

from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiles.errors import VariableError
from profiles.variables import NAMES, names_in, placeholder, secret_names, substitute, unknown

NAIVE = datetime.fromisoformat("2026-01-01")
LEAVES = (
    st.text(st.characters(codec="utf-8")) | st.integers() | st.booleans() | st.binary() | st.just("{{ device.name }}")
)
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner), max_leaves=20)


def test_names_are_found_at_every_depth_and_not_in_keys():
    content = {
        "{{ device.udid }}": 1,
        "A": ["{{ device.name }}-{{device.serial_number}}", {"B": "{{  secret.wifi-1 }}"}],
        "PayloadUUID": "{{ device.meid }}",
    }
    assert names_in(content) == {"device.name", "device.serial_number", "secret.wifi-1"}


def test_values_go_into_texts_and_every_other_type_stays():
    content = {"A": "x {{ device.name }} y", "B": [1, 1.0, True, b"\x00", NAIVE], "C": {"D": "plain"}}
    filled = substitute(content, {"device.name": "Phone"})
    assert filled == {**content, "A": "x Phone y"}
    assert [type(item) for item in filled["B"]] == [int, float, bool, bytes, datetime]
    assert content["A"] == "x {{ device.name }} y"


@pytest.mark.parametrize("name", ["{{ secret.x }}", "</string><true/>", "{% now %}", "\\1", "{{ device.name }}"])
def test_a_value_is_never_read_again(name):
    values = {"device.name": name, "secret.x": "hunter2"}
    assert substitute(["{{ device.name }}{{ device.name }}"], values) == [name + name]
    assert substitute("{{ secret.x }}", {**values, "secret.x": name.encode()}) == name


def test_keys_that_identify_a_payload_are_never_filled_in():
    content = dict.fromkeys(("PayloadIdentifier", "PayloadUUID", "PayloadType", "Other"), "{{ device.name }}")
    filled = substitute([content], {"device.name": "Phone"})
    assert filled == [{**content, "Other": "Phone"}]


def test_data_that_is_one_variable_becomes_the_secrets_bytes():
    content = {"PayloadContent": placeholder("secret.key").encode(), "Other": b"x {{ secret.key }}"}
    assert names_in(content) == {"secret.key"}
    assert substitute(content, {"secret.key": b"\xff\x00"}) == {
        "PayloadContent": b"\xff\x00",
        "Other": content["Other"],
    }
    assert substitute(content, {"secret.key": "text"})["PayloadContent"] == b"text"


def test_bytes_that_are_no_text_are_refused_in_a_text_without_being_told():
    with pytest.raises(VariableError, match=r"secret\.key") as refused:
        substitute("{{ secret.key }}", {"secret.key": b"\xff\xfe"})
    assert "\\xff" not in str(refused.value)
    assert substitute("{{ secret.key }}", {"secret.key": "grüße".encode()}) == "grüße"


def test_what_nothing_is_filled_in_for_is_named():
    assert unknown({"device.serial", "device.name", "secret.ok", "secret.", "secret.a.b", "name"}) == [
        "device.serial", "name", "secret.", "secret.a.b",
    ]  # fmt: skip
    assert unknown(NAMES) == []
    assert secret_names(["secret.b", "device.name", "secret.a", "secret.a.b"]) == ["a", "b"]


@settings(max_examples=50)
@given(TREES, st.text(st.characters(codec="utf-8")))
def test_whatever_is_filled_in_keeps_the_shape_and_leaves_the_rest_alone(tree, value):
    filled = substitute(tree, {"device.name": value})
    if "{{ device.name }}" not in repr(tree):
        assert filled == tree
    assert names_in(substitute(tree, {"device.name": "x"})) == names_in(tree) - {"device.name"}


def test_a_long_text_of_opening_braces_is_read_in_time():
    assert names_in("{{ " * 300_000 + "{{" + " " * 300_000) == frozenset()
