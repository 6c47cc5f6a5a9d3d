"""The bearer tokens of Apple's APIs: ES256 JSON Web Tokens (RFC 7515, RFC 7518 section 3.4), signed by a team key.

A token is made once and used until it nears its end. Nothing here reads a clock, and nothing prints a key or a token.
"""

import base64
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from threading import Lock
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from provisioning.appstoreconnect.errors import AppStoreConnectError, ErrorKind

# By program: the API's address, and the audience of its tokens.
HOSTS: Final = {
    "developer": ("https://api.appstoreconnect.apple.com", "appstoreconnect-v1"),
    "enterprise": ("https://api.enterprise.developer.apple.com", "apple-developer-enterprise-v1"),
}
# Apple refuses a token that lives for more than 20 minutes, or that begins in its future.
LIFETIME: Final = timedelta(minutes=18)
_IN_THE_PAST: Final = timedelta(seconds=60)
_RENEWED_BEFORE: Final = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class KeyMaterial:
    """A team key: its program ("developer" or "enterprise"), its names at Apple, and the PEM of AuthKey_….p8."""

    program: str
    key_id: str
    issuer_id: str
    private_key_pem: bytes = field(repr=False)


class Signer:
    """Makes the tokens of one key and keeps the last one."""

    def __init__(self, key: KeyMaterial) -> None:
        if key.program not in HOSTS:
            raise AppStoreConnectError(ErrorKind.BUG, f"There is no program {key.program!r} at Apple.")
        self._key = key
        self._private_key = read_private_key(key.private_key_pem)
        self._lock = Lock()
        self._token = ""
        self._begin: datetime | None = None

    def token(self, now: datetime) -> str:
        """A token that is valid at `now` and for two minutes more; `now` is Apple's idea of the time."""
        with self._lock:
            begin = self._begin
            if begin is None or not begin <= now < begin + LIFETIME - _RENEWED_BEFORE:
                self._begin = now - _IN_THE_PAST
                self._token = self._sign(self._begin)
            return self._token

    def forget(self) -> None:
        """Apple refused the last token: the next one is a new one."""
        with self._lock:
            self._begin = None

    def _sign(self, begin: datetime) -> str:
        issued = int(begin.timestamp())
        header = {"alg": "ES256", "kid": self._key.key_id, "typ": "JWT"}
        claims = {
            "iss": self._key.issuer_id,
            "iat": issued,
            "exp": issued + int(LIFETIME.total_seconds()),
            "aud": HOSTS[self._key.program][1],
        }
        signed = f"{_part(header)}.{_part(claims)}"
        # A JWS carries the two numbers themselves, not their DER (RFC 7518, section 3.4).
        numbers = decode_dss_signature(self._private_key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_base64url(b''.join(number.to_bytes(32, 'big') for number in numbers))}"


@lru_cache(maxsize=64)
def signer_of(key: KeyMaterial) -> Signer:
    """The process's one signer of a key, so that its tokens are used again. Raises AppStoreConnectError (KEY)."""
    return Signer(key)


def read_private_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """The P-256 key of a .p8 file. Raises AppStoreConnectError (KEY) for anything else."""
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise AppStoreConnectError(ErrorKind.KEY, "The stored private key is no P-256 key: add the API key again.")
    return key


def _part(content: dict[str, Any]) -> str:
    return _base64url(json.dumps(content, separators=(",", ":")).encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
