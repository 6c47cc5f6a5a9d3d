"""Making, storing and loading private keys. Keys leave this process only as PEM inside an EncryptedField."""

from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def make_rsa_key(bits: int) -> rsa.RSAPrivateKey:
    """A new RSA key of `bits` bits."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def to_pem(key: PrivateKey) -> bytes:
    """PKCS#8 PEM without a password, to be stored in an EncryptedField only."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@lru_cache(maxsize=64)
def from_pem(pem: bytes) -> PrivateKey:
    """A key that we stored ourselves; kept per process."""
    # Validating an RSA key takes 40 ms, and the encryption at rest already proves that the bytes are ours.
    key = load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, PrivateKey):
        raise TypeError("a stored key is neither RSA nor EC")
    return key
