"""SCEP issuance (RFC 8894): a message in, a CertRep out, whatever the bytes.

A PKCSReq spends a one-time challenge, a RenewalReq is signed by an identity of ours. What the request asks for
beyond its public key (subject, extensions) is ignored. HTTP, and whose device the identity is, is not known here.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from django.conf import settings
from django.db import transaction

from certificates.authority import authority_key, ensure_authority, issue_identity
from certificates.challenges import hash_secret
from certificates.models import CertificateAuthority, Challenge, IssuedCertificate
from protocol import scep
from protocol.errors import FailInfo, ProtocolError, ScepError

# A device that lost our answer asks again, and must get the same certificate.
RETRY_PERIOD = timedelta(minutes=5)
# What a reply echoes when not even the envelope could be read.
_NO_HEAD = scep.RequestHead("", b"", message_type=scep.MessageType.PKCS_REQ, digest="sha256")


@dataclass(frozen=True, slots=True)
class ScepAnswer:
    """A CertRep; `renewed` is the new certificate of a RenewalReq, `refused` why there is none."""

    message: bytes
    issued: IssuedCertificate | None = None
    refused: str = ""

    @property
    def renewed(self) -> IssuedCertificate | None:
        return self.issued if self.issued is not None and self.issued.replaces_id else None


def get_ca_caps() -> bytes:
    """The answer to GetCACaps, as text/plain."""
    return scep.capabilities(legacy=settings.PORTAL_SCEP_LEGACY)


def get_ca_cert(now: datetime) -> bytes:
    """The answer to GetCACert: our one certificate, DER, as application/x-x509-ca-cert."""
    return ensure_authority(now).certificate.public_bytes(Encoding.DER)


def answer(message: bytes, *, now: datetime, legacy: bool) -> ScepAnswer:
    """Answer one PKIOperation; every refusal is a CertRep with a failInfo, and no bytes raise anything.

    `legacy` also takes single DES and SHA-1. Database errors pass through: they are ours, not the message's.
    """
    authority = ensure_authority(now)
    key = authority_key(authority)
    nonce = secrets.token_bytes(16)
    head: scep.RequestHead | scep.ScepRequest = _NO_HEAD
    try:
        request = scep.parse_request(message, authority.certificate, private_key=key, legacy=legacy)
        head = request
        issued = _issue(authority, request, now=now)
        body = scep.success(request, issued.certificate, ca=authority.certificate, private_key=key, nonce=nonce)
        return ScepAnswer(body, issued=issued)
    except ScepError as error:
        reason, fail_info, head = str(error), error.fail_info, error.request_head or head
    except ProtocolError as error:
        reason, fail_info = str(error), FailInfo.BAD_MESSAGE_CHECK
    body = scep.failure(head, fail_info, ca=authority.certificate, private_key=key, nonce=nonce, text=reason)
    return ScepAnswer(body, refused=reason)


def _issue(authority: CertificateAuthority, request: scep.ScepRequest, *, now: datetime) -> IssuedCertificate:
    if request.message_type is scep.MessageType.RENEWAL_REQ:
        return _renew(authority, request, now=now)
    if request.message_type is scep.MessageType.PKCS_REQ:
        return _enroll(authority, request, now=now)
    raise ScepError(FailInfo.BAD_REQUEST, "this message type is not served")


def _enroll(authority: CertificateAuthority, request: scep.ScepRequest, *, now: datetime) -> IssuedCertificate:
    if not request.challenge_password:
        raise ScepError(FailInfo.BAD_REQUEST, "the request has no challenge password")
    challenge = Challenge.objects.filter(secret_sha256=hash_secret(request.challenge_password)).first()
    if challenge is None:
        raise ScepError(FailInfo.BAD_REQUEST, "the challenge password is not known")
    with transaction.atomic():
        # The condition closes the race of two requests with one challenge: the UPDATE of one of them matches, and
        # the other waits for its commit and then finds the challenge used.
        unused = Challenge.objects.filter(pk=challenge.pk, used_at=None, expires_at__gt=now)
        if unused.update(used_at=now, transaction_id=request.transaction_id[:255]):
            issued = issue_identity(authority, request.csr.public_key(), common_name=_common_name(request), now=now)
            Challenge.objects.filter(pk=challenge.pk).update(certificate=issued)
            return issued
    return _issued_before(challenge, request, now=now)


def _issued_before(challenge: Challenge, request: scep.ScepRequest, *, now: datetime) -> IssuedCertificate:
    """The certificate that this very request got before, if that was only minutes ago."""
    used = Challenge.objects.select_related("certificate").get(pk=challenge.pk)
    issued = used.certificate
    if used.used_at is None or issued is None:
        raise ScepError(FailInfo.BAD_REQUEST, "the challenge password has expired")
    same = (
        used.transaction_id == request.transaction_id[:255]
        and bytes(issued.public_key_sha256) == request.public_key_sha256
        and issued.revoked_at is None
    )
    if not same or now - used.used_at > RETRY_PERIOD:
        raise ScepError(FailInfo.BAD_REQUEST, "the challenge password was used already")
    return issued


def _renew(authority: CertificateAuthority, request: scep.ScepRequest, *, now: datetime) -> IssuedCertificate:
    identities = IssuedCertificate.objects.filter(purpose=IssuedCertificate.Purpose.IDENTITY, revoked_at=None)
    with transaction.atomic():
        # Locking the old certificate closes the race of a renewal and its retry; SQLite's IMMEDIATE does the same.
        old = identities.select_for_update().filter(sha256=_fingerprint(request)).first()
        if old is None:
            raise ScepError(FailInfo.BAD_CERT_ID, "the renewal is not signed by an identity of ours in force")
        retried = identities.filter(
            replaces=old, public_key_sha256=request.public_key_sha256, issued_at__gt=now - RETRY_PERIOD
        ).first()
        # An expired identity still proves who asks, and refusing it would lose the device for good.
        return retried or issue_identity(
            authority, request.csr.public_key(), common_name=_common_name(request), now=now, replaces=old
        )


def _fingerprint(request: scep.ScepRequest) -> bytes:
    return request.signer.fingerprint(SHA256())


def _common_name(request: scep.ScepRequest) -> str:
    """A name of our own making: what a request asks to be called proves nothing."""
    return f"MDM identity {request.public_key_sha256.hex()[:16]}"
