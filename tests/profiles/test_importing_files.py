"""What a file brings into a bundle: the report before, the stored secrets, the settings, the file byte for byte."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from devices.invitations import profile_identifier
from operations.models import AuditEvent
from profiles import catalogue
from profiles.composing import import_as_new, import_exactly, import_into
from profiles.errors import ImportRefused, PublishError
from profiles.importing import new_bundle
from profiles.inspecting import inspect
from profiles.models import Bundle, DeliveryRule, Part, Payload, Profile, Secret
from profiles.publishing import publish
from profiles.variables import placeholder
from protocol.cms import sign_attached
from protocol.mobileconfig import build_mobileconfig, read_file
from protocol.plist import dumps, loads_dict
from tests.profiles.fleet import PASSCODE, VPN, WIFI, payload

pytestmark = pytest.mark.django_db
PASSWORD = "hunter2-marker"


def file(*payloads: dict[str, object], **top: object) -> bytes:
    content = build_mobileconfig(payloads, identifier="com.example.profile", uuid="U-1", display_name="Example")
    return dumps({**content, **top})


@pytest.fixture(scope="module")
def author():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Example Author")])
    start = datetime(2020, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), start, start + timedelta(days=9)
    )
    return builder.sign(key, hashes.SHA256()), key


@pytest.fixture
def sign(author):
    return lambda data: sign_attached(data, author[0], private_key=author[1])


@pytest.fixture
def bundle(now) -> Bundle:
    return new_bundle("Office", now=now)


def report_of(data: bytes, now):
    return inspect(read_file(data), catalogue=catalogue.current(), now=now)


def bring(bundle: Bundle, data: bytes, now):
    return import_into(bundle, read_file(data), role=None, actor=None, now=now)


def contents(bundle: Bundle) -> list[dict[str, object]]:
    return [loads_dict(bytes(row.content)) for row in bundle.payloads.all()]


# --- the report -----------------------------------------------------------------------------------------------------


def test_the_report_counts_what_is_known_kept_deprecated_and_secret(now):
    wifi = payload(WIFI, SSID_STR="Office", Password=PASSWORD, EncryptionType="WPA2", Invented=1)
    font = payload("com.example.unheard.of", Setting=True, AdminPassword="x")
    report = report_of(file(payload(PASSCODE, minLength=8, forcePIN=True), wifi, font), now)
    assert report.summary == "3 payloads, 5 keys known, 3 kept as they are, 1 secret, 1 problem"
    assert [one.title for one in report.payloads][2] == "com.example.unheard.of"
    assert report.payloads[1].kept == ("Invented",)
    assert report.payloads[1].secrets == ("Password",)
    assert report.payloads[2].kept == ("Setting", "AdminPassword")
    assert "AdminPassword may be a password" in report.payloads[2].problems[0]
    assert PASSWORD not in json.dumps(report.as_json()) + repr(report)


def test_keys_at_every_level_are_counted_and_unknown_ones_named_by_their_path(now):
    rules = [{"Action": "Connect", "Invented": 1, "InterfaceTypeMatch": "WiFi"}]
    vpn = payload(VPN, VPNType="IKEv2", IKEv2={"OnDemandRules": rules, "Wrong": True}, VendorConfig={"Any": 1})
    said = report_of(file(vpn), now).payloads[0]
    assert set(said.kept) == {"IKEv2.Wrong", "IKEv2.OnDemandRules[0].Invented", "VendorConfig.Any"}
    assert said.known >= 5


def test_what_apple_deprecated_is_said_once_for_a_payload_and_else_by_key(now):
    facts = catalogue.current()
    whole = next(
        name
        for name, one in facts.payloads.items()
        if one.platforms and all(p.deprecated for p in one.platforms.values())
    )
    said = report_of(file(payload(facts.payloads[whole].payload_type)), now).payloads[0]
    assert len(said.deprecated) == 1
    assert said.deprecated[0].startswith("The whole payload is ")
    key = report_of(file(payload(WIFI, SSID_STR="x", EncryptionType="WEP")), now).payloads[0]
    assert key.deprecated == ()


def test_wrong_values_are_told_before_the_import_and_never_quoted(now):
    said = report_of(file(payload(PASSCODE, minLength=99, forcePIN=PASSWORD)), now).payloads[0]
    assert "forcePIN must be true or false." in said.problems
    assert any(sentence.startswith("minLength must be") for sentence in said.problems)
    assert PASSWORD not in repr(said)


def test_the_signer_is_told_apart_from_the_content(sign, now):
    report = report_of(sign(file(payload(WIFI, SSID_STR="x"))), now)
    assert report.signer.subject == "CN=Example Author"
    assert (report.signer.self_signed, report.signer.expired, report.signer.trusted) == (True, True, False)
    assert report.signer.sentence.endswith("is self-signed; the certificate ran out on 2020-01-10.")
    assert report.exact_refusal == ""
    assert "Only a signed file" in report_of(file(payload(WIFI)), now).exact_refusal


# --- the import -----------------------------------------------------------------------------------------------------


def test_the_schema_file_that_fits_is_noted_and_unknown_types_stay_raw(bundle, now):
    odd = payload("com.example.unheard.of", Data=b"\0\1", Nested={"A": [1, 2.5, True]})
    bring(bundle, file(payload("com.apple.MCX", DestroyFVKeyOnStandby=True), odd), now)
    assert [row.variant for row in bundle.payloads.all()] == ["com.apple.MCX(EnergySaver)", ""]
    assert contents(bundle)[1] == odd


def test_passwords_become_stored_secrets_that_the_content_only_names(bundle, now):
    vpn = payload(
        VPN, VPNType="IKEv2", IKEv2={"SharedSecret": "shared-marker"}, PPP={"AuthPassword": "{{ user.name }}"}
    )
    done = bring(bundle, file(payload(WIFI, SSID_STR="Office", Password=PASSWORD), vpn), now)
    assert [key for key, _ in done.secrets] == ["Wi-Fi: Password", "VPN: IKEv2.SharedSecret"]
    names = [name for _, name in done.secrets]
    wifi, kept = contents(bundle)
    assert wifi["Password"] == placeholder(f"secret.{names[0]}")
    assert (kept["IKEv2"], kept["PPP"]) == (
        {"SharedSecret": placeholder(f"secret.{names[1]}")},
        {"AuthPassword": "{{ user.name }}"},
    )
    assert bytes(Secret.objects.get(name=names[0]).value) == PASSWORD.encode()
    written = json.dumps(list(AuditEvent.objects.values_list("details", flat=True)))
    assert PASSWORD not in written
    assert names[0] in written
    assert not any(PASSWORD.encode() in bytes(row.draft) for row in bundle.snapshots.all())


def test_the_same_file_again_makes_no_second_secret_and_another_password_makes_one(bundle, now):
    for password, count in ((PASSWORD, 1), (PASSWORD, 1), ("changed", 2)):
        bring(bundle, file(payload(WIFI, SSID_STR="Office", Password=password)), now)
        assert Secret.objects.count() == count
    assert bytes(Secret.objects.latest("pk").value) == b"changed"
    # What devices have until the next publish does not change under them.
    assert bytes(Secret.objects.earliest("pk").value) == PASSWORD.encode()


def test_a_secret_too_large_to_store_is_refused_and_nothing_is_written(bundle, now):
    with pytest.raises(ImportRefused, match="Password cannot become"):
        bring(bundle, file(payload(WIFI), payload(WIFI, "two", Password="x" * (5 * 1024 * 1024))), now)
    assert not Payload.objects.exists()
    assert not Secret.objects.exists()
    bundle.refresh_from_db()
    assert bundle.draft_version == 1


def test_an_import_counts_as_a_change_of_the_draft_and_is_kept(bundle, now):
    bring(bundle, file(payload(WIFI, SSID_STR="Office")), now)
    bundle.refresh_from_db()
    assert bundle.draft_version == 2
    assert bundle.snapshots.get().version == 2


def test_a_new_bundle_takes_scope_removal_description_and_consent(now):
    data = file(
        payload(WIFI, SSID_STR="x"), PayloadScope="user", PayloadRemovalDisallowed=True, PayloadDescription="For sales",
        ConsentText={"de": "Ja?", "default": "Agree?"}, RemovalDate=datetime(2030, 1, 1),  # noqa: DTZ001
    )  # fmt: skip
    report = report_of(data, now)
    assert report.warnings == (
        "Of its consent texts only the first is taken, not: de.",
        "RemovalDate is not taken over: a bundle has no such setting.",
    )
    bundle, _ = import_as_new(read_file(data), name="New", rule=DeliveryRule.TOGETHER, actor=None, now=now)
    bundle.refresh_from_db()
    assert (bundle.scope, bundle.removal_disallowed, bundle.description) == ("User", True, "For sales")
    assert (bundle.consent_text, bundle.delivery_rule) == ("Agree?", DeliveryRule.TOGETHER)


def test_a_file_without_names_is_imported_twice_as_the_same_payload(bundle, now):
    content = {"PayloadType": "Configuration", "PayloadContent": [{"PayloadType": WIFI, "SSID_STR": "x"}]}
    for _ in range(2):
        bring(bundle, dumps(content), now)
    assert bundle.payloads.count() == 1


# --- byte for byte ---------------------------------------------------------------------------------------------------


def exactly(data: bytes, now, *, into: Bundle | None = None, name: str = "As it is") -> Bundle:
    return import_exactly(into, read_file(data), name=name, actor=None, now=now)


def published(bundle: Bundle, now) -> Profile:
    return publish(bundle, by=None, now=now).profiles.get(part=Part.WHOLE)


def test_a_signed_file_is_kept_and_published_byte_for_byte(signing, sign, now):
    data = sign(file(payload(WIFI, SSID_STR="Office")))
    bundle = exactly(data, now)
    assert (bytes(bundle.original), bundle.payloads.count()) == (data, 0)
    profile = published(bundle, now)
    assert (bytes(profile.signed), profile.identifier, profile.uuid) == (data, "com.example.profile", "U-1")
    assert AuditEvent.objects.filter(action="bundle.import_exactly").exists()


def test_an_unsigned_or_mended_file_cannot_be_delivered_byte_for_byte(sign, now):
    mended = dumps({**loads_dict(file(payload(WIFI))), "PayloadVersion": 7})
    for data, words in (
        (file(payload(WIFI)), "Only a signed file"),
        (sign(mended), "would refuse"),
        (sign(file(payload("com.apple.mdm"))), "invitation"),
    ):
        with pytest.raises(ImportRefused, match=words):
            exactly(data, now)
    assert not Bundle.objects.exists()


def test_a_uuid_that_devices_have_with_other_content_is_refused(signing, sign, now):
    first = exactly(sign(file(payload(WIFI, SSID_STR="Office"))), now)
    published(first, now)
    with pytest.raises(ImportRefused, match="PayloadUUID was delivered before"):
        exactly(sign(file(payload(WIFI, SSID_STR="Changed"))), now, into=first)
    newer = sign(file(payload(WIFI, SSID_STR="Changed"), PayloadUUID="U-2"))
    exactly(newer, now, into=first)
    assert bytes(Bundle.objects.get().original) == newer
    with pytest.raises(ImportRefused, match='bundle "As it is" delivers'):
        exactly(sign(file(payload(WIFI), PayloadUUID="U-3")), now, name="Another")
    with pytest.raises(ImportRefused, match="as another profile"):
        exactly(sign(file(payload(WIFI), PayloadUUID="U-4", PayloadIdentifier="com.example.other")), now, into=first)


def test_a_uuid_in_small_letters_is_the_same_uuid(signing, sign, now):
    first = exactly(sign(file(payload(WIFI, SSID_STR="Office"))), now)
    published(first, now)
    changed = sign(file(payload(WIFI, SSID_STR="Changed"), PayloadUUID="u-1"))
    with pytest.raises(ImportRefused, match="PayloadUUID was delivered before"):
        exactly(changed, now, into=first)
    Bundle.objects.update(original=changed)
    with pytest.raises(PublishError, match="delivered with other content"):
        publish(first, by=None, now=now)


def test_a_file_cannot_take_the_place_of_the_enrollment(sign, now):
    data = sign(file(payload(WIFI), PayloadIdentifier=profile_identifier()))
    with pytest.raises(ImportRefused, match="end of management"):
        exactly(data, now)


def test_a_bundle_has_either_payloads_or_a_file(bundle, sign, now):
    bring(bundle, file(payload(WIFI, SSID_STR="Office")), now)
    with pytest.raises(ImportRefused, match="payloads of its own"):
        exactly(sign(file(payload(WIFI))), now, into=bundle)
    other = exactly(sign(file(payload(WIFI))), now)
    with pytest.raises(ImportRefused, match="byte for byte"):
        bring(other, file(payload(VPN)), now)
