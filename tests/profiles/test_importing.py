"""Importing a .mobileconfig: roles, stable identities, refusals that write nothing."""

import pytest

from profiles.errors import ImportRefused
from profiles.importing import default_role, import_payloads, new_bundle
from profiles.models import Bundle, Payload, Role
from protocol.mobileconfig import parse_mobileconfig
from protocol.plist import loads_dict
from tests.profiles.fleet import PASSCODE, VPN, WIFI, mobileconfig, payload

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("payload_type", "role"),
    [
        (PASSCODE, Role.REQUIREMENT),
        ("com.apple.applicationaccess", Role.REQUIREMENT),
        ("com.apple.MCX.FileVault2", Role.REQUIREMENT),
        ("com.apple.security.firewall", Role.REQUIREMENT),
        (VPN, Role.CAPABILITY),
        ("com.apple.vpn.managed.applayer", Role.CAPABILITY),
        (WIFI, Role.CAPABILITY),
        ("com.apple.mail.managed", Role.CAPABILITY),
        ("com.apple.eas.account", Role.CAPABILITY),
        ("com.apple.security.scep", Role.CAPABILITY),
        ("com.apple.security.pkcs12", Role.CAPABILITY),
        ("com.apple.font", Role.NEUTRAL),
        ("com.example.unheard.of", Role.NEUTRAL),
    ],
)
def test_a_type_has_a_usual_role(payload_type, role):
    assert default_role(payload_type) == role


@pytest.fixture
def bundle(now) -> Bundle:
    return new_bundle("Corporate VPN", now=now)


def imported(bundle: Bundle, *payloads: dict[str, object], role: str | None = None) -> list[Payload]:
    return import_payloads(bundle, parse_mobileconfig(mobileconfig(*payloads)), role)


def test_payloads_arrive_whole_and_in_order(bundle):
    imported(bundle, payload(PASSCODE, minLength=8, forcePIN=True), payload(VPN, VPN={"Server": b"\x00\x01"}))
    first, second = bundle.payloads.all()
    assert (first.payload_type, first.role) == (PASSCODE, Role.REQUIREMENT)
    assert (second.payload_type, second.role) == (VPN, Role.CAPABILITY)
    assert loads_dict(bytes(second.content))["VPN"] == {"Server": b"\x00\x01"}


def test_a_second_import_of_the_same_payload_replaces_it_under_its_old_uuid(bundle):
    imported(bundle, payload(WIFI, SSID_STR="old"), payload(VPN))
    again = payload(WIFI, SSID_STR="new", PayloadUUID="CHANGED-BY-THE-EDITOR", Self="CHANGED-BY-THE-EDITOR")
    imported(bundle, again)
    assert bundle.payloads.count() == 2
    content = loads_dict(bytes(bundle.payloads.first().content))
    old = payload(WIFI)["PayloadUUID"]
    assert (content["SSID_STR"], content["PayloadUUID"], content["Self"]) == ("new", old, old)
    assert bundle.payloads.first().payload_uuid == old


def test_a_role_that_a_human_chose_survives_the_next_import(bundle):
    imported(bundle, payload(WIFI), role=Role.NEUTRAL)
    imported(bundle, payload(WIFI))
    assert bundle.payloads.get().role == Role.NEUTRAL
    imported(bundle, payload(WIFI), role=Role.CAPABILITY)
    assert bundle.payloads.get().role == Role.CAPABILITY


def test_an_enrollment_is_refused_and_nothing_is_written(bundle):
    with pytest.raises(ImportRefused, match="invitation"):
        imported(bundle, payload(WIFI), payload("com.apple.mdm"))
    assert not Payload.objects.exists()


def test_an_identifier_no_device_would_take_is_refused_and_nothing_is_written(bundle):
    with pytest.raises(ImportRefused, match="longer"):
        imported(bundle, payload(VPN), payload(WIFI, PayloadIdentifier="x" * 300))
    assert not Payload.objects.exists()


def test_bundles_with_like_names_have_different_identifiers(now):
    names = ["A B", "A-B", "a b", "\u00fc", "\u00e9", "\u65e5\u672c"]
    assert len({new_bundle(name, now=now).identifier for name in names}) == len(names)


@pytest.mark.parametrize("name", ["", "  ", "x" * 101])
def test_a_bundle_needs_a_usable_name(name, now):
    with pytest.raises(ImportRefused, match="name"):
        new_bundle(name, now=now)


def test_a_bundles_name_is_taken_once(bundle, now):
    with pytest.raises(ImportRefused, match="already"):
        new_bundle(bundle.name, now=now)
