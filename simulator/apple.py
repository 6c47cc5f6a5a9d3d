"""A fake Apple: a root CA, a server certificate for the fake APNs, and an MDM push certificate with its key.

The certificates have the shape of Apple's (the topic is the push certificate's Subject UID, OID
0.9.2342.19200300.100.1.1) and no worth outside the folder they are made in. It signs no vendor requests.
"""

import ipaddress
import os
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from simulator.errors import AppleError

CA, SERVER, SERVER_KEY = "apns-ca.pem", "apns-server.pem", "apns-server.key"
PUSH_CERTIFICATE, PUSH_KEY = "push-certificate.pem", "push-key.pem"
FILES = (CA, SERVER, SERVER_KEY, PUSH_CERTIFICATE, PUSH_KEY)


@dataclass(frozen=True, slots=True)
class FakeApple:
    """The files of one fake Apple, all PEM, and the topic its push certificate stands for."""

    directory: Path
    topic: str

    @property
    def ca(self) -> Path:
        """The root that signed both the server and the push certificate (`APNS_CA_FILE` of the portal)."""
        return self.directory / CA

    @property
    def server_certificate(self) -> Path:
        return self.directory / SERVER

    @property
    def server_key(self) -> Path:
        return self.directory / SERVER_KEY

    @property
    def push_certificate(self) -> Path:
        return self.directory / PUSH_CERTIFICATE

    @property
    def push_key(self) -> Path:
        return self.directory / PUSH_KEY


def topic_of(certificate: x509.Certificate) -> str:
    """The push topic: the Subject UID of an MDM push certificate. AppleError when it has none."""
    values = [str(a.value) for a in certificate.subject.get_attributes_for_oid(NameOID.USER_ID)]
    if len(values) != 1:
        raise AppleError("the push certificate has no Subject UID")
    return values[0]


def load(directory: Path) -> FakeApple:
    """Read a folder that `make` has filled. AppleError names the first file that is missing or no certificate."""
    for name in FILES:
        if not (directory / name).is_file():
            raise AppleError(f"{name} is missing in {directory.name}: run `python -m simulator apple` first")
    try:
        certificate = x509.load_pem_x509_certificate((directory / PUSH_CERTIFICATE).read_bytes())
    except ValueError as error:
        raise AppleError(f"{PUSH_CERTIFICATE} is no PEM certificate") from error
    return FakeApple(directory, topic_of(certificate))


def make(directory: Path, *, now: datetime, topic: str | None = None, days: int = 365) -> FakeApple:
    """Make the folder and its files once; a folder that is complete already stays as it is.

    `topic` is `com.apple.mgmt.External.<uuid>` unless given; `days` is the life of server and push certificate.
    """
    if all((directory / name).is_file() for name in FILES):
        return load(directory)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    topic = topic or f"com.apple.mgmt.External.{uuid.uuid4()}"
    ca_key, server_key, push_key = _key(), _key(), _key()
    ca_name = _name("Example Fake Apple Root CA")
    not_after = now + timedelta(days=days)
    ca = _certificate(ca_name, ca_key, issuer=ca_name, signer=ca_key, now=now, not_after=now + timedelta(days=3650))
    server = _certificate(_name("localhost"), server_key, issuer=ca_name, signer=ca_key, now=now, not_after=not_after)
    push_name = _name(f"APSP:{uuid.uuid4()}", topic=topic)
    push = _certificate(push_name, push_key, issuer=ca_name, signer=ca_key, now=now, not_after=not_after)
    for name, key in ((SERVER_KEY, server_key), (PUSH_KEY, push_key)):
        _write_secret(directory / name, _pem_key(key))
    for name, certificate in ((CA, ca), (SERVER, server), (PUSH_CERTIFICATE, push)):
        (directory / name).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return FakeApple(directory, topic)


def _key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


def _pem_key(key: RSAPrivateKey) -> bytes:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption())


def _write_secret(path: Path, content: bytes) -> None:
    """0600 from the first byte: never readable by others, not even for a moment."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def _name(common_name: str, *, topic: str | None = None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if topic is not None:
        attributes.insert(0, x509.NameAttribute(NameOID.USER_ID, topic))
    return x509.Name(attributes)


def _certificate(
    subject: x509.Name,
    key: RSAPrivateKey,
    *,
    issuer: x509.Name,
    signer: RSAPrivateKey,
    now: datetime,
    not_after: datetime,
) -> x509.Certificate:
    is_ca = subject == issuer
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=10))
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=0 if is_ca else None), critical=True)
        .add_extension(_key_usage(is_ca=is_ca), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if not is_ca:
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = builder.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _key_usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        key_encipherment=not is_ca,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
