"""How the fake App Store Connect checks a bearer token (App Store Connect API, "Generating Tokens for API Requests").

Written from the RFCs and not from the portal's own code, so that the one tests the other.
"""

import base64
import binascii
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from simulator.appstoreconnect_faults import unauthorized
from simulator.appstoreconnect_team import Key, Team

AUDIENCES: Final = {"developer": "appstoreconnect-v1", "enterprise": "apple-developer-enterprise-v1"}
_LONGEST: Final = 1200
_TOLERANCE: Final = 30


def authenticate(authorization: str, teams: Iterable[Team], *, program: str, now: datetime) -> tuple[Team, Key]:
    """The team and key that a request speaks for at this program's host. ApiError 401 for everything else."""
    scheme, _, token = authorization.partition(" ")
    parts = token.split(".")
    if scheme != "Bearer" or len(parts) != 3:
        raise unauthorized()
    header, claims = _json(parts[0]), _json(parts[1])
    if header.get("alg") != "ES256" or header.get("typ") != "JWT":
        raise unauthorized()
    team, key = _owner(header.get("kid"), teams, program)
    _check_signature(key, f"{parts[0]}.{parts[1]}".encode(), _bytes(parts[2]))
    _check_claims(claims, key, program, now=now.timestamp())
    return team, key


def _owner(key_id: object, teams: Iterable[Team], program: str) -> tuple[Team, Key]:
    for team in teams:
        if team.program == program and isinstance(key_id, str):
            key = team.keys.get(key_id)
            if key is not None and not key.is_revoked:
                return team, key
    raise unauthorized()


def _check_signature(key: Key, signed: bytes, signature: bytes) -> None:
    if len(signature) != 64:
        raise unauthorized()
    numbers = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    try:
        key.private_key.public_key().verify(encode_dss_signature(*numbers), signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise unauthorized() from None


def _check_claims(claims: dict[str, Any], key: Key, program: str, *, now: float) -> None:
    match claims:
        case {"iss": str(issuer), "iat": int(issued), "exp": int(expires), "aud": str(audience)}:
            if (
                issuer == key.issuer_id
                and audience == AUDIENCES[program]
                and issued <= now + _TOLERANCE
                and now < expires <= issued + _LONGEST
            ):
                return
    raise unauthorized()


def _bytes(part: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise unauthorized() from None


def _json(part: str) -> dict[str, Any]:
    try:
        content = json.loads(_bytes(part))
    except (ValueError, RecursionError):
        raise unauthorized() from None
    if not isinstance(content, dict):
        raise unauthorized()
    return content
