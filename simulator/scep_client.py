"""A device's SCEP client (RFC 8894; mdm-protocol 4.2): GetCACaps, GetCACert, PKIOperation by POST.

As strict as Apple's: the content type of GetCACert counts, a CA without a usable digest is refused, and a
CAFingerprint in the profile must match.
"""

import hashlib
import os
import uuid
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from protocol import cms, scep
from protocol.errors import ProtocolError, ScepError
from simulator.errors import EnrollmentFailed
from simulator.flows import Flow, HttpRequest, fetch
from simulator.profiles import ScepPayload

_DIGESTS: Final = {32: "sha256", 20: "sha1", 16: "md5"}


def get_certificate(payload: ScepPayload, private_key: RSAPrivateKey, *, now: datetime) -> Flow[x509.Certificate]:
    """Enroll for one identity. EnrollmentFailed says which step the server refused; ConnectionFailed may come."""
    capabilities = yield from _capabilities(payload)
    ca = yield from _ca_certificate(payload)
    cipher = "aes128" if capabilities & {"aes", "scepstandard"} else "3des"
    digest = "sha256" if capabilities & {"sha-256", "scepstandard"} else "sha512"
    throw_away = scep.self_signed(private_key, common_name=payload.common_name, now=now)
    csr = scep.build_csr(private_key, common_name=payload.common_name, challenge=payload.challenge)
    transaction_id, nonce = uuid.uuid4().hex, os.urandom(16)
    message = scep.build_request(
        csr,
        message_type=scep.MessageType.PKCS_REQ,
        signer_certificate=throw_away,
        signer_key=private_key,
        ca=ca,
        transaction_id=transaction_id,
        nonce=nonce,
        cipher=cipher,
        digest=digest,
    )
    url = _address(payload.url, {"operation": "PKIOperation"})
    reply = yield from fetch(HttpRequest("POST", url, {"Content-Type": "application/x-pki-message"}, message))
    if reply.status != 200 or reply.content_type != "application/x-pki-message":
        raise EnrollmentFailed(f"SCEP PKIOperation: HTTP {reply.status} {reply.content_type}")
    try:
        return scep.parse_response(
            reply.body,
            ca=ca,
            recipient_certificate=throw_away,
            private_key=private_key,
            transaction_id=transaction_id,
            nonce=nonce,
        )
    except ScepError as error:
        raise EnrollmentFailed(f"SCEP refused: {error.fail_info.name} {error.text}".strip()) from error
    except ProtocolError as error:
        raise EnrollmentFailed("the SCEP answer cannot be read") from error


def _capabilities(payload: ScepPayload) -> Flow[set[str]]:
    reply = yield from fetch(HttpRequest("GET", _operation(payload, "GetCACaps")))
    lines = {line.strip().lower() for line in reply.body.decode("latin-1").splitlines()}
    # iOS 10 and newer give up (MCSCEPErrorDomain 22006) on a CA that names no digest.
    if reply.status != 200 or not lines & {"sha-256", "sha-512", "scepstandard"}:
        raise EnrollmentFailed(f"SCEP GetCACaps: HTTP {reply.status}, insufficient capabilities")
    if not lines & {"postpkioperation", "scepstandard"}:
        raise EnrollmentFailed("SCEP GetCACaps: no POSTPKIOperation")
    return lines


def _ca_certificate(payload: ScepPayload) -> Flow[x509.Certificate]:
    reply = yield from fetch(HttpRequest("GET", _operation(payload, "GetCACert")))
    try:
        if reply.status == 200 and reply.headers.get("content-type") == "application/x-x509-ca-cert":
            ca = x509.load_der_x509_certificate(reply.body)
        elif reply.status == 200 and reply.headers.get("content-type") == "application/x-x509-ca-ra-cert":
            ca = cms.load_certs_only(reply.body)[0]
        else:
            raise EnrollmentFailed(f"SCEP GetCACert: HTTP {reply.status} {reply.content_type}")
    except (ValueError, IndexError, ProtocolError) as error:
        raise EnrollmentFailed("SCEP GetCACert: no certificate in the answer") from error
    expected = payload.ca_fingerprint
    if expected:
        digest = _DIGESTS.get(len(expected), "sha256")
        if hashlib.new(digest, ca.public_bytes(Encoding.DER), usedforsecurity=False).digest() != expected:
            raise EnrollmentFailed("the CA is not the one whose fingerprint is in the profile")
    return ca


def _operation(payload: ScepPayload, operation: str) -> str:
    query = {"operation": operation} | ({"message": payload.name} if payload.name else {})
    return _address(payload.url, query)


def _address(url: str, query: dict[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"
