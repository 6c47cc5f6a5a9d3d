"""The files that people bring: every form is read, every mistake has its words, nothing else is ever raised."""

from __future__ import annotations

import base64
import contextlib
import json
import plistlib
import textwrap
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.cms import certs_only, encrypt, sign_attached
from protocol.errors import MobileconfigError
from protocol.mobileconfig import Form, build_mobileconfig, parse_mobileconfig, read_file
from protocol.mobileconfig.diagnosis import duplicate_keys, explain
from protocol.mobileprovision import APPLE_ROOTS
from protocol.plist import dumps

from .messages import VALUES
from .provisioning_files import in_house

START = datetime(2024, 1, 1, tzinfo=UTC)
LATER = START + timedelta(days=30)
PAYLOAD = {
    "PayloadType": "com.apple.wifi.managed",
    "PayloadVersion": 1,
    "PayloadIdentifier": "com.example.wifi.1",
    "PayloadUUID": "not a UUID at all",
    "SSID_STR": "Büro",
}
PROFILE = build_mobileconfig([PAYLOAD], identifier="com.example.wifi", uuid="A-1", display_name="Wi-Fi")
XML = dumps(PROFILE)


def certified(subject: str, issuer: str, key, *, signer, ca: bool = False):
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (subject, issuer)]
    serial = x509.random_serial_number()
    builder = x509.CertificateBuilder(names[1], names[0], key.public_key(), serial, START, START + timedelta(days=9))
    builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    return builder.sign(signer, hashes.SHA256())


@pytest.fixture(scope="module")
def keys():
    return [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]


@pytest.fixture(scope="module")
def root(keys):
    return certified("Example Root", "Example Root", keys[0], signer=keys[0], ca=True)


@pytest.fixture(scope="module")
def signer(keys):
    return certified("Example Signer", "Example Root", keys[1], signer=keys[0])


@pytest.fixture(scope="module")
def signed(keys, root, signer) -> bytes:
    return sign_attached(XML, signer, private_key=keys[1], chain=(root,))


def pem(data: bytes, label: str = "CMS") -> bytes:
    lines = textwrap.fill(base64.b64encode(data).decode(), 64)
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n".encode()


def xml(inner: str) -> bytes:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<plist version="1.0">\n<dict>\n{inner}\n</dict>\n</plist>\n'.encode()
    )


def refusal(data: bytes, **options) -> MobileconfigError:
    with pytest.raises(MobileconfigError) as caught:
        read_file(data, **options)
    assert str(caught.value).endswith(".")
    return caught.value


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (XML, Form.XML),
        (b"\n \r\n" + XML, Form.XML),
        (b"\xef\xbb\xbf" + XML, Form.XML),
        (b"\xef\xbb\xbf\r\n" + XML, Form.XML),
        (XML.replace(b"\n", b"\r\n"), Form.XML),
        (XML.decode().encode("utf-16"), Form.XML),
        (XML.decode().replace("UTF-8", "UTF-16").encode("utf-16"), Form.XML),
        (b"\xfe\xff" + XML.decode().encode("utf-16-be"), Form.XML),
        (b"\xff\xfe" + ("\n" + XML.decode()).encode("utf-16-le"), Form.XML),
        (XML.decode().encode("utf-16-le"), Form.XML),
        (XML.decode().replace("UTF-8", "ISO-8859-1").encode("latin-1"), Form.XML),
        (plistlib.dumps(PROFILE, fmt=plistlib.FMT_BINARY), Form.BINARY),
        (base64.b64encode(XML), Form.BASE64),
        (base64.encodebytes(XML).replace(b"\n", b"\r\n"), Form.BASE64),
        (base64.encodebytes(plistlib.dumps(PROFILE, fmt=plistlib.FMT_BINARY)), Form.BASE64),
    ],
)
def test_every_unsigned_form_is_read(data, form):
    read = read_file(data)
    assert read.mobileconfig.content == PROFILE
    assert (read.form, read.signer, read.original) == (form, None, data)
    assert (read.mended, read.warnings) == ((), ())
    assert not read.is_deliverable_as_it_is


def test_every_signed_form_is_read(signed):
    for data, form in (
        (signed, Form.CMS),
        (signed + b"\n", Form.CMS),
        (pem(signed), Form.PEM),
        (pem(signed, "PKCS7"), Form.PEM),
        (b"\xef\xbb\xbf\n" + pem(signed).replace(b"\n", b"\r\n"), Form.PEM),
        (base64.b64encode(signed), Form.BASE64),
    ):
        read = read_file(data)
        assert read.mobileconfig.content == PROFILE
        assert (read.form, read.original) == (form, data)
        assert read.signer is not None
        assert read.is_deliverable_as_it_is == (form is Form.CMS)


def test_the_signer_is_reported_apart_from_the_content(signed, root, signer):
    report = read_file(signed).signer
    assert (report.subject, report.issuer, report.digest) == ("CN=Example Signer", "CN=Example Root", "sha256")
    assert (report.not_before, report.not_after) == (START, START + timedelta(days=9))
    assert not report.self_signed
    assert [report.is_expired(now) for now in (START, LATER)] == [False, True]
    ours = APPLE_ROOTS.with_certificates([root])
    assert report.leads_to(ours)
    assert report.leads_to(ours, now=START)
    assert not report.leads_to(ours, now=LATER)
    assert not report.leads_to(APPLE_ROOTS)


def test_a_signer_of_another_root_with_the_same_name_is_not_trusted(keys, root):
    forged = certified("Example Signer", "Example Root", keys[1], signer=keys[1])
    report = read_file(sign_attached(XML, forged, private_key=keys[1], chain=(root,))).signer
    assert not report.leads_to(APPLE_ROOTS.with_certificates([root]))


def test_a_signed_file_that_was_changed_is_refused(signed):
    assert refusal(signed.replace(b"SSID_STR", b"SSID_STX")).code == "bad_signature"
    assert refusal(signed[:-300]).code == "bad_signature"
    assert refusal(pem(signed.replace(b"SSID_STR", b"SSID_STX"))).code == "bad_signature"


def test_what_else_people_choose_is_named(keys, root, signed):
    p12 = pkcs12.serialize_key_and_certificates(b"x", keys[0], root, None, NoEncryption())
    private = keys[0].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for data, code in (
        (b"", "empty"),
        (b"\0" * 9, "empty"),
        (sign_attached(b"", root, private_key=keys[0]), "empty"),
        (b"hello\nthere", "text"),
        ("grüß".encode() * 2000, "text"),
        (b"\x89PNG\r\n\x1a\n" + bytes(30), "not_a_plist"),
        (b"PK\x03\x04" + b"x" * 26 + b"Payload/App.app", "ipa"),
        (b"PK\x03\x04abc", "zip"),
        (b"<!DOCTYPE html><p>", "html"),
        (json.dumps({"profile_name": "a", "url": "b"}).encode(), "ade_profile"),
        (json.dumps({"Type": "com.apple.configuration.passcode.settings"}).encode(), "declaration"),
        (b"[]", "json"),
        (b"MIME-Version: 1.0\nContent-Type: multipart/signed\n\n", "mime"),
        (p12, "pkcs12"),
        (base64.b64encode(p12), "pkcs12"),
        (root.public_bytes(Encoding.DER), "certificate"),
        (root.public_bytes(Encoding.PEM), "certificate"),
        (base64.b64encode(root.public_bytes(Encoding.DER)), "certificate"),
        (certs_only([root]), "certificate"),
        (private, "private_key"),
        (in_house(), "provisioning_profile"),
        (encrypt(XML, root), "encrypted"),
        (dumps({**PROFILE, "EncryptedPayloadContent": b"x"}), "encrypted"),
        (
            dumps({**PROFILE, "PayloadType": "Profile Service", "PayloadContent": {"URL": "https://x"}}),
            "profile_service",
        ),
        (dumps({**PROFILE, "PayloadContent": {"Services": {}}}), "malformed"),
        (dumps({key: value for key, value in PROFILE.items() if key != "PayloadContent"}), "malformed"),
        (dumps({"Services": {}}), "no_profile"),
        (dumps({"CFBundleIdentifier": "com.example.app"}), "no_profile"),
        (dumps(["x"]), "malformed"),
        (dumps([PAYLOAD]), "bare_payload"),
        (dumps(PAYLOAD), "bare_payload"),
        (pem(signed)[:400], "bad_base64"),
        (pem(b"abc", "SOMETHING"), "not_a_plist"),
        (base64.b64encode(XML)[:201], "bad_base64"),
        (b"<plist>" + b"<array>" * 5000 + b"</array>" * 5000 + b"</plist>", "too_deep"),
        (b"a" * (32 * 1024 * 1024 + 1), "too_large"),
        (XML.replace(b"B\xc3\xbcro", b"B\0ro"), "not_a_plist"),
        (b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><plist><string>&a;</string></plist>', "not_a_plist"),
    ):
        assert refusal(data).code == code, data[:60]


@pytest.mark.parametrize(
    ("inner", "code", "words"),
    [
        ("<key>A</key><integer>{{ port }}</integer>", "variable", "Line 4 (A) has a placeholder where a whole number"),
        ("<key>A</key><real>$X</real>", "variable", "a number must stand"),
        ("<key>A</key><integer>twelve</integer>", "not_a_plist", "Line 4 (A) must hold a whole number."),
        ("<key>A</key><integer>99999999999999999999</integer>", "not_a_plist", "at most 64 bits"),
        ("<key>A</key><integer>" + "9" * 9000 + "</integer>", "not_a_plist", "at most 64 bits"),
        ("<key>A</key><real>nan</real>", "not_a_plist", "Line 4 (A) must hold a number."),
        ("<key>A</key><date>yesterday</date>", "not_a_plist", "a date such as"),
        ("<key>A</key><data>abc</data>", "not_a_plist", "Line 4 (A) must hold Base64."),
        ("<key>A</key>\n<key>B</key><string>x</string>", "not_a_plist", "Line 5 (A): this key has no value."),
        ("<key>A</key>", "not_a_plist", "(A): this key has no value."),
        ("<string>x</string>", "not_a_plist", "has a value without a key"),
        (
            "<key>A</key><array><dict><key>B</key><text/></dict></array>",
            "not_a_plist",
            "Line 4 (A[0].B) has an element",
        ),
        ("<key>A</key><string>x</strin>", "not_a_plist", "Line 4 is no well-formed XML (mismatched tag)."),
    ],
)
def test_a_broken_file_is_explained_by_line_and_key(inner, code, words):
    error = refusal(xml(inner))
    assert error.code == code
    assert words in str(error)


def test_an_explanation_quotes_no_value():
    for inner in ("<key>Password</key><integer>hunter2 {{x}}</integer>", "<key>Password</key><data>hunter2!</data>"):
        assert "hunter2" not in str(refusal(xml(inner)))


def test_a_key_that_comes_twice_is_named_and_the_last_value_counts():
    data = XML.replace(b"<key>SSID_STR</key>", b"<key>SSID_STR</key>\n<string>first</string>\n<key>SSID_STR</key>")
    read = read_file(data)
    assert read.mobileconfig.payloads[0]["SSID_STR"] == "Büro"
    assert read.warnings == ("PayloadContent[0].SSID_STR comes twice; its last value counts.",)
    assert duplicate_keys(b"<plist><dict>" + b"<key>a</key><true/>" * 999 + b"</dict></plist>") == ["a"] * 20


def test_missing_names_are_given_and_said_and_the_same_file_gets_the_same_ones():
    content = {
        "PayloadType": "configuration",
        "PayloadContent": [
            {"PayloadType": "com.apple.font", "Name": "a"},
            {"PayloadType": "com.apple.font", "PayloadUUID": "X", "PayloadIdentifier": "i", "PayloadVersion": 1},
            {"PayloadType": "com.apple.font", "PayloadUUID": "X", "PayloadIdentifier": "i", "PayloadVersion": 1},
        ],
    }
    read = read_file(dumps(content))
    assert read == read_file(dumps(content))
    names = [(payload["PayloadUUID"], payload["PayloadIdentifier"]) for payload in read.mobileconfig.payloads]
    assert len({uuid for uuid, _ in names}) == len({identifier for _, identifier in names}) == 3
    assert names[1] == ("X", "i")
    assert names[2][1] == "i.2"
    assert "Payload 1 had no PayloadUUID and got one." in read.mended
    assert "Payload 3 shared its PayloadUUID with another and got one of its own." in read.mended
    assert "The profile had no PayloadVersion 1." in read.mended
    assert len(read.mended) == 9


def test_a_signed_file_that_had_to_be_mended_cannot_go_out_as_it_is(keys, root):
    content = {key: value for key, value in PROFILE.items() if key != "PayloadVersion"}
    assert not read_file(sign_attached(dumps(content), root, private_key=keys[0])).is_deliverable_as_it_is


def test_a_bare_payload_gets_a_profile_when_that_is_wished():
    for content in (PAYLOAD, [PAYLOAD]):
        read = read_file(dumps(content), accept_bare=True)
        assert read.mobileconfig.payloads == (PAYLOAD,)
        assert read.mended[0] == "The payload got a profile around it."
    assert read_file(XML, accept_bare=True).mended == ()
    assert refusal(dumps({"PayloadType": "Profile Service"}), accept_bare=True).code == "profile_service"
    assert refusal(dumps([]), accept_bare=True).code == "malformed"


def test_a_font_of_20_megabytes_is_read_in_every_form(keys, root):
    font = {**PAYLOAD, "PayloadType": "com.apple.font", "Font": bytes(range(256)) * 80_000}
    content = build_mobileconfig([font], identifier="com.example.font", uuid="F-1", display_name="Font")
    data = dumps(content)
    started = time.process_time()
    for each in (
        data,
        plistlib.dumps(content, fmt=plistlib.FMT_BINARY),
        sign_attached(data, root, private_key=keys[0]),
    ):
        assert read_file(each).mobileconfig.payloads[0]["Font"] == font["Font"]
    # About a second on a small machine; anything quadratic takes minutes.
    assert time.process_time() - started < 30


def test_thousands_of_payloads_with_one_name_take_no_quadratic_time():
    content = build_mobileconfig([PAYLOAD] * 5000, identifier="i", uuid="u", display_name="d")
    assert len(set(map(str, read_file(dumps(content)).mobileconfig.payloads))) == 5000


@given(st.binary(max_size=300), st.booleans())
@settings(max_examples=50, deadline=None)
def test_any_bytes_are_a_profile_or_refused(data, bare):
    openings = (
        b"",
        b"0\x80\x06\x09*\x86H\x86\xf7\r\x01\x07\x02",
        b"<plist>",
        b"bplist00",
        b"\xff\xfe<\0",
        b"-----BEGIN CMS-----",
    )
    for opening in openings:
        with contextlib.suppress(MobileconfigError):
            read_file(opening + data, accept_bare=bare)
    with contextlib.suppress(MobileconfigError):
        read_file(base64.b64encode(b"<plist>" + data), accept_bare=bare)


@given(st.binary(min_size=1, max_size=4), st.integers(0, 5000))
@settings(max_examples=50, deadline=None)
def test_any_damage_to_a_signed_file_is_read_or_refused(signed_once, noise, at):
    data = signed_once[:at] + noise + signed_once[at + len(noise) :]
    with contextlib.suppress(MobileconfigError):
        read_file(data)


@pytest.fixture(scope="module")
def signed_once(signed):
    return signed


@given(
    st.dictionaries(st.sampled_from(sorted(PROFILE)), VALUES), st.dictionaries(st.sampled_from(sorted(PAYLOAD)), VALUES)
)
@settings(max_examples=50, deadline=None)
def test_what_is_read_kindly_holds_together_strictly(top, inner):
    content = {**PROFILE, "PayloadContent": [{**PAYLOAD, **inner}, {**PAYLOAD, **inner}], **top}
    with contextlib.suppress(MobileconfigError):
        read = read_file(plistlib.dumps(content), accept_bare=True)
        assert parse_mobileconfig(dumps(read.mobileconfig.content)) == read.mobileconfig


@given(st.text("<>/keydictarysng{}1 =\n", max_size=120))
@settings(max_examples=50, deadline=None)
def test_any_xml_is_explained_or_right(text):
    explain(text.encode())
    duplicate_keys(text.encode())
