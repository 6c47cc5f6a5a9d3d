"""Configuration profiles: what is read, what is refused in which words, what is built."""

from __future__ import annotations

import contextlib
import copy
import plistlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.cms import encrypt, sign_attached
from protocol.errors import MobileconfigError
from protocol.mobileconfig import build_mobileconfig, content_uuid, parse_mobileconfig, unwrap_mobileconfig
from protocol.plist import dumps

from .messages import VALUES, encoded

PAYLOAD = {
    "PayloadType": "com.apple.mobiledevice.passwordpolicy",
    "PayloadVersion": 1,
    "PayloadIdentifier": "com.example.passcode.1",
    "PayloadUUID": "B-1",
    "forcePIN": True,
}
PROFILE = build_mobileconfig(
    [PAYLOAD], identifier="com.example.passcode", uuid="A-1", display_name="Passcode", organization="Example Ltd"
)


@pytest.fixture(scope="module")
def identity():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Profile signer")])
    start = datetime(2024, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), start, start + timedelta(days=9)
    )
    return builder.sign(key, hashes.SHA256()), key


def refusal(data: bytes) -> MobileconfigError:
    with pytest.raises(MobileconfigError) as caught:
        parse_mobileconfig(data)
    return caught.value


def changed(**changes) -> bytes:
    content = {**copy.deepcopy(PROFILE), **changes}
    return dumps({key: value for key, value in content.items() if value is not None})


def test_a_profile_is_read_from_xml_and_binary():
    for data in encoded(PROFILE):
        profile = parse_mobileconfig(data)
        assert profile.content == PROFILE
        assert (profile.identifier, profile.uuid, profile.display_name) == ("com.example.passcode", "A-1", "Passcode")
        assert (profile.organization, profile.description) == ("Example Ltd", "")
        assert profile.payload_types == ("com.apple.mobiledevice.passwordpolicy",)
        assert profile.payloads == (PAYLOAD,)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"\xef\xbb\xbf<!DOCTYPE HTML><html></html>", "html"),
        (b"\n<html>", "html"),
        (b'{"PayloadType": 1}', "json"),
        (b"PK\x03\x04abc", "zip"),
        (dumps(PROFILE)[:200], "not_a_plist"),
        (b"bplist00", "not_a_plist"),
        (b"random", "text"),
        (b"<plist>" + b"<array>" * 5000 + b"</array>" * 5000 + b"</plist>", "too_deep"),
        (b"a" * (32 * 1024 * 1024 + 1), "too_large"),
        (dumps([PROFILE]), "malformed"),
        (dumps({}), "no_profile"),
        (dumps(PAYLOAD), "bare_payload"),
        (changed(PayloadType="Profile Service", PayloadContent={}), "profile_service"),
        (changed(PayloadContent=None, IsEncrypted=True, EncryptedPayloadContent=b"x"), "encrypted"),
        (changed(PayloadContent=None), "malformed"),
        (changed(PayloadContent=[]), "malformed"),
        (changed(PayloadContent=["x"]), "malformed"),
        (changed(PayloadContent=[PAYLOAD, {**PAYLOAD, "PayloadUUID": "B-2"}]), "malformed"),
        (changed(PayloadContent=[PAYLOAD, {**PAYLOAD, "PayloadIdentifier": "b"}]), "malformed"),
        (changed(PayloadContent=[{**PAYLOAD, "PayloadVersion": 2}]), "malformed"),
        (changed(PayloadIdentifier=" "), "malformed"),
        (changed(PayloadUUID=5), "malformed"),
        (changed(PayloadType=None), "malformed"),
    ],
)
def test_a_file_that_is_no_profile_is_refused_with_a_reason(data, code):
    error = refusal(data)
    assert error.code == code
    assert str(error).endswith(".")


def test_a_signed_file_is_refused_by_name_and_unwrapped_on_request(identity):
    certificate, key = identity
    data = sign_attached(dumps(PROFILE), certificate, private_key=key)
    error = refusal(data)
    assert error.code == "signed"
    assert "CN=Profile signer" in str(error)
    profile, signer = unwrap_mobileconfig(data)
    assert profile.content == PROFILE
    assert signer is not None
    assert signer.certificate == certificate
    assert unwrap_mobileconfig(dumps(PROFILE))[1] is None


def test_a_tampered_signed_file_is_refused(identity):
    certificate, key = identity
    data = sign_attached(dumps(PROFILE), certificate, private_key=key).replace(b"Passcode", b"Passcude")
    with pytest.raises(MobileconfigError, match="signature") as caught:
        unwrap_mobileconfig(data)
    assert caught.value.code == "bad_signature"


def test_an_encrypted_file_is_refused(identity):
    assert refusal(encrypt(dumps(PROFILE), identity[0])).code == "encrypted"


def test_a_signed_file_that_holds_no_profile_is_refused(identity):
    certificate, key = identity
    assert refusal(sign_attached(b"hello", certificate, private_key=key)).code == "text"


def test_content_has_the_same_uuid_whatever_its_order_and_own_uuid():
    reordered = dict(reversed(list(PROFILE.items())))
    uuid = content_uuid("com.example.passcode", PROFILE)
    assert uuid == content_uuid("com.example.passcode", {**reordered, "PayloadUUID": "other"}) == uuid.upper()
    assert uuid != content_uuid("com.example.other", PROFILE)
    assert uuid != content_uuid("com.example.passcode", {**PROFILE, "PayloadContent": [{**PAYLOAD, "forcePIN": False}]})
    assert uuid != content_uuid(
        "com.example.passcode", {**PROFILE, "PayloadContent": [{**PAYLOAD, "PayloadUUID": "B-2"}]}
    )


def test_the_uuid_of_content_is_the_same_in_every_release():
    assert content_uuid("a", {"k": 1}) == "D5E80306-1790-5BFF-BC58-AEACF0D063B4"


def test_optional_top_level_keys_appear_only_when_asked_for():
    assert "PayloadScope" not in PROFILE
    assert "PayloadRemovalDisallowed" not in PROFILE
    full = build_mobileconfig(
        [], identifier="i", uuid="u", display_name="d", description="x", scope="User", removal_disallowed=True
    )
    assert (full["PayloadDescription"], full["PayloadScope"], full["PayloadRemovalDisallowed"]) == ("x", "User", True)


def test_building_leaves_the_given_payloads_alone():
    content = build_mobileconfig([PAYLOAD], identifier="i", uuid="u", display_name="d")
    content["PayloadContent"][0]["forcePIN"] = False
    assert PAYLOAD["forcePIN"] is True


@given(st.binary(max_size=300))
@settings(max_examples=50)
def test_any_bytes_are_a_profile_or_refused(data):
    for candidate in (data, b"0\x80\x06\x09*\x86H\x86\xf7\r\x01\x07\x02" + data, b"<plist>" + data):
        with contextlib.suppress(MobileconfigError):
            parse_mobileconfig(candidate)


@given(
    st.dictionaries(st.sampled_from(sorted(PROFILE)), VALUES), st.dictionaries(st.sampled_from(sorted(PAYLOAD)), VALUES)
)
@settings(max_examples=50)
def test_any_change_leaves_a_profile_or_a_refusal(top, inner):
    content = {**copy.deepcopy(PROFILE), "PayloadContent": [{**PAYLOAD, **inner}], **top}
    with contextlib.suppress(MobileconfigError):
        assert parse_mobileconfig(plistlib.dumps(content)).identifier
