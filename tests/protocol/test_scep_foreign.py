"""SCEP messages read and made by others: openssl takes ours apart, asn1crypto builds one."""

from __future__ import annotations

import hashlib
import shutil

import pytest
from asn1crypto import cms as asn1_cms
from asn1crypto import core
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from protocol import scep
from tests.protocol.keyring import openssl
from tests.protocol.test_scep import (
    CHALLENGE,
    NONCE,
    REPLY_NONCE,
    TRANSACTION,
    authority,
    device_key,
    issue,
    parse,
    reply,
    request,
    throw_away,
)

with_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


def unwrap(data: bytes, *, certificate, key) -> bytes:
    """Verify a message and decrypt its content, both by openssl."""
    envelope = openssl("cms", "-verify", "-noverify", "-binary", "-inform", "DER", data=data)
    recipient = ("-recip", certificate, "-inkey", key)
    return openssl("cms", "-decrypt", "-binary", "-inform", "DER", *recipient, data=envelope)


@pytest.mark.foreign
@with_openssl
@pytest.mark.parametrize("cipher", ["aes128", "aes256", "3des"])
def test_openssl_takes_our_messages_apart(tmp_path, cipher):
    signer = throw_away()
    data = request(signer_certificate=signer, cipher=cipher)
    (tmp_path / "ca").mkdir()
    certificate, key = authority().write(tmp_path / "ca")
    csr = openssl(
        "req", "-inform", "DER", "-verify", "-noout", "-text", data=unwrap(data, certificate=certificate, key=key)
    )
    assert b"challengePassword" in csr

    issued = issue(device_key().public_key())
    own = tmp_path / "own.pem"
    own.write_bytes(signer.public_bytes(Encoding.PEM))
    _, key = type(authority())(signer, device_key()).write(tmp_path)
    bag = unwrap(reply(parse(data), issued), certificate=own, key=key)
    listed = openssl("pkcs7", "-inform", "DER", "-print_certs", data=bag)
    assert x509.load_pem_x509_certificates(listed) == [issued]


def test_asn1crypto_reads_the_attributes_of_a_reply():
    data = reply(parse(request()), issue(device_key().public_key()))
    info = asn1_cms.ContentInfo.load(data, strict=True)["content"]["signer_infos"][0]
    attributes = {each["type"].dotted: each["values"] for each in info["signed_attrs"]}
    prefix = "2.16.840.1.113733.1.9."
    native = {name.removeprefix(prefix): values[0].native for name, values in attributes.items()}
    assert (native["2"], native["3"], native["7"]) == ("3", "0", TRANSACTION)
    assert (native["5"], native["6"]) == (REPLY_NONCE, NONCE)


def foreign_request() -> bytes:
    """A PKCSReq built by asn1crypto and the envelope of cryptography, signed over its sorted attributes."""
    csr = scep.build_csr(device_key(), common_name="Device", challenge=CHALLENGE)
    envelope = (
        pkcs7.PKCS7EnvelopeBuilder()
        .set_data(csr.public_bytes(Encoding.DER))
        .add_recipient(authority().certificate)
        .encrypt(Encoding.DER, [pkcs7.PKCS7Options.Binary])
    )
    prefix = "2.16.840.1.113733.1.9."
    values = [
        ("content_type", "data"),
        ("message_digest", hashlib.sha512(envelope).digest()),
        (prefix + "2", core.PrintableString("19")),
        (prefix + "5", core.OctetString(NONCE)),
        (prefix + "7", core.PrintableString(TRANSACTION)),
    ]
    attributes = asn1_cms.CMSAttributes([{"type": name, "values": [value]} for name, value in values])
    certificate = asn1_x509.Certificate.load(throw_away().public_bytes(Encoding.DER))
    signer_info = {
        "version": "v1",
        "sid": asn1_cms.SignerIdentifier(
            "issuer_and_serial_number", {"issuer": certificate.issuer, "serial_number": certificate.serial_number}
        ),
        "digest_algorithm": {"algorithm": "sha512"},
        "signed_attrs": attributes,
        "signature_algorithm": {"algorithm": "sha512_rsa"},
        "signature": device_key().sign(attributes.dump(), padding.PKCS1v15(), hashes.SHA512()),
    }
    signed = {
        "version": "v1",
        "digest_algorithms": [{"algorithm": "sha512"}],
        "encap_content_info": {"content_type": "data", "content": envelope},
        "certificates": [certificate],
        "signer_infos": [signer_info],
    }
    return asn1_cms.ContentInfo({"content_type": "signed_data", "content": asn1_cms.SignedData(signed)}).dump()


def test_a_request_built_by_other_libraries_is_read():
    parsed = parse(foreign_request())
    assert (parsed.transaction_id, parsed.sender_nonce) == (TRANSACTION, NONCE)
    assert (parsed.challenge_password, parsed.cipher, parsed.digest) == (CHALLENGE, "aes128", "sha512")
