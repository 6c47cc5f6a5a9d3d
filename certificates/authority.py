"""Our certificate authority: made once, issues device identities, server certificates and the profile signer.

One RSA key that also receives SCEP messages, hence keyEncipherment beside keyCertSign (RFC 8894 section 2.1.2).
Every certificate is recorded before anybody sees it. Whose device an identity belongs to is not known here.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from django.conf import settings

from certificates.keys import PrivateKey, from_pem, make_rsa_key, to_pem
from certificates.models import CertificateAuthority, IssuedCertificate

AUTHORITY_NAME = "device-authority"
AUTHORITY_LIFETIME = timedelta(days=20 * 365)
AUTHORITY_KEY_BITS = 3072
# Apple refuses TLS certificates of more than 825 days, whoever issued them.
SERVER_LIFETIME = timedelta(days=397)
SIGNING_LIFETIME = timedelta(days=730)
# Devices with a clock a little behind must not meet a certificate from the future.
BACKDATED = timedelta(minutes=10)

_KEY_USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip
_SIGN_ONLY = ("digital_signature",)
_signers: dict[bytes, tuple[datetime, "Signing"]] = {}

Signing = tuple[x509.Certificate, PrivateKey, tuple[x509.Certificate, ...]]


def ensure_authority(now: datetime) -> CertificateAuthority:
    """The authority, made at the first call; processes that race for it all get the same one."""
    authority = CertificateAuthority.objects.filter(name=AUTHORITY_NAME).first()
    if authority is not None:
        return authority
    # The unique name closes the race of two first starts: one INSERT stays, the other's key is thrown away.
    CertificateAuthority.objects.bulk_create([_new_authority(now)], ignore_conflicts=True)
    return CertificateAuthority.objects.get(name=AUTHORITY_NAME)


def authority_key(authority: CertificateAuthority) -> rsa.RSAPrivateKey:
    """The authority's private key, loaded once per process."""
    key = from_pem(bytes(authority.private_key_pem))
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("the authority's key is not RSA")
    return key


def issue_identity(
    authority: CertificateAuthority,
    public_key: CertificatePublicKeyTypes,
    *,
    common_name: str,
    now: datetime,
    replaces: IssuedCertificate | None = None,
) -> IssuedCertificate:
    """A device identity for TLS client authentication and Mdm-Signature, for IDENTITY_LIFETIME."""
    usages = ("digital_signature", "key_encipherment") if isinstance(public_key, rsa.RSAPublicKey) else _SIGN_ONLY
    builder = _leaf(authority, public_key, common_name=common_name, now=now, lifetime=settings.IDENTITY_LIFETIME)
    builder = builder.add_extension(_key_usage(*usages), critical=True).add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
    )
    return _issue(authority, builder, purpose=IssuedCertificate.Purpose.IDENTITY, now=now, replaces=replaces)


def issue_server(authority: CertificateAuthority, *, host_names: Sequence[str], now: datetime) -> IssuedCertificate:
    """A TLS server certificate with a new EC key for DNS names and IP addresses; ValueError when there is none."""
    if not host_names:
        raise ValueError("a server certificate needs at least one host name")
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([_general_name(name) for name in host_names])
    builder = _leaf(authority, key.public_key(), common_name=host_names[0], now=now, lifetime=SERVER_LIFETIME)
    builder = (
        builder.add_extension(_key_usage("digital_signature"), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(names, critical=False)
    )
    return _issue(authority, builder, purpose=IssuedCertificate.Purpose.SERVER, now=now, private_key=key)


def signer(now: datetime) -> Signing:
    """Certificate, key and chain that sign profiles; made when missing, renewed in its last third, kept per process."""
    authority = ensure_authority(now)
    fingerprint = hashlib.sha256(authority.certificate_der).digest()
    kept = _signers.get(fingerprint)
    if kept is None or kept[0] <= now:
        issued = _signing_certificate(authority, now)
        key = from_pem(bytes(issued.private_key_pem or b""))
        # Two processes may each issue one: both are good, and the newest wins at the next look.
        kept = (issued.not_after - SIGNING_LIFETIME / 3, (issued.certificate, key, (authority.certificate,)))
        _signers[fingerprint] = kept
    return kept[1]


def _signing_certificate(authority: CertificateAuthority, now: datetime) -> IssuedCertificate:
    fresh = now + SIGNING_LIFETIME / 3
    purpose = IssuedCertificate.Purpose.SIGNING
    mine = IssuedCertificate.objects.filter(authority=authority, purpose=purpose, revoked_at=None)
    current = mine.filter(not_after__gt=fresh).order_by("-pk").first()
    if current is not None:
        return current
    key = make_rsa_key(2048)
    name = f"{settings.PORTAL_ORGANIZATION} profiles"
    builder = _leaf(authority, key.public_key(), common_name=name, now=now, lifetime=SIGNING_LIFETIME)
    builder = builder.add_extension(_key_usage("digital_signature"), critical=True)
    return _issue(authority, builder, purpose=purpose, now=now, private_key=key)


def _new_authority(now: datetime) -> CertificateAuthority:
    key = make_rsa_key(AUTHORITY_KEY_BITS)
    name = _name(f"{settings.PORTAL_ORGANIZATION} device authority")
    not_after = now + AUTHORITY_LIFETIME
    usages = _key_usage("digital_signature", "key_encipherment", "key_cert_sign", "crl_sign")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usages, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return CertificateAuthority(
        name=AUTHORITY_NAME,
        certificate_der=certificate.public_bytes(Encoding.DER),
        private_key_pem=to_pem(key),
        created_at=now,
        not_after=certificate.not_valid_after_utc,
    )


def _leaf(
    authority: CertificateAuthority,
    public_key: CertificatePublicKeyTypes,
    *,
    common_name: str,
    now: datetime,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    root = authority.certificate
    root_identifier = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .issuer_name(root.subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(min(now + lifetime, authority.not_after))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(root_identifier), critical=False)
    )


def _issue(
    authority: CertificateAuthority,
    builder: x509.CertificateBuilder,
    *,
    purpose: IssuedCertificate.Purpose,
    now: datetime,
    private_key: PrivateKey | None = None,
    replaces: IssuedCertificate | None = None,
) -> IssuedCertificate:
    certificate = builder.sign(authority_key(authority), hashes.SHA256())
    der = certificate.public_bytes(Encoding.DER)
    subject = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    return IssuedCertificate.objects.create(
        authority=authority,
        purpose=purpose,
        sha256=hashlib.sha256(der).digest(),
        serial_number=f"{certificate.serial_number:x}",
        subject=str(subject),
        public_key_sha256=public_key_sha256(certificate.public_key()),
        certificate_der=der,
        private_key_pem=to_pem(private_key) if private_key else None,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        replaces=replaces,
        issued_at=now,
    )


def public_key_sha256(public_key: CertificatePublicKeyTypes) -> bytes:
    """SHA-256 of the SubjectPublicKeyInfo (DER)."""
    return hashlib.sha256(public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def _key_usage(*wanted: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{usage: usage in wanted for usage in _KEY_USAGES})


def _name(common_name: str) -> x509.Name:
    # RFC 5280 bounds both at 64 characters, and some readers refuse more.
    organization = settings.PORTAL_ORGANIZATION[:64] or "MDM Portal"
    return x509.Name([
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
        x509.NameAttribute(NameOID.COMMON_NAME, common_name[-64:]),
    ])  # fmt: skip


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
