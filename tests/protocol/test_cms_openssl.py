"""CMS against openssl in both directions."""

from __future__ import annotations

import shutil

import pytest

from protocol import cms
from protocol.errors import SignatureError
from tests.protocol.keyring import ec_identity, openssl, rsa_identity

pytestmark = [
    pytest.mark.foreign,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed"),
]

BODY = b"<plist>\n<dict/>\r\n</plist>\n" * 300


@pytest.fixture
def body(tmp_path):
    path = tmp_path / "body"
    path.write_bytes(BODY)
    return path


STREAM = ("-indef", "-stream")
FORMS = [(), ("-noattr",), ("-keyid",), STREAM, ("-noattr", *STREAM)]
# openssl 3.0 itself cannot write PSS as a stream.
SIGNING = [(kind, form) for kind in ("rsa", "pss", "ec") for form in FORMS if kind != "pss" or "-stream" not in form]


@pytest.mark.parametrize(("kind", "form"), SIGNING)
@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha384", "sha512"])
def test_what_openssl_signs_verifies(tmp_path, body, kind, digest, form):
    device = ec_identity() if kind == "ec" else rsa_identity()
    certificate, key = device.write(tmp_path)
    padding = ("-keyopt", "rsa_padding_mode:pss") if kind == "pss" else ()
    signature = openssl(
        *("cms", "-sign", "-binary", "-in", body, "-signer", certificate, "-inkey", key, *padding),
        *("-outform", "DER", "-md", digest, *form),
    )
    assert cms.looks_like_cms(signature)
    assert cms.verify_detached(signature, BODY) == cms.Signer(device.der, digest, "-noattr" not in form)
    with pytest.raises(SignatureError):
        cms.verify_detached(signature, BODY + b"\n")


@pytest.mark.parametrize("salt", ["digest", "max", "0"])
def test_any_salt_of_pss_verifies(tmp_path, body, salt):
    device = rsa_identity()
    certificate, key = device.write(tmp_path)
    signature = openssl(
        *("cms", "-sign", "-binary", "-in", body, "-signer", certificate, "-inkey", key, "-outform", "DER"),
        *("-keyopt", "rsa_padding_mode:pss", "-keyopt", f"rsa_pss_saltlen:{salt}", "-keyopt", "rsa_mgf1_md:sha384"),
    )
    assert cms.verify_detached(signature, BODY).certificate_der == device.der


@pytest.mark.parametrize("form", [(), STREAM])
def test_attached_files_of_openssl_give_their_content(tmp_path, body, form):
    device = rsa_identity()
    certificate, key = device.write(tmp_path)
    data = openssl(
        *("cms", "-sign", "-nodetach", "-binary", "-in", body, "-signer", certificate, "-inkey", key),
        *("-outform", "DER", *form),
    )
    content, signer = cms.verify_attached(data)
    assert (content, signer.certificate_der) == (BODY, device.der)


def test_two_signers_of_openssl_are_refused(tmp_path, body):
    (tmp_path / "second").mkdir()
    first, key = rsa_identity().write(tmp_path)
    second, second_key = ec_identity().write(tmp_path / "second")
    signature = openssl(
        *("cms", "-sign", "-binary", "-in", body, "-outform", "DER"),
        *("-signer", first, "-inkey", key, "-signer", second, "-inkey", second_key),
    )
    with pytest.raises(SignatureError, match="signers"):
        cms.verify_detached(signature, BODY)


def test_a_signature_without_certificates_is_refused(tmp_path, body):
    certificate, key = rsa_identity().write(tmp_path)
    signature = openssl(
        *("cms", "-sign", "-binary", "-nocerts", "-in", body, "-signer", certificate, "-inkey", key, "-outform", "DER")
    )
    with pytest.raises(SignatureError, match="not in the message"):
        cms.verify_detached(signature, BODY)


@pytest.mark.parametrize("signed_attributes", [True, False])
@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("kind", [rsa_identity, ec_identity])
def test_openssl_verifies_what_we_sign(tmp_path, body, kind, digest, signed_attributes):
    device = kind()
    signature = tmp_path / "signature.der"
    signature.write_bytes(
        cms.sign_detached(
            BODY, device.certificate, private_key=device.key, digest=digest, signed_attributes=signed_attributes
        )
    )
    verified = openssl("cms", "-verify", "-binary", "-noverify", "-inform", "DER", "-in", signature, "-content", body)
    assert verified == BODY


def test_openssl_verifies_the_files_we_sign_and_finds_the_chain(tmp_path):
    device, authority = rsa_identity(), rsa_identity("Authority")
    data = cms.sign_attached(BODY, device.certificate, private_key=device.key, chain=[authority.certificate])
    certificates = tmp_path / "certificates.pem"
    assert openssl("cms", "-verify", "-noverify", "-inform", "DER", "-certsout", certificates, data=data) == BODY
    assert certificates.read_text().count("BEGIN CERTIFICATE") == 2


def test_openssl_reads_our_bag_of_certificates():
    data = cms.certs_only([rsa_identity().certificate, ec_identity().certificate])
    listed = openssl("pkcs7", "-inform", "DER", "-print_certs", data=data)
    assert listed.count(b"BEGIN CERTIFICATE") == 2


@pytest.mark.parametrize("cipher", ["aes128", "aes192", "aes256", "3des"])
def test_openssl_decrypts_what_we_encrypt(tmp_path, cipher):
    device = rsa_identity()
    certificate, key = device.write(tmp_path)
    data = cms.encrypt(BODY, device.certificate, cipher=cipher)
    decrypt = ("cms", "-decrypt", "-binary", "-inform", "DER", "-recip", certificate, "-inkey", key)
    assert openssl(*decrypt, data=data) == BODY


@pytest.mark.parametrize("form", [(), ("-keyid",), STREAM])
@pytest.mark.parametrize(("cipher", "name"), [("aes128", "aes128"), ("aes256", "aes256"), ("des3", "3des")])
def test_what_openssl_encrypts_decrypts(tmp_path, body, cipher, name, form):
    device = rsa_identity()
    certificate, _ = device.write(tmp_path)
    data = openssl(
        *("cms", "-encrypt", "-binary", f"-{cipher}", "-in", body, "-outform", "DER", *form, "-recip", certificate)
    )
    assert cms.decrypt(data, device.certificate, private_key=device.key) == (BODY, name)


def test_single_des_of_openssl_decrypts_in_legacy_mode(tmp_path, body):
    device = rsa_identity()
    certificate, _ = device.write(tmp_path)
    data = openssl(
        *("cms", "-encrypt", "-binary", "-des", "-provider", "default", "-provider", "legacy", "-in", body),
        *("-outform", "DER", certificate),
    )
    assert cms.decrypt(data, device.certificate, private_key=device.key, legacy=True) == (BODY, "des")
