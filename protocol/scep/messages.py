"""What every SCEP message has: its attributes and their words (RFC 8894, section 3).

A SCEP message is a SignedData whose signed attributes say what it is about and
whose content is an EnvelopedData. Server and client side are modules beside this.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from protocol import cms
from protocol.cms import algorithms, der
from protocol.errors import AlgorithmError, SignatureError

MESSAGE_TYPE: Final = der.oid("2.16.840.1.113733.1.9.2")
PKI_STATUS: Final = der.oid("2.16.840.1.113733.1.9.3")
FAIL_INFO: Final = der.oid("2.16.840.1.113733.1.9.4")
SENDER_NONCE: Final = der.oid("2.16.840.1.113733.1.9.5")
RECIPIENT_NONCE: Final = der.oid("2.16.840.1.113733.1.9.6")
TRANSACTION_ID: Final = der.oid("2.16.840.1.113733.1.9.7")
FAIL_INFO_TEXT: Final = der.oid("1.3.6.1.5.5.7.24.1")

_IA5_STRING = 0x16
_STRINGS = (der.PRINTABLE_STRING, der.UTF8_STRING, _IA5_STRING)


class MessageType(IntEnum):
    """What a message is (RFC 8894, section 3.2.1.2)."""

    CERT_REP = 3
    RENEWAL_REQ = 17
    PKCS_REQ = 19
    CERT_POLL = 20
    GET_CERT = 21
    GET_CRL = 22


class PkiStatus(IntEnum):
    """How a request went (RFC 8894, section 3.2.1.3)."""

    SUCCESS = 0
    FAILURE = 2
    PENDING = 3


@dataclass(frozen=True, slots=True)
class RequestHead:
    """The attributes a reply must echo; `digest` is the one that the reply is signed with."""

    transaction_id: str
    sender_nonce: bytes
    message_type: int
    digest: str


@dataclass(frozen=True, slots=True)
class ScepRequest:
    """A PKCSReq or RenewalReq whose signatures hold.

    Who may have a certificate is not decided here: the challenge is for the caller to
    compare, and so is whether the signer of a RenewalReq was issued by our CA and lives.
    """

    message_type: MessageType
    transaction_id: str
    sender_nonce: bytes
    signer: x509.Certificate
    csr: x509.CertificateSigningRequest
    challenge_password: str | None = field(repr=False)
    cipher: str
    digest: str

    @property
    def public_key_sha256(self) -> bytes:
        """SHA-256 of the requested key's SubjectPublicKeyInfo in DER, 32 bytes."""
        spki = self.csr.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(spki).digest()


def text_of(attributes: Mapping[bytes, bytes], name: bytes) -> str:
    """A string attribute of 1 to 255 printable ASCII characters; SignatureError otherwise."""
    reader = der.Reader(attributes.get(name, b""))
    if reader.peek() not in _STRINGS:
        raise SignatureError("A SCEP attribute is missing or is no string.")
    value = reader.value(reader.peek())
    reader.finish()
    if not 0 < len(value) <= 255 or any(not 0x20 <= byte < 0x7F for byte in value):
        raise SignatureError("A SCEP attribute is empty, too long or not printable ASCII.")
    return value.decode("ascii")


def number_of(attributes: Mapping[bytes, bytes], name: bytes) -> int:
    """A number that SCEP writes as a string of digits; SignatureError otherwise."""
    text = text_of(attributes, name)
    if len(text) > 4 or not text.isdigit():
        raise SignatureError("A SCEP attribute is no number.")
    return int(text)


def nonce_of(attributes: Mapping[bytes, bytes], name: bytes) -> bytes:
    """A nonce: 16 bytes by the standard, 1 to 64 in the field; SignatureError otherwise."""
    reader = der.Reader(attributes.get(name, b""))
    value = reader.value(der.OCTET_STRING)
    reader.finish()
    if not 0 < len(value) <= 64:
        raise SignatureError("A SCEP nonce is empty or too long.")
    return value


def head_of(signed: cms.SignedData, *, legacy: bool) -> RequestHead:
    """What a reply must echo, read before anything is verified; SignatureError when it is not there."""
    info = signed.signer_info
    attributes = info.attributes()
    return RequestHead(
        transaction_id=text_of(attributes, TRANSACTION_ID),
        sender_nonce=nonce_of(attributes, SENDER_NONCE),
        message_type=number_of(attributes, MESSAGE_TYPE),
        digest=_reply_digest(info.digest_oid, legacy=legacy),
    )


def _reply_digest(digest_oid: bytes, *, legacy: bool) -> str:
    """The request's digest, or SHA-256 where that is one we do not sign with."""
    try:
        digest = algorithms.digest_name(digest_oid)
    except AlgorithmError:
        return "sha256"
    return digest if legacy or digest != "sha1" else "sha256"


def message_attributes(
    message_type: MessageType, transaction_id: str, *, sender_nonce: bytes, recipient_nonce: bytes | None = None
) -> dict[bytes, bytes]:
    """The signed attributes that each message carries, encoded."""
    attributes = {
        MESSAGE_TYPE: printable(str(int(message_type))),
        TRANSACTION_ID: printable(transaction_id),
        SENDER_NONCE: der.octets(sender_nonce),
    }
    if recipient_nonce is not None:
        attributes[RECIPIENT_NONCE] = der.octets(recipient_nonce)
    return attributes


def printable(text: str) -> bytes:
    """A PrintableString; clients also put other ASCII characters into it, and get them back."""
    return der.encode(der.PRINTABLE_STRING, text.encode("ascii"))
