"""EnvelopedData of CMS: encryption to one RSA certificate (RFC 5652, section 6).

Key transport is RSA PKCS#1 v1.5 and the ciphers run in CBC, as SCEP clients and
encrypted configuration profiles have it. It is not authenticated: sign around it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import Encoding

from protocol.cms import algorithms, der
from protocol.cms.signed import issuer_and_serial, key_identifier
from protocol.errors import AlgorithmError, SignatureError

_CIPHER_OIDS: Final = {
    "aes128": der.oid("2.16.840.1.101.3.4.1.2"),
    "aes192": der.oid("2.16.840.1.101.3.4.1.22"),
    "aes256": der.oid("2.16.840.1.101.3.4.1.42"),
    "3des": der.oid("1.2.840.113549.3.7"),
    "des": der.oid("1.3.14.3.2.7"),
}
_CIPHERS: Final = {oid: name for name, oid in _CIPHER_OIDS.items()}
_KEY_BYTES: Final = {"aes128": 16, "aes192": 24, "aes256": 32, "3des": 24, "des": 8}

_EXPLICIT_0 = 0xA0
_KEY_IDENTIFIER = 0x80
_PRIMITIVE_CONTENT, _SEGMENTED_CONTENT = 0x80, 0xA0
_UNDECIPHERABLE = "The content cannot be decrypted."


@dataclass(frozen=True, slots=True)
class _Envelope:
    """An EnvelopedData as it was sent; `recipients` maps who to its encrypted key."""

    recipients: dict[bytes, bytes]
    cipher: str
    initialisation_vector: bytes
    ciphertext: bytes


def encrypt(content: bytes, recipient: x509.Certificate, *, cipher: str = "aes256") -> bytes:
    """Encrypt to the recipient's RSA key; cipher is aes128, aes192, aes256, 3des or des.

    Draws its key and initialisation vector from the operating system.
    AlgorithmError when the recipient's key is not RSA.
    """
    public_key = algorithms.public_key_of(recipient)
    if not isinstance(public_key, rsa.RSAPublicKey) or cipher not in _KEY_BYTES:
        raise AlgorithmError("Only an RSA key can receive content, by a cipher that is known.")
    key = os.urandom(_KEY_BYTES[cipher])
    algorithm = _algorithm(cipher, key)
    vector = os.urandom(algorithm.block_size // 8)
    padder = PKCS7(algorithm.block_size).padder()
    encryptor = Cipher(algorithm, modes.CBC(vector)).encryptor()
    ciphertext = encryptor.update(padder.update(content) + padder.finalize()) + encryptor.finalize()
    recipient_info = der.sequence(
        der.integer(0),
        der.sequence(issuer_and_serial(recipient.public_bytes(Encoding.DER))),
        der.sequence(algorithms.RSA_ENCRYPTION, der.encode(der.NULL)),
        der.octets(public_key.encrypt(key, padding.PKCS1v15())),
    )
    content_info = der.sequence(
        algorithms.DATA,
        der.sequence(_CIPHER_OIDS[cipher], der.octets(vector)),
        der.encode(_PRIMITIVE_CONTENT, ciphertext),
    )
    enveloped = der.sequence(der.integer(0), der.set_of((recipient_info,)), content_info)
    return der.sequence(algorithms.ENVELOPED_DATA, der.encode(_EXPLICIT_0, enveloped))


def decrypt(
    data: bytes, certificate: x509.Certificate, *, private_key: rsa.RSAPrivateKey, legacy: bool = False
) -> tuple[bytes, str]:
    """Decrypt what was encrypted to `certificate`: the content and the cipher's name.

    Single DES only when `legacy`. AlgorithmError for another cipher,
    SignatureError for everything else. A wrong key and a wrong padding give the
    same error, so that the answer tells an attacker nothing about either.
    """
    envelope = _read_envelope(data)
    if envelope.cipher == "des" and not legacy:
        raise AlgorithmError("Single DES is not accepted.")
    key = _content_key(envelope, certificate, private_key=private_key)
    algorithm = _algorithm(envelope.cipher, key)
    unpadder = PKCS7(algorithm.block_size).unpadder()
    try:
        decryptor = Cipher(algorithm, modes.CBC(envelope.initialisation_vector)).decryptor()
        padded = decryptor.update(envelope.ciphertext) + decryptor.finalize()
        return unpadder.update(padded) + unpadder.finalize(), envelope.cipher
    except ValueError:
        raise SignatureError(_UNDECIPHERABLE) from None


def _content_key(envelope: _Envelope, certificate: x509.Certificate, *, private_key: rsa.RSAPrivateKey) -> bytes:
    encrypted = envelope.recipients.get(issuer_and_serial(certificate.public_bytes(Encoding.DER)))
    if encrypted is None:
        encrypted = envelope.recipients.get(key_identifier(certificate) or b"")
    if encrypted is None:
        raise SignatureError("The content is not encrypted to this certificate.")
    length = _KEY_BYTES[envelope.cipher]
    try:
        key = private_key.decrypt(encrypted, padding.PKCS1v15())
    except ValueError:
        key = b""
    # RFC 5246 section 7.4.7.1's cure for Bleichenbacher's attack: go on with a random key.
    return key if len(key) == length else os.urandom(length)


def _algorithm(cipher: str, key: bytes) -> BlockCipherAlgorithm:
    if cipher == "des":
        return TripleDES(key * 3)  # three equal keys undo each other down to single DES
    return TripleDES(key) if cipher == "3des" else AES(key)


def _read_envelope(data: bytes) -> _Envelope:
    return der.read_tolerantly(data, _read)


def _read(data: bytes) -> _Envelope:
    info = der.Reader(data).enter(der.SEQUENCE)
    if info.whole(der.OBJECT_IDENTIFIER) != algorithms.ENVELOPED_DATA:
        raise SignatureError("The message is no EnvelopedData.")
    enveloped = info.enter(_EXPLICIT_0).enter(der.SEQUENCE)
    enveloped.skip(der.INTEGER)
    if enveloped.peek() == _EXPLICIT_0:
        enveloped.skip(_EXPLICIT_0)
    recipients = _recipients(enveloped.enter(der.SET))
    content = enveloped.enter(der.SEQUENCE)
    content.skip(der.OBJECT_IDENTIFIER)
    algorithm = content.enter(der.SEQUENCE)
    cipher = _CIPHERS.get(algorithm.whole(der.OBJECT_IDENTIFIER))
    if cipher is None:
        raise AlgorithmError("The cipher is none of AES, triple DES and DES in CBC mode.")
    vector = algorithm.value(der.OCTET_STRING)
    # BER clients send the implicit octet string in segments, which no normaliser can know.
    if content.peek() == _SEGMENTED_CONTENT:
        ciphertext = der.join_octets(content.enter(_SEGMENTED_CONTENT))
    else:
        ciphertext = content.value(_PRIMITIVE_CONTENT)
    return _Envelope(recipients, cipher, vector, ciphertext)


def _recipients(recipient_infos: der.Reader) -> dict[bytes, bytes]:
    """Encrypted keys by issuer and serial number, or by key identifier; other kinds are passed over."""
    recipients: dict[bytes, bytes] = {}
    while recipient_infos:
        if recipient_infos.peek() != der.SEQUENCE:
            recipient_infos.skip(-1)
            continue
        info = recipient_infos.enter(der.SEQUENCE)
        info.skip(der.INTEGER)
        name = info.value(_KEY_IDENTIFIER if info.peek() == _KEY_IDENTIFIER else der.SEQUENCE)
        transport = info.enter(der.SEQUENCE).whole(der.OBJECT_IDENTIFIER)
        if transport == algorithms.RSA_ENCRYPTION:
            recipients[name] = info.value(der.OCTET_STRING)
    return recipients
