"""Reading provisioning profiles: what is believed, what is refused, and what a file says."""

from __future__ import annotations

import contextlib
import io
import shutil
import zipfile
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import MobileprovisionError
from protocol.mobileprovision import APPLE_ROOTS, Kind, read_ipa, read_provisioning_profile
from protocol.plist import dumps
from tests.protocol.keyring import openssl
from tests.protocol.provisioning_files import (
    NOW,
    TEAM,
    apple,
    developer,
    forger,
    in_house,
    roots,
    samples,
    signed_by,
    values,
)


def read(data):
    return read_provisioning_profile(data, roots=roots())


def refusal(data, *, trusted=None):
    with pytest.raises(MobileprovisionError) as caught:
        read_provisioning_profile(data, roots=trusted or roots())
    return caught.value.code


def test_an_in_house_profile_says_who_may_run_what_until_when():
    data = in_house(entitlements={"aps-environment": "production"})
    profile = read(data)
    assert (profile.kind, profile.team_identifier, profile.bundle_identifier) == (
        Kind.IN_HOUSE,
        TEAM,
        "com.example.pos",
    )
    assert (profile.created_at, profile.expires_at) == (NOW, NOW + timedelta(days=365))
    assert profile.entitlements["aps-environment"] == "production"
    assert profile.certificates[0].common_name == "iPhone Distribution: Example Ltd"
    assert profile.certificates[0].serial_number == developer().serial_number
    assert profile.has_der_form
    assert profile.data == data
    assert profile.lists_device("anything")


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"kind": "in_house"}, Kind.IN_HOUSE),
        ({"kind": "ad_hoc", "devices": ["a"]}, Kind.AD_HOC),
        ({"kind": "development", "devices": ["a"]}, Kind.DEVELOPMENT),
        ({"kind": "app_store"}, Kind.APP_STORE),
        ({"kind": "in_house", "platforms": ["OSX"]}, Kind.DEVELOPER_ID),
        ({"kind": "ad_hoc", "devices": ["a"], "platforms": ["OSX"]}, Kind.DEVELOPMENT),
    ],
)
def test_the_kind_follows_from_devices_and_entitlements(changes, kind):
    assert read(in_house(**changes)).kind == kind


def test_a_device_is_listed_in_any_spelling():
    profile = read(in_house(kind="ad_hoc", devices=["00008030-001A2B3C4D5E6F70"]))
    assert profile.lists_device("00008030001a2b3c4d5e6f70")
    assert not profile.lists_device("00008030001a2b3c4d5e6f71")


def test_the_prefix_of_the_app_id_need_not_be_the_team():
    profile = read(in_house(prefix="ZZ99YY88XX"))
    assert (profile.prefix, profile.bundle_identifier, profile.team_identifier) == (
        "ZZ99YY88XX",
        "com.example.pos",
        TEAM,
    )


def test_a_wildcard_runs_more_than_one_app():
    profile = read(in_house(bundle_identifier="com.example.*"))
    assert profile.is_wildcard
    assert [profile.runs(name) for name in ("com.example.a", "com.example", "com.examples.a")] == [True, False, False]


def test_the_effective_end_is_the_certificates_when_that_is_sooner():
    soon = developer("Example Soon", 100)
    profile = read(in_house(certificates=[soon]))
    assert profile.effective_end == soon.certificate.not_valid_after_utc < profile.expires_at
    both = read(in_house(certificates=[soon, developer()]))
    assert (both.effective_end, both.certificates_end) == (both.expires_at, soon.certificate.not_valid_after_utc)


@pytest.mark.parametrize("name", [name for name, (_, genuine) in samples().items() if genuine])
def test_what_apple_signed_is_read(name):
    assert read(samples()[name][0]).team_identifier == TEAM


@pytest.mark.parametrize("name", [name for name, (_, genuine) in samples().items() if not genuine])
def test_what_apple_did_not_sign_or_was_changed_is_refused(name):
    assert refusal(samples()[name][0]) in {
        "broken_signature", "not_apple", "not_signed", "foreign_signer", "malformed", "outdated_signer",
    }  # fmt: skip


def test_each_forgery_is_refused_for_its_own_reason():
    found = samples()
    assert refusal(found["edited"][0]) == "broken_signature"
    assert refusal(found["forged"][0]) == "not_apple"
    assert refusal(found["late"][0]) == "outdated_signer"
    assert refusal(found["leaf as issuer"][0]) == "foreign_signer"
    # a fake Apple's file where only Apple's own roots count
    assert refusal(found["genuine"][0], trusted=APPLE_ROOTS) == "not_apple"


def test_a_developers_own_certificate_leads_to_apple_too_but_signs_no_profiles():
    chain = [apple().intermediate.certificate, apple().root.certificate]
    assert refusal(signed_by(developer(), chain)) == "foreign_signer"


def test_a_chain_that_has_ended_since_does_not_matter():
    # A hundred years later than the certificates: the reader has no clock at all.
    assert read(in_house()).uuid


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (dumps({"UUID": "a"}), "plist"),
        (b"bplist00", "plist"),
        (b'{"url": "https://mdm.example.com"}', "json"),
        (b"<!DOCTYPE html><html>", "html"),
        (b"PK\x03\x04rest", "zip"),
        (b"-----BEGIN CERTIFICATE-----", "pem"),
        (b"\x30\x03\x02\x01\x01", "not_signed"),
        (b"\x00" * 100, "not_signed"),
    ],
)
def test_other_files_are_named(data, code):
    assert refusal(data) == code


def test_a_signed_configuration_profile_is_told_apart():
    content = dumps({"PayloadType": "Configuration", "PayloadContent": []})
    assert refusal(signed_by(apple().signer, [], content=content)) == "mobileconfig"


def test_a_profile_that_lacks_what_matters_says_what():
    content = dumps({name: value for name, value in values().items() if name != "UUID"})
    chain = [apple().intermediate.certificate, apple().root.certificate]
    with pytest.raises(MobileprovisionError, match="does not say its UUID"):
        read(signed_by(apple().signer, chain, content=content))


def test_bytes_after_the_message_are_refused():
    assert refusal(in_house() + b"more") == "not_signed"


@pytest.mark.foreign
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize("name", [name for name, (_, genuine) in samples().items() if genuine is not None])
def test_openssl_agrees_with_every_accept_and_refuse(tmp_path, name):
    data, genuine = samples()[name]
    (tmp_path / "root.pem").write_bytes(apple().root.certificate.public_bytes(Encoding.PEM))
    (tmp_path / "file").write_bytes(data)
    command = ("cms", "-verify", "-inform", "DER", "-in", tmp_path / "file", "-CAfile", tmp_path / "root.pem",
               "-no_check_time", "-purpose", "any", "-out", tmp_path / "content")  # fmt: skip
    try:
        openssl(*command)
    except AssertionError:
        accepted = False
    else:
        accepted = True
    assert accepted is genuine


@pytest.mark.foreign
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_refuses_the_fake_apple_against_another_root(tmp_path):
    (tmp_path / "root.pem").write_bytes(forger().root.certificate.public_bytes(Encoding.PEM))
    (tmp_path / "file").write_bytes(in_house())
    with pytest.raises(AssertionError):
        openssl("cms", "-verify", "-inform", "DER", "-in", tmp_path / "file", "-CAfile", tmp_path / "root.pem",
                "-no_check_time", "-purpose", "any", "-out", tmp_path / "content")  # fmt: skip


@given(st.data())
@settings(max_examples=150)
def test_damaged_files_raise_nothing_but_their_own_error(data):
    content = bytearray(samples()["genuine"][0])
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, 7000)) % len(content)
        match data.draw(st.sampled_from(["flip", "cut", "double", "insert"])):
            case "flip":
                content[place] ^= data.draw(st.integers(1, 255))
            case "cut":
                del content[place : place + data.draw(st.integers(1, 200))]
            case "double":
                content[place:place] = content[place : place + 100]
            case _:
                content[place:place] = data.draw(st.binary(max_size=20))
        content = content or bytearray(b"\x30")
    with contextlib.suppress(MobileprovisionError):
        read(bytes(content))


@given(st.binary(max_size=300))
def test_any_bytes_raise_nothing_but_their_own_error(data):
    with pytest.raises(MobileprovisionError):
        read(data)
    with pytest.raises(MobileprovisionError):
        read_ipa(io.BytesIO(data))


@given(
    st.dictionaries(st.sampled_from(sorted(values())), st.none() | st.integers() | st.text() | st.lists(st.binary()))
)
@settings(max_examples=50)
def test_odd_values_under_apples_keys_raise_nothing_but_their_own_error(odd):
    content = {**values(), **{name: value for name, value in odd.items() if value is not None}}
    try:
        data = signed_by(apple().signer, [apple().intermediate.certificate], content=dumps(content))
    except Exception:  # noqa: BLE001 - not every text is one a plist can hold
        return
    with contextlib.suppress(MobileprovisionError):
        read(data)


def ipa(entries):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    out.seek(0)
    return out


def bundle(folder, identifier):
    info = {
        "CFBundleIdentifier": identifier,
        "CFBundleVersion": "7",
        "CFBundleShortVersionString": "1.2",
        "CFBundleName": "POS",
    }
    return {
        f"{folder}/Info.plist": dumps(info),
        f"{folder}/embedded.mobileprovision": in_house(bundle_identifier=identifier),
        f"{folder}/binary": b"x" * 1000,
    }  # fmt: skip


def test_every_profile_in_an_app_is_found_the_apps_own_first():
    found = read_ipa(
        ipa({
            **bundle("Payload/POS.app/PlugIns/Share.appex", "com.example.pos.share"),
            **bundle("Payload/POS.app/Watch/POSWatch.app", "com.example.pos.watch"),
            **bundle("Payload/POS.app", "com.example.pos"),
            "Payload/POS.app/Frameworks/A.framework/Info.plist": b"ignored",
        })
    )  # fmt: skip
    assert [one.bundle_identifier for one in found.bundles] == [
        "com.example.pos", "com.example.pos.share", "com.example.pos.watch",
    ]  # fmt: skip
    assert (found.app.short_version, found.app.display_name, found.app.is_app) == ("1.2", "POS", True)
    assert read(found.bundles[1].profile).runs("com.example.pos.share")


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ({"Payload/POS.app/Info.plist": b""}, "no_profile"),
        (bundle("Payload/POS.app/PlugIns/Share.appex", "a"), "no_profile"),
        ({"Payload/POS.app/embedded.mobileprovision": b"a" * 5_000_000}, "too_large"),
        ({"Payload/POS.app/embedded.mobileprovision": b"a", "Payload/POS.app/Info.plist": b"odd"}, "malformed"),
    ],
)
def test_archives_that_are_no_apps_are_refused(entries, code):
    with pytest.raises(MobileprovisionError) as caught:
        read_ipa(ipa(entries))
    assert caught.value.code == code


@pytest.mark.parametrize("folder", ["Payload//POS.app", "./Payload/POS.app", "Payload/./POS.app"])
def test_an_oddly_spelled_path_in_an_archive_is_the_same_folder(folder):
    assert read_ipa(ipa(bundle(folder, "com.example.pos"))).app.bundle_identifier == "com.example.pos"


@pytest.mark.parametrize("packing", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_an_archive_is_unpacked_only_as_apps_are_packed(packing):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packing) as archive:
        archive.writestr("Payload/POS.app/embedded.mobileprovision", b"a" * 1000)
    with pytest.raises(MobileprovisionError) as caught:
        read_ipa(out)
    assert caught.value.code == "not_ipa"
