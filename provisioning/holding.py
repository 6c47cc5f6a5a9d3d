"""Uploads between being read and being confirmed: kept in the file storage for whoever chose them, a day at most.

Profiles list devices, so small files rest encrypted; an app is kept as it came, for it will be handed out like that.
"""

import re
import secrets
from datetime import datetime, timedelta
from typing import IO, Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.files.base import ContentFile, File
from django.core.files.storage import default_storage

from certificates.encryption import EncryptionError, decrypt, encrypt

KEPT_FOR = timedelta(days=1)
_FOLDER = "held"
# Larger ones are apps: far larger than any profile alone.
_ENCRYPTED_UP_TO = 4 * 1024 * 1024
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_SEALED, _PLAIN = "sealed", "plain"


def hold(file: "File[Any]", *, user: AbstractBaseUser, now: datetime) -> str:
    """Keep a file for this person; the token to find it by. What is older than a day goes."""
    _sweep(now)
    token = secrets.token_urlsafe(32)
    file.seek(0)
    if (file.size or 0) <= _ENCRYPTED_UP_TO:
        default_storage.save(_name(user, token, _SEALED), ContentFile(encrypt(file.read())))
    else:
        default_storage.save(_name(user, token, _PLAIN), file)
    return token


def held(token: str, *, user: AbstractBaseUser) -> "IO[bytes] | None":
    """What this person had held under a token, to be closed by the caller; None for anybody else, or when it is gone."""
    if not _TOKEN.fullmatch(token):
        return None
    try:
        if default_storage.exists(_name(user, token, _PLAIN)):
            return default_storage.open(_name(user, token, _PLAIN))
        with default_storage.open(_name(user, token, _SEALED)) as sealed:
            return ContentFile(decrypt(sealed.read()))
    except (FileNotFoundError, EncryptionError):
        return None


def release(token: str, *, user: AbstractBaseUser) -> None:
    """Forget what was held under a token."""
    if _TOKEN.fullmatch(token):
        for kind in (_SEALED, _PLAIN):
            default_storage.delete(_name(user, token, kind))


def _name(user: AbstractBaseUser, token: str, kind: str) -> str:
    return f"{_FOLDER}/{user.pk}.{token}.{kind}"


def _sweep(now: datetime) -> None:
    """Nobody comes back for yesterday's: looked at whenever the next one is held."""
    if not default_storage.exists(_FOLDER):
        return
    for name in default_storage.listdir(_FOLDER)[1]:
        path = f"{_FOLDER}/{name}"
        try:
            if default_storage.get_modified_time(path) < now - KEPT_FOR:
                default_storage.delete(path)
        except FileNotFoundError:  # another process was quicker
            continue
