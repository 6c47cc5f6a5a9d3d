"""CMS as this project needs it: signatures, envelopes, bags of certificates (RFC 5652).

`cryptography` can sign but neither verify nor add attributes, hence this package.
It decides whether a signature is valid, never whether a certificate is trusted.
"""

from protocol.cms.enveloped import decrypt, encrypt
from protocol.cms.signed import (
    SignedData,
    Signer,
    SignerInfo,
    certs_only,
    load_certs_only,
    looks_like_cms,
    read_attached,
    read_signed_data,
    sign,
    sign_attached,
    sign_detached,
    verify_attached,
    verify_detached,
)

__all__ = [
    "SignedData",
    "Signer",
    "SignerInfo",
    "certs_only",
    "decrypt",
    "encrypt",
    "load_certs_only",
    "looks_like_cms",
    "read_attached",
    "read_signed_data",
    "sign",
    "sign_attached",
    "sign_detached",
    "verify_attached",
    "verify_detached",
]
