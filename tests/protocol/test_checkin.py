"""Check-in messages, read and written."""

from __future__ import annotations

import contextlib
import plistlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.checkin import (
    Authenticate,
    CheckOut,
    DeclarativeManagement,
    GetBootstrapToken,
    GetToken,
    SetBootstrapToken,
    TokenUpdate,
    UserAuthenticate,
    bootstrap_token_response,
    parse_checkin,
)
from protocol.errors import MessageError, PlistError, ProtocolError
from protocol.identity import EnrollmentIdentity, EnrollmentKind

from .messages import VALUES, encoded

DEVICE = EnrollmentIdentity(EnrollmentKind.DEVICE, "AA", udid="AA")
USER = EnrollmentIdentity(EnrollmentKind.USER, "AA:BB", parent_id="AA", udid="AA", user_id="BB", user_short_name="jo")
BYOD = EnrollmentIdentity(EnrollmentKind.USER_ENROLLMENT, "E1")
TOPIC = "com.apple.mgmt.External.1"
MESSAGES = [
    Authenticate(identity=DEVICE, topic=TOPIC),
    Authenticate(identity=BYOD, topic=TOPIC, os_version="18.0", build_version="22A1", product_name="iPhone15,2"),
    Authenticate(
        identity=DEVICE,
        topic=TOPIC,
        serial_number="C02",
        device_name="Mac",
        model="M",
        model_name="MN",
        imei="1",
        meid="2",
    ),
    TokenUpdate(identity=DEVICE, topic=TOPIC, push_magic="magic", token=b"t" * 32),
    TokenUpdate(identity=USER, topic=TOPIC, push_magic="m", token=b"t", not_on_console=True),
    TokenUpdate(
        identity=DEVICE,
        topic=TOPIC,
        push_magic="m",
        token=b"t" * 100,
        unlock_token=b"u" * 5000,
        awaiting_configuration=True,
    ),
    CheckOut(identity=DEVICE, topic=TOPIC),
    SetBootstrapToken(identity=DEVICE, bootstrap_token=b"secret", awaiting_configuration=False),
    SetBootstrapToken(identity=DEVICE),
    GetBootstrapToken(identity=DEVICE),
    UserAuthenticate(identity=USER, digest_response="Digest " + "x" * 400),
    UserAuthenticate(identity=USER),
    GetToken(identity=DEVICE, service_type="com.apple.maid", parameters={"PhoneUDID": "AA"}),
    DeclarativeManagement(identity=BYOD, endpoint="tokens"),
    DeclarativeManagement(identity=USER, endpoint="status", data=b"{}"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.message_type)
def test_what_a_device_writes_is_what_the_server_reads(message):
    raw = plistlib.loads(message.to_plist())
    for body in encoded(raw):
        parsed = parse_checkin(body)
        assert parsed == message
        assert parsed.raw == raw
        assert parsed.ignored == ()


def without(message, key):
    return {name: value for name, value in plistlib.loads(message.to_plist()).items() if name != key}


@pytest.mark.parametrize(
    ("message", "key"),
    [(MESSAGES[0], "Topic"), (MESSAGES[0], "UDID"), (MESSAGES[0], "MessageType")]
    + [(MESSAGES[3], key) for key in ("Token", "PushMagic", "Topic")]
    + [(MESSAGES[6], "Topic"), (MESSAGES[12], "TokenServiceType"), (MESSAGES[13], "Endpoint")],
)
def test_a_missing_required_key_is_refused(message, key):
    with pytest.raises(MessageError):
        parse_checkin(plistlib.dumps(without(message, key)))


@pytest.mark.parametrize("token", [b"", "text", 5, [b"t"]])
def test_a_token_update_with_an_unusable_token_is_refused(token):
    with pytest.raises(MessageError):
        parse_checkin(plistlib.dumps({**without(MESSAGES[3], ""), "Token": token}))


def test_an_optional_key_of_a_wrong_type_is_left_out_and_named():
    raw = {**without(MESSAGES[2], ""), "SerialNumber": 5, "DeviceName": "x" * 256}
    parsed = parse_checkin(plistlib.dumps(raw))
    assert (parsed.serial_number, parsed.device_name, parsed.model) == (None, None, "M")
    assert parsed.ignored == ("SerialNumber", "DeviceName")


def test_an_empty_unlock_token_is_no_unlock_token():
    parsed = parse_checkin(
        plistlib.dumps({**without(MESSAGES[3], ""), "UnlockToken": b"", "AwaitingConfiguration": "yes"})
    )
    assert (parsed.unlock_token, parsed.awaiting_configuration) == (None, None)
    assert parsed.ignored == ("AwaitingConfiguration",)


def test_a_bootstrap_token_of_a_wrong_type_never_passes_for_delete():
    with pytest.raises(MessageError):
        parse_checkin(plistlib.dumps({"MessageType": "SetBootstrapToken", "UDID": "AA", "BootstrapToken": "x"}))


@pytest.mark.parametrize("message_type", ["Idle", "", 5, ["Authenticate"]])
def test_an_unknown_message_type_is_refused(message_type):
    with pytest.raises(MessageError):
        parse_checkin(plistlib.dumps({"MessageType": message_type, "UDID": "AA"}))


def test_a_body_that_is_no_plist_is_refused():
    with pytest.raises(PlistError):
        parse_checkin(b'{"MessageType": "Authenticate"}')


def test_no_secret_shows_in_a_repr():
    for message in MESSAGES:
        parsed = parse_checkin(message.to_plist())
        for secret in ("magic", "tttt", "uuuu", "secret", "Digest"):
            assert secret not in repr(parsed)


def test_a_bootstrap_token_answer_without_a_token_has_no_bytes():
    assert plistlib.loads(bootstrap_token_response(None)) == {"BootstrapToken": b""}
    assert plistlib.loads(bootstrap_token_response(b"x")) == {"BootstrapToken": b"x"}


@given(st.sampled_from(MESSAGES), st.data())
@settings(max_examples=50)
def test_any_plist_is_a_message_or_refused(message, data):
    raw = without(message, "")
    for key in data.draw(st.lists(st.sampled_from(sorted(raw)), max_size=3)):
        raw[key] = data.draw(VALUES)
    for body in encoded(raw):
        with contextlib.suppress(ProtocolError):
            parse_checkin(parse_checkin(body).to_plist())


@given(st.binary(max_size=100))
@settings(max_examples=30)
def test_any_bytes_are_refused_with_a_protocol_error(body):
    with pytest.raises(ProtocolError):
        parse_checkin(body)
