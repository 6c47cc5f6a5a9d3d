"""Commands, written and read."""

from __future__ import annotations

import contextlib
import plistlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import commands
from protocol.errors import MessageError, PlistError, ProtocolError

from .messages import VALUES, encoded

EXAMPLES = [
    (commands.InstallProfile(b"topsecret"), {"Payload": b"topsecret"}),
    (commands.RemoveProfile("com.example.vpn"), {"Identifier": "com.example.vpn"}),
    (commands.ProfileList(), {}),
    (commands.ProfileList(managed_only=True), {"ManagedOnly": True}),
    (commands.InstallProvisioningProfile(b"p"), {"ProvisioningProfile": b"p"}),
    (commands.ProvisioningProfileList(), {}),
    (commands.RemoveProvisioningProfile("U"), {"UUID": "U"}),
    (commands.CertificateList(managed_only=True), {"ManagedOnly": True}),
    (commands.InstalledApplicationList(), {}),
    (
        commands.InstalledApplicationList(identifiers=("a.b",), managed_apps_only=True),
        {"Identifiers": ["a.b"], "ManagedAppsOnly": True},
    ),
    (commands.DeviceInformation(("UDID",)), {"Queries": ["UDID"]}),
    (commands.SecurityInfo(), {}),
    (commands.DeviceLock(), {}),
    (
        commands.DeviceLock(message="Lost", phone_number="0", pin="topsecret"),
        {"Message": "Lost", "PhoneNumber": "0", "PIN": "topsecret"},
    ),
    (commands.ClearPasscode(b"topsecret"), {"UnlockToken": b"topsecret"}),
    (commands.EraseDevice(), {}),
    (commands.EraseDevice(pin="topsecret", preserve_data_plan=True), {"PIN": "topsecret", "PreserveDataPlan": True}),
    (commands.RestartDevice(), {}),
    (commands.ShutDownDevice(), {}),
    (commands.DeviceConfigured(), {}),
    (commands.GenericCommand("Settings", {"Settings": [{"Item": "Bluetooth"}]}), {"Settings": [{"Item": "Bluetooth"}]}),
]


@pytest.mark.parametrize(("command", "params"), EXAMPLES, ids=lambda value: type(value).__name__)
def test_a_command_reaches_the_device_with_apples_keys(command, params):
    body = commands.render_command("C-1", command)
    assert plistlib.loads(body) == {"CommandUUID": "C-1", "Command": {"RequestType": command.request_type, **params}}
    assert commands.parse_command(body) == ("C-1", commands.GenericCommand(command.request_type, params))


@pytest.mark.parametrize(("command", "params"), EXAMPLES, ids=lambda value: type(value).__name__)
def test_no_secret_shows_in_a_repr(command, params):
    assert "topsecret" not in repr(command)


def test_parameters_never_change_the_request_type():
    body = commands.render_command("C", commands.GenericCommand("ProfileList", {"RequestType": "EraseDevice"}))
    assert commands.parse_command(body)[1].request_type == "ProfileList"


def test_a_value_that_no_plist_can_hold_is_refused():
    with pytest.raises(PlistError):
        commands.render_command("C", commands.GenericCommand("X", {"a": None}))


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"CommandUUID": "C"},
        {"CommandUUID": "C", "Command": {}},
        {"Command": {"RequestType": "A"}},
        {"CommandUUID": 5, "Command": {"RequestType": "A"}},
    ],
)
def test_half_a_command_is_refused(message):
    with pytest.raises(MessageError):
        commands.parse_command(plistlib.dumps(message))


@given(st.dictionaries(st.sampled_from(["CommandUUID", "Command", "RequestType"]), VALUES))
@settings(max_examples=30)
def test_any_plist_is_a_command_or_refused(message):
    for body in encoded(message):
        with contextlib.suppress(ProtocolError):
            commands.parse_command(body)
