"""EnvelopedData: what we encrypt we decrypt, and what arrives broken stays one kind of error."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import cms
from protocol.cms import algorithms, der
from protocol.errors import AlgorithmError, SignatureError
from tests.protocol.keyring import ec_identity, rsa_identity

SECRET = b"a request with a challenge in it"


@pytest.mark.parametrize("cipher", ["aes128", "aes192", "aes256", "3des"])
@pytest.mark.parametrize("content", [b"", SECRET, SECRET * 100])
def test_what_we_encrypt_we_decrypt(cipher, content):
    device = rsa_identity()
    data = cms.encrypt(content, device.certificate, cipher=cipher)
    assert SECRET not in data
    assert cms.decrypt(data, device.certificate, private_key=device.key) == (content, cipher)


def test_single_des_opens_only_in_legacy_mode():
    device = rsa_identity()
    data = cms.encrypt(SECRET, device.certificate, cipher="des")
    with pytest.raises(AlgorithmError):
        cms.decrypt(data, device.certificate, private_key=device.key)
    assert cms.decrypt(data, device.certificate, private_key=device.key, legacy=True) == (SECRET, "des")


def test_each_message_has_its_own_key_and_vector():
    device = rsa_identity()
    assert cms.encrypt(SECRET, device.certificate) != cms.encrypt(SECRET, device.certificate)


def test_only_rsa_certificates_receive():
    with pytest.raises(AlgorithmError):
        cms.encrypt(SECRET, ec_identity().certificate)
    with pytest.raises(AlgorithmError):
        cms.encrypt(SECRET, rsa_identity().certificate, cipher="rot13")


def test_another_recipient_cannot_read_it():
    device, other = rsa_identity(), rsa_identity("Other")
    data = cms.encrypt(SECRET, device.certificate)
    with pytest.raises(SignatureError, match="not encrypted to this certificate"):
        cms.decrypt(data, other.certificate, private_key=other.key)


def test_a_wrong_key_and_a_wrong_padding_are_told_alike():
    device, other = rsa_identity(), rsa_identity("Other")
    data = cms.encrypt(SECRET, device.certificate)
    messages = set()
    for message, key in ((data, other.key), (data[:-1] + bytes((data[-1] ^ 1,)), device.key)):
        for _ in range(20):
            try:
                assert cms.decrypt(message, device.certificate, private_key=key)[0] != SECRET
            except SignatureError as error:
                messages.add(str(error))
    assert len(messages) == 1


def test_an_unknown_cipher_is_named_as_such():
    device = rsa_identity()
    data = cms.encrypt(SECRET, device.certificate, cipher="aes128")
    unknown = data.replace(der.oid("2.16.840.1.101.3.4.1.2"), der.oid("2.16.840.1.101.3.4.1.9"))
    with pytest.raises(AlgorithmError):
        cms.decrypt(unknown, device.certificate, private_key=device.key)


def test_cryptography_and_we_read_each_other():
    device = rsa_identity()
    data = cms.encrypt(SECRET, device.certificate, cipher="aes128")
    assert pkcs7.pkcs7_decrypt_der(data, device.certificate, device.key, []) == SECRET
    builder = pkcs7.PKCS7EnvelopeBuilder().set_data(SECRET).add_recipient(device.certificate)
    foreign = builder.encrypt(Encoding.DER, [pkcs7.PKCS7Options.Binary])
    assert cms.decrypt(foreign, device.certificate, private_key=device.key) == (SECRET, "aes128")


@pytest.mark.parametrize("hostile", [b"", b"\x30\x80" * 50_000, der.sequence(algorithms.ENVELOPED_DATA), b"\x30\x00"])
def test_hostile_structures_are_refused_in_kind(hostile):
    device = rsa_identity()
    with pytest.raises(SignatureError):
        cms.decrypt(hostile, device.certificate, private_key=device.key)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 5000), st.integers(0, 255), st.booleans())
def test_mutated_envelopes_raise_only_signature_errors(at, byte, legacy):
    device = rsa_identity()
    data = bytearray(cms.encrypt(SECRET, device.certificate, cipher="3des"))
    data[at % len(data)] = byte
    try:
        cms.decrypt(bytes(data), device.certificate, private_key=device.key, legacy=legacy)
    except SignatureError:
        return
