"""One-time challenge passwords for SCEP (RFC 8894 section 2.4): minted here, spent by `certificates.scep`.

Only the SHA-256 of a challenge is kept. Which invitation or renewal a challenge belongs to is not known here:
`devices.invitations` writes that down.
"""

import hashlib
import secrets
from datetime import datetime

from django.conf import settings

from certificates.models import Challenge

# 24 random bytes: far beyond guessing, so a plain fast hash is enough to store it.
_SECRET_BYTES = 24


def hash_secret(secret: str) -> bytes:
    """SHA-256 of a challenge password as it is stored; any text, also one that is no challenge of ours."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def mint(now: datetime) -> tuple[Challenge, str]:
    """A new challenge, good for CHALLENGE_LIFETIME, and its password, which is shown this once."""
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    challenge = Challenge.objects.create(
        secret_sha256=hash_secret(secret), created_at=now, expires_at=now + settings.CHALLENGE_LIFETIME
    )
    return challenge, secret
