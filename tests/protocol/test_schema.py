"""Apple's schema as facts, and what it says about parameters."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import commands as command_values
from protocol.commands import Command
from protocol.schema import check, checkins, commands
from protocol.schema.archive import read_folder
from protocol.schema.facts import FACTS_FILE

from .messages import TEXT, VALUES


def test_every_command_class_is_one_of_apples():
    for command_class in Command.__args__:
        if command_class is not command_values.GenericCommand:
            assert command_class.request_type in commands()


@pytest.mark.parametrize(
    "command",
    [
        command_values.InstallProfile(b"p"),
        command_values.RemoveProfile("a"),
        command_values.ProfileList(managed_only=True),
        command_values.ProvisioningProfileList(managed_only=True),
        command_values.CertificateList(managed_only=True),
        command_values.InstallProvisioningProfile(b"p"),
        command_values.RemoveProvisioningProfile("u"),
        command_values.InstalledApplicationList(identifiers=("a",), managed_apps_only=True),
        command_values.DeviceInformation(),
        command_values.SecurityInfo(),
        command_values.DeviceLock(message="m", phone_number="p", pin="123456"),
        command_values.ClearPasscode(b"u"),
        command_values.EraseDevice(
            pin="123456", preserve_data_plan=True, disallow_proximity_setup=True, obliteration_behavior="Default"
        ),
        command_values.RestartDevice(),
        command_values.ShutDownDevice(),
        command_values.DeviceConfigured(),
    ],
)
def test_our_commands_hold_to_the_schema_and_use_no_key_of_their_own(command):
    params = command.params()
    assert check(command.request_type, params) == []
    assert params.keys() <= {key.name for key in commands()[command.request_type].keys}


def test_the_inventory_asks_only_for_queries_that_apple_documents():
    queries = next(key for key in commands()["DeviceInformation"].keys if key.name == "Queries")
    documented = {key.name for key in queries.subkeys[0].subkeys}
    assert set(command_values.DEVICE_INFORMATION_QUERIES) <= documented


def test_platforms_say_who_may_get_a_command():
    lock = commands()["DeviceLock"].platforms
    assert set(lock) == {"iOS", "macOS", "visionOS", "watchOS"}
    assert (lock["iOS"].introduced, lock["iOS"].access_rights, lock["iOS"].device_channel) == ("4.0", 4, True)
    assert (lock["macOS"].user_enrollment, lock["macOS"].user_channel) == ("forbidden", False)
    assert commands()["InstallProfile"].platforms["macOS"].user_channel
    assert commands()["RestartDevice"].platforms["iOS"].supervised


def test_the_check_ins_are_those_we_parse():
    assert set(checkins()) == {
        "Authenticate",
        "CheckOut",
        "DeclarativeManagement",
        "GetBootstrapToken",
        "GetToken",
        "SetBootstrapToken",
        "TokenUpdate",
        "UserAuthenticate",
    }
    token = {key.name: key for key in checkins()["TokenUpdate"].keys}
    assert (token["Token"].type, token["Token"].required_everywhere) == ("data", True)
    assert not token["NotOnConsole"].required_everywhere


@pytest.mark.parametrize(
    ("request_type", "params", "problems"),
    [
        ("NoSuchCommand", {}, ["Apple's schema has no command NoSuchCommand."]),
        ("InstallProfile", {}, ["Payload is required."]),
        ("InstallProfile", {"Payload": "text"}, ["Payload must be of the type data."]),
        ("ProfileList", {"ManagedOnly": 1}, ["ManagedOnly must be of the type boolean."]),
        ("DeviceLock", {"SomethingNew": 5}, []),
        ("DeviceInformation", {"Queries": ["UDID", 5]}, ["Queries[1] must be of the type string."]),
        ("Settings", {"Settings": [{"Item": "Bluetooth"}]}, ["Settings[0].Enabled is required."]),
        ("Settings", {"Settings": [{"Item": "Bluetooth", "Enabled": True}, {"Item": "Newer"}, 5]}, []),
        ("Settings", {"Settings": {}}, ["Settings must be of the type array."]),
        (
            "ScheduleOSUpdate",
            {"Updates": [{"InstallAction": True}]},
            ["Updates[0].InstallAction must be of the type string."],
        ),
    ],
)
def test_missing_and_mistyped_keys_are_named(request_type, params, problems):
    assert check(request_type, params) == problems


def test_dates_and_whole_reals_have_their_types():
    assert check("EraseDevice", {"PIN": datetime(2024, 1, 1)}) == ["PIN must be of the type string."]  # noqa: DTZ001


@given(
    st.sampled_from(sorted(commands())),
    st.recursive(VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)),
    st.data(),
)
@settings(max_examples=50)
def test_any_parameters_can_be_checked(request_type, value, data):
    names = [key.name for key in commands()[request_type].keys] or ["X"]
    assert isinstance(check(request_type, {data.draw(st.sampled_from(names)): value}), list)


def test_the_facts_are_what_apples_schema_says_today():
    schema = os.environ.get("APPLE_SCHEMA_DIR")
    if not schema:
        pytest.skip("APPLE_SCHEMA_DIR names no checkout of Apple's schema")
    compile_module = pytest.importorskip("protocol.schema.compile")
    pytest.importorskip("yaml")
    assert FACTS_FILE.read_text(encoding="utf-8") == compile_module.render(
        compile_module.compile_schema(read_folder(Path(schema)))
    )
