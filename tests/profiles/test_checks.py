"""Checks that need no devices: keys, names, variables, and what was typed."""

from datetime import datetime

import pytest

from profiles import secrets
from profiles.checks import Severity, check_bundle
from profiles.models import Payload
from tests.profiles.checking import errors, found, passcode, says, vpn
from tests.profiles.fleet import WIFI, bundle_of, payload

pytestmark = pytest.mark.django_db


def test_a_sound_bundle_has_no_errors(now: datetime) -> None:
    assert errors(bundle_of(passcode(), vpn(), now=now), now) == []


def test_an_empty_bundle_is_an_error(now: datetime) -> None:
    bundle = bundle_of(passcode(), now=now)
    bundle.payloads.all().delete()
    assert [finding.sentence for finding in check_bundle(bundle, now=now)] == [
        "The bundle is empty: it has no payloads."
    ]


def test_a_value_out_of_range_names_the_payload_the_key_and_what_would_be_right(now: datetime) -> None:
    bundle = bundle_of(passcode(PayloadDisplayName="Office passcode", minLength=99), now=now)
    finding = found(bundle, "between 0 and 16", now=now)
    assert finding.severity is Severity.ERROR
    assert finding.sentence == "Office passcode: Minimum length must be between 0 and 16."
    assert (finding.path, finding.payload_id) == ("minLength", bundle.payloads.get().pk)


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"forcePIN": 1}, "forcePIN"),
        ({"minLength": "6"}, "minLength"),
        ({"minLength": 2**63}, "minLength"),
        ({"customRegex": {"passwordContentDescription": "x"}}, "customRegex.passwordContentRegex"),
    ],
)
def test_what_the_schema_does_not_allow_is_an_error(now: datetime, settings: dict[str, object], path: str) -> None:
    assert path in {finding.path for finding in errors(bundle_of(passcode(**settings), now=now), now)}


def test_values_are_never_quoted(now: datetime) -> None:
    wifi = payload(WIFI, SSID_STR="Office", EncryptionType="hunter2hunter2", Password=5)
    findings = check_bundle(bundle_of(wifi, now=now), now=now)
    assert any(finding.path == "EncryptionType" for finding in findings)
    assert not any("hunter2" in finding.sentence for finding in findings)


def test_a_minimum_length_without_a_required_passcode_is_a_warning(now: datetime) -> None:
    bundle = bundle_of(passcode(forcePIN=False), now=now)
    finding = found(bundle, "not enforced", now=now)
    assert (finding.severity, finding.path) == (Severity.WARNING, "minLength")
    assert not says(bundle_of(passcode(), now=now), "not enforced", now=now)


def test_a_type_apple_does_not_document_is_a_note(now: datetime) -> None:
    bundle = bundle_of(payload("com.example.own", Anything="goes"), now=now)
    assert found(bundle, "does not know com.example.own", now=now).severity is Severity.NOTE
    assert errors(bundle, now) == []


def test_keys_the_schema_does_not_know_are_a_note(now: datetime) -> None:
    finding = found(bundle_of(passcode(brandNewKey=True), now=now), "brandNewKey", now=now)
    assert finding.severity is Severity.NOTE


def test_a_required_key_may_be_missing_where_the_device_does_not_look_for_it(now: datetime) -> None:
    # Required by IKEv2 is RemoteAddress, among others; this VPN is L2TP.
    bundle = bundle_of(vpn(IKEv2={"DeadPeerDetectionRate": "Often"}), now=now)
    assert [finding.path for finding in errors(bundle, now)] == ["IKEv2.DeadPeerDetectionRate"]


def test_payloads_that_share_an_identifier_or_uuid_are_errors(now: datetime) -> None:
    bundle = bundle_of(passcode(), vpn(), now=now)
    Payload.objects.update(payload_identifier="com.example.same", payload_uuid="same")
    bundle.payloads.filter(payload_type__contains="vpn").update(payload_uuid="SAME")
    sentences = [finding.sentence for finding in errors(bundle, now)]
    assert "Corporate VPN: shares the PayloadIdentifier com.example.same with another payload." in sentences
    assert "Corporate VPN: shares the PayloadUUID SAME with another payload." in sentences


def test_an_enrollment_is_refused(now: datetime) -> None:
    bundle = bundle_of(passcode(), now=now)
    bundle.payloads.update(payload_type="com.apple.mdm", variant="")
    assert says(bundle, "by an invitation only", now=now)


def test_content_that_is_no_property_list_is_an_error(now: datetime) -> None:
    bundle = bundle_of(passcode(PayloadDisplayName="Broken"), now=now)
    Payload.objects.filter(bundle=bundle).update(content=b"<plist>")
    assert [finding.sentence for finding in errors(bundle, now)] == ['The content of "Broken" is no property list.']


def test_variables_that_do_not_exist_and_secrets_that_nobody_stored_are_errors(now: datetime) -> None:
    wifi = payload(WIFI, SSID_STR="{{ device.colour }}", Password="{{ secret.office }}", EncryptionType="WPA2")
    bundle = bundle_of(wifi, now=now)
    assert found(bundle, "device.colour", now=now).severity is Severity.ERROR
    assert found(bundle, "not stored: office", now=now).severity is Severity.ERROR


def test_errors_stand_before_warnings_and_notes(now: datetime) -> None:
    passcode_again = {**passcode(pinHistory=99), "PayloadIdentifier": "com.example.again", "PayloadUUID": "AGAIN"}
    bundle = bundle_of(payload("com.example.own"), passcode(forcePIN=False), passcode_again, now=now)
    order = [finding.severity for finding in check_bundle(bundle, now=now)]
    assert order == sorted(order, key=list(Severity).index)
    assert set(order) == set(Severity)


def test_a_secret_that_stands_in_the_payload_is_a_note(now: datetime) -> None:
    def wifi(password: str) -> dict[str, object]:
        return payload(WIFI, SSID_STR="Office", EncryptionType="WPA2", Password=password)

    finding = found(bundle_of(wifi("hunter2hunter2"), now=now), "secret in clear", now=now)
    assert (finding.severity, finding.path) == (Severity.NOTE, "Password")
    assert not says(bundle_of(wifi("{{ secret.office }}"), now=now), "secret in clear", now=now)


def test_a_secret_in_a_key_that_is_shown_is_a_warning(now: datetime) -> None:
    secrets.store("office", b"hunter2hunter2", actor=None, now=now)

    def wifi(name: str, password: str) -> dict[str, object]:
        return payload(WIFI, SSID_STR=name, EncryptionType="WPA2", Password=password)

    finding = found(bundle_of(wifi("Office {{ secret.office }}", "x"), now=now), "fills the secret office", now=now)
    assert (finding.severity, finding.path) == (Severity.WARNING, "SSID_STR")
    assert not says(bundle_of(wifi("Office", "{{ secret.office }}"), now=now), "fills the secret", now=now)


def test_a_secret_in_a_vendors_own_key_is_none_of_our_warnings(now: datetime) -> None:
    secrets.store("licence", b"hunter2", actor=None, now=now)
    content = {"VPNType": "VPN", "VPNSubType": "com.example.vpn", "VendorConfig": {"Licence": "{{ secret.licence }}"}}
    assert not says(bundle_of(vpn(**content), now=now), "fills the secret", now=now)


@pytest.mark.parametrize(
    ("column", "text", "words"),
    [
        ("requirement_description", "Ask {{ help.desk }}", "What the user reads names a variable that does not exist"),
        ("capability_name", "VPN {{ secret.vpn }}", "What the user reads would show a secret"),
        ("consent_text", "{{ secret.nowhere }}", "What the user reads names a secret that is not stored"),
    ],
)
def test_variables_in_what_the_user_reads_are_looked_at(now: datetime, column: str, text: str, words: str) -> None:
    secrets.store("vpn", b"hunter2", actor=None, now=now)
    bundle = bundle_of(passcode(), vpn(), now=now)
    assert errors(bundle, now) == []
    setattr(bundle, column, text)
    bundle.save()
    assert any(words in finding.sentence for finding in errors(bundle, now))


def test_variables_in_a_payloads_description_are_looked_at(now: datetime) -> None:
    secrets.store("vpn", b"hunter2", actor=None, now=now)
    described = passcode(PayloadDescription="{{ secret.vpn }} {{ help.desk }}")
    sentences = [finding.sentence for finding in errors(bundle_of(described, now=now), now)]
    assert any("would show a secret to the device's user: vpn" in sentence for sentence in sentences)
    assert any("variable that does not exist: help.desk" in sentence for sentence in sentences)
    assert not errors(bundle_of(passcode(PayloadDescription="For {{ user.name }}"), now=now), now)
