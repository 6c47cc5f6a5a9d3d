"""Whether Apple signed it: a chain from the signer to a pinned root, judged at the moment of signing.

Chains of valid profiles expire before the profiles do, and SHA-1 signs all of the outer messages and the older
certificates, so neither today's date nor the digest says anything. An Apple developer's certificate ends at the same
root: the signer must carry Apple's marker for provisioning profiles as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from protocol.cms.algorithms import UNREADABLE
from protocol.errors import MobileprovisionError

__all__ = ["APPLE_ROOTS", "Roots", "check_chain", "fingerprint", "issued"]

_LONGEST = 6
# Every genuine profile from 2012 to 2026 that was looked at has one of these names and one of these markers.
_SIGNERS = frozenset({"Apple iPhone OS Provisioning Profile Signing", "Mac OS X Provisioning Profile Signing"})
_MARKERS = frozenset({"1.2.840.113635.100.6.2.2.1", "1.2.840.113635.100.6.58", "1.2.840.113635.100.4.11"})


@dataclass(frozen=True, slots=True)
class Roots:
    """What a chain may end at: SHA-256 fingerprints, and certificates for files that do not bring theirs along."""

    fingerprints: frozenset[bytes]
    certificates: tuple[x509.Certificate, ...] = ()

    def with_certificates(self, certificates: Iterable[x509.Certificate]) -> Roots:
        """These roots and some more: for tests and the demo, whose Apple is a fake."""
        more = tuple(certificates)
        prints = self.fingerprints | {fingerprint(certificate) for certificate in more}
        return Roots(prints, (*self.certificates, *more))


# Apple Root CA (to 2035), G2 and G3 (both to 2039).
APPLE_ROOTS = Roots(
    frozenset(
        bytes.fromhex(fingerprint)
        for fingerprint in (
            "B0B1730ECBC7FF4505142C49F1295E6EDA6BCAED7E2C68C5BE91B5A11001F024",
            "C2B9B042DD57830E7D117DAC55AC8AE19407D38E41D88F3215BC3A890444A050",
            "63343ABFB89A6A03EBB57E9B3F5FA7BE7C4F5C756F3017B3A8C488C3653E9179",
        )
    )
)


def check_chain(signer: x509.Certificate, others: Sequence[x509.Certificate], *, roots: Roots, at: datetime) -> None:
    """Follow the signer's chain through `others` to one of the roots; MobileprovisionError when there is none.

    `at` is the moment of signing (aware): every certificate must have been valid then.
    """
    if not _is_apples_signer(signer):
        raise MobileprovisionError(
            "foreign_signer", "The file is signed, but not by Apple's signer of provisioning profiles."
        )
    known = [*others, *roots.certificates]
    current = signer
    for _ in range(_LONGEST):
        if not current.not_valid_before_utc <= at <= current.not_valid_after_utc:
            raise MobileprovisionError("outdated_signer", "Apple's certificate was not valid when the file was signed.")
        if fingerprint(current) in roots.fingerprints:
            return
        issuer = next((candidate for candidate in known if issued(candidate, current)), None)
        if issuer is None or issuer == current:
            break
        current = issuer
    raise MobileprovisionError(
        "not_apple", "The file's signature does not lead to Apple: somebody else made it, or changed it."
    )


def _is_apples_signer(certificate: x509.Certificate) -> bool:
    try:
        names = {str(name.value) for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)}
        markers = {extension.oid.dotted_string for extension in certificate.extensions}
    except (*UNREADABLE, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return False
    return not names.isdisjoint(_SIGNERS) and not markers.isdisjoint(_MARKERS)


def issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Whether `issuer` signed `certificate`; `cryptography`'s own check refuses the SHA-1 of older chains."""
    try:
        if issuer.subject != certificate.issuer or not _is_authority(issuer):
            return False
        key, digest = issuer.public_key(), certificate.signature_hash_algorithm
        if digest is None:
            return False
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(certificate.signature, certificate.tbs_certificate_bytes, padding.PKCS1v15(), digest)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(certificate.signature, certificate.tbs_certificate_bytes, ec.ECDSA(digest))
        else:
            return False
    except (*UNREADABLE, InvalidSignature, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return False
    return True


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except x509.ExtensionNotFound:
        return False


def fingerprint(certificate: x509.Certificate) -> bytes:
    """The SHA-256 of a certificate's DER, 32 bytes."""
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()
