"""Keys and certificates for the tests of CMS and SCEP, and a way to run openssl.

Keys are made once per process: they are slow, and no test changes one.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Identity:
    certificate: x509.Certificate
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Certificate and key as PEM files, as openssl wants them."""
        certificate, key = folder / "certificate.pem", folder / "key.pem"
        certificate.write_bytes(self.certificate.public_bytes(Encoding.PEM))
        key.write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return certificate, key


def make_certificate(public_key, signing_key, *, name: str, issuer: str | None = None) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer or name)]))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=365))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .sign(signing_key, None if isinstance(signing_key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    )


def _identity(key, name: str) -> Identity:
    return Identity(make_certificate(key.public_key(), key, name=name), key)


@cache
def rsa_identity(name: str = "Device 1") -> Identity:
    return _identity(rsa.generate_private_key(65537, 2048), name)


@cache
def ec_identity(name: str = "Device EC", curve: type[ec.EllipticCurve] = ec.SECP256R1) -> Identity:
    return _identity(ec.generate_private_key(curve()), name)


def openssl(*arguments: str | Path, data: bytes = b"") -> bytes:
    """Run openssl and return what it wrote; the test fails with its words when it fails."""
    done = subprocess.run(["openssl", *map(str, arguments)], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout
