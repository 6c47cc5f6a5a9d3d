"""The enrollment profile: built by the server, read by a device."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import MobileconfigError
from protocol.mobileconfig import EnrollmentProfile, parse_mobileconfig, read_enrollment
from protocol.plist import dumps

from .messages import VALUES

PROFILE = EnrollmentProfile(
    identifier="com.example.enrollment",
    organization="Example Ltd",
    topic="com.apple.mgmt.External.1",
    server_url="https://mdm.example.com/mdm/connect",
    check_in_url="https://mdm.example.com/mdm/checkin",
    scep_url="https://mdm.example.com/scep",
    scep_name="Example CA",
    challenge="topsecret",
    subject=[[["O", "Example Ltd"]], [["CN", "device"]]],
    ca_fingerprint=b"f" * 32,
    root_certificates=(b"root one", b"root two"),
)


def test_a_device_reads_what_the_server_built():
    facts = read_enrollment(parse_mobileconfig(dumps(PROFILE.build())).content)
    for name in ("identifier", "server_url", "check_in_url", "topic", "scep_url", "scep_name", "challenge", "subject"):
        assert getattr(facts, name) == getattr(PROFILE, name)
    assert (facts.key_size, facts.sign_message, facts.check_out_when_removed) == (2048, True, True)


def test_roots_come_before_the_identity_and_the_identity_before_management():
    profile = parse_mobileconfig(dumps(PROFILE.build()))
    assert profile.payload_types == ("com.apple.security.root",) * 2 + ("com.apple.security.scep", "com.apple.mdm")
    mdm, scep = profile.payloads[-1], profile.payloads[-2]
    assert mdm["IdentityCertificateUUID"] == scep["PayloadUUID"]
    assert mdm["AccessRights"] == 8191
    assert scep["PayloadContent"]["Key Type"] == "RSA"
    assert scep["PayloadContent"]["CAFingerprint"] == b"f" * 32


def test_another_challenge_changes_only_the_top_level_uuid():
    first, second = PROFILE.build(), dataclasses.replace(PROFILE, challenge="other").build()
    assert first["PayloadUUID"] != second["PayloadUUID"]
    assert first["PayloadIdentifier"] == second["PayloadIdentifier"]
    for one, two in zip(first["PayloadContent"], second["PayloadContent"], strict=True):
        assert (one["PayloadUUID"], one["PayloadIdentifier"]) == (two["PayloadUUID"], two["PayloadIdentifier"])


def test_a_root_keeps_its_identity_when_another_is_added_before_it():
    alone = dataclasses.replace(PROFILE, root_certificates=(b"root two",)).build()
    assert alone["PayloadContent"][0] == PROFILE.build()["PayloadContent"][1]


def test_without_a_check_in_url_check_ins_go_to_the_server_url():
    content = PROFILE.build()
    del content["PayloadContent"][-1]["CheckInURL"]
    assert read_enrollment(content).check_in_url == PROFILE.server_url


def test_the_challenge_stays_out_of_reprs():
    assert "topsecret" not in repr(PROFILE)
    assert "topsecret" not in repr(read_enrollment(PROFILE.build()))


@pytest.mark.parametrize("dropped", [0, 1])
def test_a_profile_without_identity_or_management_is_refused(dropped):
    content = PROFILE.build()
    del content["PayloadContent"][2 + dropped]
    with pytest.raises(MobileconfigError):
        read_enrollment(content)


@given(
    st.integers(0, 3),
    st.sampled_from(["URL", "Subject", "Keysize", "Topic", "ServerURL", "PayloadContent", "PayloadUUID"]),
    VALUES,
)
@settings(max_examples=50)
def test_any_value_in_an_enrollment_profile_is_read_or_refused(index, key, value):
    content = PROFILE.build()
    payload = content["PayloadContent"][index]
    if isinstance(payload.get("PayloadContent"), dict):
        payload["PayloadContent"][key] = value
    payload[key] = value
    with contextlib.suppress(MobileconfigError):
        read_enrollment(content)


@pytest.mark.parametrize("subject", ["x", ["x"], [["x"]], [[["CN"]]], [[["CN", 5]]], [[[["CN"], "x"]]]])
def test_an_odd_subject_is_read_or_refused(subject):
    content = PROFILE.build()
    content["PayloadContent"][2]["PayloadContent"]["Subject"] = subject
    with contextlib.suppress(MobileconfigError):
        read_enrollment(content)
