"""Encryption of what must not lie in the database in clear: private keys, escrowed tokens, raw answers.

Fernet (AES-128-CBC with HMAC-SHA-256) through `cryptography`'s MultiFernet: the first of PORTAL_ENCRYPTION_KEYS
encrypts, all decrypt, so keys are rotated by putting a new one in front and running `rotate_keys`.
"""

from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models


class EncryptionError(Exception):
    """No usable key, or a stored value that none of the keys opens."""


@lru_cache(maxsize=4)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError as error:
        raise EncryptionError("PORTAL_ENCRYPTION_KEYS holds no usable key (32 bytes, URL-safe Base64)") from error


def encrypt(value: bytes) -> bytes:
    """The token of `value` under the first key; b"" stays b"" so that emptiness can be asked of the database."""
    return _fernet(settings.PORTAL_ENCRYPTION_KEYS).encrypt(value) if value else b""


def decrypt(token: bytes) -> bytes:
    """The value of a token under any of the keys; EncryptionError when none opens it."""
    if not token:
        return b""
    try:
        return _fernet(settings.PORTAL_ENCRYPTION_KEYS).decrypt(bytes(token))
    except InvalidToken as error:
        raise EncryptionError(
            "a stored value cannot be decrypted with the configured PORTAL_ENCRYPTION_KEYS"
        ) from error


def rotate(token: bytes) -> bytes | None:
    """The token's value under the first key; None when it is there already. EncryptionError when no key opens it."""
    keys = settings.PORTAL_ENCRYPTION_KEYS
    try:
        _fernet(keys[:1]).decrypt(token)
    except InvalidToken:
        return encrypt(decrypt(token))
    return None


class EncryptedField(models.BinaryField):  # type: ignore[type-arg]  # generic in the stubs only
    """Bytes that are encrypted in the database and plain on the instance; never shown in forms or the admin."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["editable"] = False
        super().__init__(*args, **kwargs)

    def get_prep_value(self, value: Any) -> Any:
        return value if value is None else encrypt(bytes(value))

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> bytes | None:
        return value if value is None else decrypt(bytes(value))
