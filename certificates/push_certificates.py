"""Taking in an MDM push certificate: key, topic and dates are checked before anything is stored.

The topic is the UID of the certificate's subject. It can never change for an enrolled device, so a certificate
with another topic is refused while devices are enrolled, unless somebody says how many will be lost.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509.oid import NameOID
from django.db import transaction

from certificates.keys import PrivateKey, to_pem
from certificates.models import PushCertificate

TOPIC_PREFIX = "com.apple.mgmt."
# What `cryptography` raises for hostile bytes; a warning is among them where warnings are errors.
_UNREADABLE = (ValueError, TypeError, OverflowError, UnsupportedAlgorithm, x509.InvalidVersion, Warning)


class PushCertificateError(Exception):
    """An upload that is refused; `code` is a stable word, str() a sentence for IT staff."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def current_push_certificate() -> PushCertificate | None:
    """The certificate whose topic new enrollments get, or None before the first upload."""
    return PushCertificate.objects.filter(replaced_at=None).order_by("-pk").first()


def upload_pem(
    certificate_pem: bytes,
    key_pem: bytes = b"",
    *,
    now: datetime,
    enrolled_topics: Mapping[str, int],
    password: bytes | None = None,
    accepted_loss: int | None = None,
) -> PushCertificate:
    """Store a certificate and its key in PEM; the key may also be in the certificate's file.

    `enrolled_topics` counts enrolled devices by topic. `accepted_loss` is the number of devices that somebody
    agreed to lose. Raises PushCertificateError and then writes nothing.
    """
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
    except _UNREADABLE:
        raise PushCertificateError("not_a_certificate", _what_it_is_instead(certificate_pem)) from None
    try:
        key = load_pem_private_key(key_pem or certificate_pem, password)
    except _UNREADABLE:
        raise PushCertificateError(
            "no_key", "The private key cannot be read: it is not PEM, or its password is missing or wrong."
        ) from None
    return _store(certificate, key, now=now, enrolled_topics=enrolled_topics, accepted_loss=accepted_loss)


def upload_pkcs12(
    data: bytes,
    password: str,
    *,
    now: datetime,
    enrolled_topics: Mapping[str, int],
    accepted_loss: int | None = None,
) -> PushCertificate:
    """Store the certificate and key of a PKCS#12 file (.p12, .pfx); otherwise as `upload_pem`."""
    try:
        key, certificate, _ = pkcs12.load_key_and_certificates(data, password.encode() or None)
    except _UNREADABLE:
        raise PushCertificateError("not_pkcs12", "The file is no PKCS#12 file, or its password is wrong.") from None
    if certificate is None or key is None:
        raise PushCertificateError("no_key", "The PKCS#12 file does not hold both a certificate and its private key.")
    return _store(certificate, key, now=now, enrolled_topics=enrolled_topics, accepted_loss=accepted_loss)


def _store(
    certificate: x509.Certificate,
    key: object,
    *,
    now: datetime,
    enrolled_topics: Mapping[str, int],
    accepted_loss: int | None,
) -> PushCertificate:
    private_key = _matching_key(certificate, key)
    topic = _topic(certificate)
    _check_dates(certificate, now)
    _check_loss(topic, enrolled_topics, accepted_loss=accepted_loss)
    fingerprint = hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()
    with transaction.atomic():
        known = PushCertificate.objects.filter(sha256=fingerprint).first()
        if known is not None:
            return known
        fresh = PushCertificate.objects.create(
            topic=topic,
            subject=certificate.subject.rfc4514_string()[:255],
            sha256=fingerprint,
            certificate_pem=certificate.public_bytes(Encoding.PEM).decode(),
            private_key_pem=to_pem(private_key),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            uploaded_at=now,
        )
        PushCertificate.objects.filter(replaced_at=None).exclude(pk=fresh.pk).update(replaced_at=now)
    return fresh


def _matching_key(certificate: x509.Certificate, key: object) -> PrivateKey:
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise PushCertificateError("no_key", "The private key is neither an RSA nor an EC key.")
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    try:
        fits = certificate.public_key().public_bytes(*form) == key.public_key().public_bytes(*form)
    except _UNREADABLE:
        fits = False
    if not fits:
        raise PushCertificateError("key_mismatch", "The private key does not belong to this certificate.")
    return key


def _topic(certificate: x509.Certificate) -> str:
    try:
        uids = certificate.subject.get_attributes_for_oid(NameOID.USER_ID)
    except _UNREADABLE:
        uids = []
    topic = str(uids[0].value) if len(uids) == 1 else ""
    if not topic.startswith(TOPIC_PREFIX) or len(topic) > 255 or not topic.isascii() or not topic.isprintable():
        raise PushCertificateError(
            "no_topic",
            f"The certificate is no MDM push certificate: its subject has no UID that begins with {TOPIC_PREFIX}.",
        )
    return topic


def _check_dates(certificate: x509.Certificate, now: datetime) -> None:
    if certificate.not_valid_after_utc <= now:
        raise PushCertificateError(
            "expired", f"The certificate ended on {certificate.not_valid_after_utc:%d %B %Y}; renew it at Apple."
        )
    if certificate.not_valid_before_utc > now:
        raise PushCertificateError(
            "not_yet_valid",
            f"The certificate begins on {certificate.not_valid_before_utc:%d %B %Y}; check the server's clock.",
        )


def _check_loss(topic: str, enrolled_topics: Mapping[str, int], *, accepted_loss: int | None) -> None:
    lost = sum(count for other, count in enrolled_topics.items() if other != topic)
    if lost and accepted_loss != lost:
        raise PushCertificateError(
            "other_topic",
            f"This certificate has another topic ({topic}) than {lost} enrolled device(s): they could never be "
            "reached again and would have to enroll anew. Renew the existing certificate at Apple with the same "
            "Apple Account instead of making a new one.",
        )


def _what_it_is_instead(data: bytes) -> str:
    if b"CERTIFICATE REQUEST" in data:
        return "This is a certificate request. Upload the certificate that Apple made from it."
    if b"PRIVATE KEY" in data:
        return "This is a private key. Upload the certificate as well."
    return "The file is no certificate in PEM form."
