"""Configuration profiles that openssl signs, encrypts and packs, as people do it by hand."""

from __future__ import annotations

import shutil

import pytest

from protocol.errors import MobileconfigError
from protocol.mobileconfig import Form, build_mobileconfig, read_file
from protocol.plist import dumps
from tests.protocol.keyring import ec_identity, openssl, rsa_identity

pytestmark = [
    pytest.mark.foreign,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed"),
]

PAYLOAD = {
    "PayloadType": "com.apple.font",
    "PayloadVersion": 1,
    "PayloadIdentifier": "p",
    "PayloadUUID": "P",
    "Font": b"x",
}
PROFILE = build_mobileconfig([PAYLOAD], identifier="com.example.font", uuid="U", display_name="Font")
STREAM = ("-indef", "-stream")


@pytest.fixture
def profile(tmp_path):
    path = tmp_path / "font.mobileconfig"
    path.write_bytes(dumps(PROFILE))
    return path


@pytest.mark.parametrize("tool", ["cms", "smime"])
@pytest.mark.parametrize(
    ("form", "read_as"),
    [
        (("-outform", "DER"), Form.CMS),
        (("-outform", "DER", *STREAM), Form.CMS),
        (("-outform", "PEM"), Form.PEM),
        (("-outform", "PEM", *STREAM), Form.PEM),
    ],
)
def test_what_openssl_signs_is_read(tmp_path, profile, tool, form, read_as):
    for author in (rsa_identity(), ec_identity()):
        certificate, key = author.write(tmp_path)
        data = openssl(
            tool, "-sign", "-nodetach", "-binary", "-in", profile, "-signer", certificate, "-inkey", key, *form
        )
        read = read_file(data)
        assert read.mobileconfig.content == PROFILE
        assert (read.form, read.signer.certificate) == (read_as, author.certificate)
        assert read.signer.subject == author.certificate.subject.rfc4514_string()


def test_the_mail_form_that_openssl_writes_by_default_is_named(tmp_path, profile):
    certificate, key = rsa_identity().write(tmp_path)
    data = openssl("cms", "-sign", "-nodetach", "-in", profile, "-signer", certificate, "-inkey", key)
    with pytest.raises(MobileconfigError) as caught:
        read_file(data)
    assert caught.value.code == "mime"


def test_a_detached_signature_and_an_encrypted_file_are_refused(tmp_path, profile):
    certificate, key = rsa_identity().write(tmp_path)
    signature = openssl(
        *("cms", "-sign", "-binary", "-in", profile, "-signer", certificate, "-inkey", key, "-outform", "DER")
    )
    encrypted = openssl("cms", "-encrypt", "-binary", "-in", profile, "-outform", "DER", certificate)
    for data, code, words in ((signature, "bad_signature", "detached"), (encrypted, "encrypted", "encrypted")):
        with pytest.raises(MobileconfigError, match=words) as caught:
            read_file(data)
        assert caught.value.code == code
