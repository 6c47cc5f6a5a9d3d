"""Digests, signature schemes and identifiers of CMS (RFC 5652, 3370, 4056, 5754).

The whitelist of what this project accepts; what is not named here is refused
with AlgorithmError. Nothing here knows the structure around a signature.
"""

from __future__ import annotations

from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from protocol.cms import der
from protocol.errors import AlgorithmError, SignatureError

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

DATA: Final = der.oid("1.2.840.113549.1.7.1")
SIGNED_DATA: Final = der.oid("1.2.840.113549.1.7.2")
ENVELOPED_DATA: Final = der.oid("1.2.840.113549.1.7.3")
CONTENT_TYPE: Final = der.oid("1.2.840.113549.1.9.3")
MESSAGE_DIGEST: Final = der.oid("1.2.840.113549.1.9.4")
RSA_ENCRYPTION: Final = der.oid("1.2.840.113549.1.1.1")

DIGEST_OIDS: Final = {
    "sha1": der.oid("1.3.14.3.2.26"),
    "sha256": der.oid("2.16.840.1.101.3.4.2.1"),
    "sha384": der.oid("2.16.840.1.101.3.4.2.2"),
    "sha512": der.oid("2.16.840.1.101.3.4.2.3"),
}
_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "sha1": hashes.SHA1(),  # noqa: S303 - devices of 2021 still sign with it
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_DIGESTS: Final = {oid: name for name, oid in DIGEST_OIDS.items()}

# Which scheme, and which digest it names itself; the empty one takes the digest beside it.
_RSA, _PSS, _EC = "rsa", "pss", "ec"
_SCHEMES: Final = {
    RSA_ENCRYPTION: (_RSA, ""),
    der.oid("1.2.840.113549.1.1.5"): (_RSA, "sha1"),
    der.oid("1.2.840.113549.1.1.11"): (_RSA, "sha256"),
    der.oid("1.2.840.113549.1.1.12"): (_RSA, "sha384"),
    der.oid("1.2.840.113549.1.1.13"): (_RSA, "sha512"),
    der.oid("1.2.840.113549.1.1.10"): (_PSS, ""),
    der.oid("1.2.840.10045.2.1"): (_EC, ""),
    der.oid("1.2.840.10045.4.1"): (_EC, "sha1"),
    der.oid("1.2.840.10045.4.3.2"): (_EC, "sha256"),
    der.oid("1.2.840.10045.4.3.3"): (_EC, "sha384"),
    der.oid("1.2.840.10045.4.3.4"): (_EC, "sha512"),
}
_ECDSA_OIDS: Final = {digest: oid for oid, (scheme, digest) in _SCHEMES.items() if scheme == _EC and digest}
_MGF1: Final = der.oid("1.2.840.113549.1.1.8")
_PKCS1: Final = padding.PKCS1v15()

# What `cryptography` raises for hostile certificates and keys. Warning is among
# them because a process may turn warnings into errors (a negative serial number).
UNREADABLE: Final = (ValueError, TypeError, OverflowError, UnsupportedAlgorithm, x509.InvalidVersion, Warning)


def digest_name(oid: bytes) -> str:
    """The digest's name, such as "sha256"; AlgorithmError for one that is not accepted."""
    name = _DIGESTS.get(oid)
    if name is None:
        raise AlgorithmError("The digest is none of SHA-1, SHA-256, SHA-384 and SHA-512.")
    return name


def hash_of(digest: str) -> hashes.HashAlgorithm:
    """The digest of that name for `cryptography`; AlgorithmError for an unknown name."""
    try:
        return _HASHES[digest]
    except KeyError:
        raise AlgorithmError("The digest is none of SHA-1, SHA-256, SHA-384 and SHA-512.") from None


def digest_algorithm(digest: str) -> bytes:
    """The AlgorithmIdentifier of a digest, with the NULL that old readers expect."""
    return der.sequence(DIGEST_OIDS[digest], der.encode(der.NULL))


def load_certificate(certificate_der: bytes) -> x509.Certificate:
    """Read one certificate; SignatureError when it cannot be read."""
    try:
        return x509.load_der_x509_certificate(certificate_der)
    except UNREADABLE:
        raise SignatureError("A certificate cannot be read.") from None


def public_key_of(certificate: x509.Certificate | x509.CertificateSigningRequest) -> PublicKey:
    """The RSA (1024 bits or more) or EC key of a certificate or request; AlgorithmError for any other."""
    try:
        key = certificate.public_key()
    except UNREADABLE:
        raise AlgorithmError("The certificate's key cannot be read.") from None
    if isinstance(key, ec.EllipticCurvePublicKey) or (isinstance(key, rsa.RSAPublicKey) and key.key_size >= 1024):
        return key
    raise AlgorithmError("The certificate's key is neither RSA of 1024 bits or more nor EC.")


def verify(key: PublicKey, message: bytes, *, signature: bytes, digest: str, algorithm: bytes) -> None:
    """Verify one signature; `algorithm` is the content of its AlgorithmIdentifier.

    Raises SignatureError when it does not verify, AlgorithmError when scheme,
    digest and key do not fit each other.
    """
    identifier = der.Reader(algorithm)
    scheme, own_digest = _SCHEMES.get(identifier.whole(der.OBJECT_IDENTIFIER), ("", ""))
    if not scheme or own_digest not in ("", digest):
        raise AlgorithmError("The signature scheme is not accepted, or names another digest.")
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            if scheme != _EC:
                raise AlgorithmError("An EC key cannot make this kind of signature.")
            key.verify(signature, message, ec.ECDSA(_HASHES[digest]))
        elif scheme == _RSA:
            key.verify(signature, message, _PKCS1, _HASHES[digest])
        elif scheme == _PSS:
            key.verify(signature, message, _pss(identifier, digest), _HASHES[digest])
        else:
            raise AlgorithmError("An RSA key cannot make this kind of signature.")
    except (InvalidSignature, *UNREADABLE):
        raise SignatureError("The signature does not verify.") from None


def _pss(identifier: der.Reader, digest: str) -> padding.PSS:
    """The parameters of RSASSA-PSS with their defaults (RFC 4055, section 3.1)."""
    fields = identifier.enter(der.SEQUENCE)
    name, mask, salt_length = "sha1", "sha1", 20
    if fields.peek() == 0xA0:
        name = digest_name(fields.enter(0xA0).enter(der.SEQUENCE).whole(der.OBJECT_IDENTIFIER))
    if fields.peek() == 0xA1:
        function = fields.enter(0xA1).enter(der.SEQUENCE)
        if function.whole(der.OBJECT_IDENTIFIER) != _MGF1:
            raise AlgorithmError("The mask generation function is not MGF1.")
        mask = digest_name(function.enter(der.SEQUENCE).whole(der.OBJECT_IDENTIFIER))
    if fields.peek() == 0xA2:
        salt_length = int.from_bytes(fields.enter(0xA2).value(der.INTEGER), "big")
    if name != digest or salt_length > 512:
        raise AlgorithmError("The PSS parameters do not fit the digest.")
    return padding.PSS(padding.MGF1(_HASHES[mask]), salt_length)


def sign(key: PrivateKey, message: bytes, *, digest: str) -> tuple[bytes, bytes]:
    """Sign with PKCS#1 v1.5 or ECDSA: the whole AlgorithmIdentifier and the signature."""
    algorithm = hash_of(digest)
    if isinstance(key, rsa.RSAPrivateKey):
        return der.sequence(RSA_ENCRYPTION, der.encode(der.NULL)), key.sign(message, _PKCS1, algorithm)
    return der.sequence(_ECDSA_OIDS[digest]), key.sign(message, ec.ECDSA(algorithm))
