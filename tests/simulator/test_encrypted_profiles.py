"""Profiles that are encrypted to the device: it opens its own, and refuses all others."""

import plistlib

import pytest

from protocol import cms
from protocol.commands import GenericCommand
from protocol.reports import Status
from simulator import commands, state
from simulator.device import Device
from simulator.hardware import hardware
from tests.protocol.keyring import rsa_identity
from tests.simulator.portal import PASSCODE, profile_with

IDENTIFIER = "com.example.encrypted"


def encrypted(recipient, **changes) -> bytes:
    content = plistlib.loads(profile_with(PASSCODE, identifier=IDENTIFIER))
    payloads = cms.encrypt(plistlib.dumps(content.pop("PayloadContent")), recipient)
    return plistlib.dumps({**content, "IsEncrypted": True, "EncryptedPayloadContent": payloads, **changes})


def ask(device: Device, request_type: str, **params: object) -> commands.Answer:
    answer = commands.answer(device, GenericCommand(request_type, params))
    assert isinstance(answer, commands.Answer)
    return answer


def test_a_device_opens_what_is_encrypted_to_its_identity_and_lists_no_payloads(phone: Device) -> None:
    assert phone.enrollment is not None
    answer = ask(phone, "InstallProfile", Payload=encrypted(phone.enrollment.certificate))
    assert answer.status is Status.ACKNOWLEDGED
    assert phone.has_policy
    (entry,) = [e for e in ask(phone, "ProfileList").keys["ProfileList"] if e["PayloadIdentifier"] == IDENTIFIER]
    assert entry["IsEncrypted"] is True
    assert "PayloadContent" not in entry
    again = state.load(state.dump(phone))
    assert again.profiles[IDENTIFIER].encrypted


@pytest.mark.parametrize(
    "changes",
    [
        {"IsEncrypted": False},
        {"EncryptedPayloadContent": "text"},
        {"EncryptedPayloadContent": b"\x30\x80"},
        {"PayloadContent": []},
        {"EncryptedPayloadContent": b"\x30\x80", "PayloadContent": []},
    ],
)
def test_what_is_not_encrypted_as_apple_has_it_is_refused(phone: Device, changes: dict[str, object]) -> None:
    assert phone.enrollment is not None
    answer = ask(phone, "InstallProfile", Payload=encrypted(phone.enrollment.certificate, **changes))
    assert answer.status is Status.ERROR
    assert IDENTIFIER not in phone.profiles


def test_what_is_encrypted_to_another_is_refused(phone: Device) -> None:
    for device in (phone, Device(hardware(2))):
        answer = ask(device, "InstallProfile", Payload=encrypted(rsa_identity().certificate))
        assert answer.keys["ErrorChain"][0]["ErrorCode"] == 1006
        assert not device.has_policy
