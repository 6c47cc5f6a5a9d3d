"""API keys of developer teams: adding and removing them, trying them daily, and a client for each.

The private key is checked before it is stored, rests encrypted, and is never shown again. Calls to Apple are made
outside transactions; what they say about the key is kept on its row (Apple, "Creating API Keys").
"""

import logging
import re
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import DatabaseError, IntegrityError, transaction

from certificates.encryption import EncryptionError
from operations import audit
from operations.audit import Actor
from provisioning.appstoreconnect import AppStoreConnectError, Client, ErrorKind, KeyMaterial, RateLimit
from provisioning.appstoreconnect.tokens import read_private_key
from provisioning.errors import ProvisioningRefused
from provisioning.models import ApiKey, DeveloperTeam, KeyState, Program

logger = logging.getLogger(__name__)

_KEY_ID = re.compile(r"[A-Z0-9]{10}")
_FILE_NAME = re.compile(r"AuthKey_([A-Z0-9]{10})\b.*\.p8", re.IGNORECASE)
_LONGEST_PEM = 16 * 1024
_UNDECRYPTABLE = "The stored API key cannot be decrypted: add it again."
# What Apple may say of the key itself, whatever was asked with it.
_OF_THE_KEY = frozenset({ErrorKind.KEY, ErrorKind.AGREEMENT, ErrorKind.MEMBERSHIP, ErrorKind.ROLE, ErrorKind.CLOCK})
# How a file that is no team key begins, and what it is.
_OTHER_FILES = (
    (b"-----BEGIN CERTIFICATE-----", "This is a certificate."),
    (b"-----BEGIN PUBLIC KEY-----", "This is a public key."),
    (b"-----BEGIN ENCRYPTED PRIVATE KEY-----", "This private key is protected by a password, which Apple's are not."),
    (b"-----BEGIN RSA PRIVATE KEY-----", "This is an RSA key."),
)


class KeyRefused(ProvisioningRefused):
    """A key that is not taken; `field` is the argument of `add_key` that is wrong."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def client_for(api_key: ApiKey, *, now: datetime, pause: Callable[[float], None] = lambda _seconds: None) -> Client:
    """A client for a key, to be closed by the caller; it notes Apple's rate limit on the key's row.

    `now` starts its clock. Raises AppStoreConnectError when the stored key or the configured address is no use.
    """
    began = time.monotonic()
    try:
        private_key = bytes(api_key.private_key)
    except EncryptionError:
        raise AppStoreConnectError(ErrorKind.KEY, _UNDECRYPTABLE) from None
    addresses = {
        Program.DEVELOPER: settings.APPSTORECONNECT_URL,
        Program.ENTERPRISE: settings.APPSTORECONNECT_ENTERPRISE_URL,
    }
    return Client(
        KeyMaterial(api_key.program, api_key.key_id, api_key.issuer_id, private_key),
        clock=lambda: now + timedelta(seconds=time.monotonic() - began),
        base_url=addresses[Program(api_key.program)] or None,
        pause=pause,
        on_rate=lambda rate: _note_rate(api_key.pk, rate),
    )


@transaction.atomic
def add_key(
    team: DeveloperTeam,
    *,
    program: str,
    key_id: str,
    issuer_id: str,
    private_key_pem: bytes,
    actor: Actor,
    now: datetime,
    reason: str = "",
) -> ApiKey:
    """Store a team key (the content of AuthKey_….p8). Nothing is asked of Apple: try it with `check_key` afterwards.

    Raises KeyRefused, and then nothing is changed.
    """
    if program not in Program.values:
        raise KeyRefused("program", "Say which of Apple's programs the key was made for: the file does not tell.")
    made = ApiKey(
        team=team,
        program=program,
        key_id=_checked_key_id(key_id),
        issuer_id=_checked_issuer_id(issuer_id),
        private_key=_checked_pem(private_key_pem),
        added_at=now,
        added_by_id=actor.pk if isinstance(actor, AbstractBaseUser) else None,
    )
    try:
        with transaction.atomic():
            made.save(force_insert=True)
    except IntegrityError:
        raise KeyRefused("key_id", f"The key {made.key_id} is here already.") from None
    details = {"team": team.identifier, "program": program, "key_id": made.key_id}
    audit.record(actor, "api_key.add", subject=made, now=now, reason=reason, details=details)
    return made


@transaction.atomic
def remove_key(api_key: ApiKey, *, reason: str, actor: Actor, now: datetime) -> None:
    """Forget a key. At Apple it stays valid until somebody revokes it there."""
    details = {"team": api_key.team.identifier, "key_id": api_key.key_id}
    audit.record(actor, "api_key.remove", subject=api_key, now=now, reason=reason, details=details)
    api_key.delete()


def check_keys(now: datetime) -> list[int]:
    """Try every key once; the pks of those that fail. Finds lapsed memberships before a renewal does."""
    return [
        pk
        for pk in ApiKey.objects.order_by("pk").values_list("pk", flat=True)
        if _check(pk, now=now) is KeyState.FAILING
    ]


def check_key(api_key: ApiKey, *, now: datetime) -> AppStoreConnectError | None:
    """Try a key now (the test button): None when it works. The row keeps the outcome; not within a transaction."""
    try:
        with client_for(api_key, now=now) as client:
            client.check()
    except AppStoreConnectError as error:
        if error.permanent:
            _fail(api_key.pk, error.kind.value, error.sentence, now=now)
        else:  # Apple is down: that says nothing about the key
            ApiKey.objects.filter(pk=api_key.pk).update(checked_at=now)
        return error
    else:
        record_success(api_key.pk, now=now)
        return None


def record_success(api_key_id: int, *, now: datetime) -> None:
    """Apple accepted the key."""
    ApiKey.objects.filter(pk=api_key_id).update(
        state=KeyState.WORKING, error_kind="", error="", checked_at=now, last_ok_at=now
    )


def record_refusal(api_key_id: int, error: AppStoreConnectError, *, now: datetime) -> None:
    """A renewal met an error: when it is about the key itself, the key is failing."""
    if error.kind in _OF_THE_KEY:
        _fail(api_key_id, error.kind.value, error.sentence, now=now)


def key_id_in(file_name: str) -> str:
    """The key ID that Apple put into the file's name (AuthKey_2X9R4HXF34.p8), or ""."""
    found = _FILE_NAME.fullmatch(file_name.strip())
    return found[1].upper() if found else ""


def _check(pk: int, *, now: datetime) -> KeyState:
    try:
        api_key = ApiKey.objects.get(pk=pk)
    except ApiKey.DoesNotExist:
        return KeyState.UNCHECKED
    except EncryptionError:
        # One such key must not keep the others from being tried.
        _fail(pk, ErrorKind.KEY.value, _UNDECRYPTABLE, now=now)
        return KeyState.FAILING
    check_key(api_key, now=now)
    return KeyState(ApiKey.objects.filter(pk=pk).values_list("state", flat=True).first() or KeyState.UNCHECKED)


def _fail(pk: int, kind: str, sentence: str, *, now: datetime) -> None:
    ApiKey.objects.filter(pk=pk).update(state=KeyState.FAILING, error_kind=kind, error=sentence[:500], checked_at=now)


def _note_rate(pk: int, rate: RateLimit) -> None:
    try:
        ApiKey.objects.filter(pk=pk).update(rate_limit=rate.limit, rate_remaining=rate.remaining)
    except DatabaseError:
        # Apple has answered: what it said matters more than this number.
        logger.warning("The rate limit of API key %s could not be noted.", pk)


def _checked_key_id(text: str) -> str:
    key_id = text.strip().upper()
    if not _KEY_ID.fullmatch(key_id):
        raise KeyRefused("key_id", "A key ID has ten letters and digits; it is in the file's name, AuthKey_….p8.")
    return key_id


def _checked_issuer_id(text: str) -> str:
    try:
        return str(uuid.UUID(text.strip()))
    except ValueError:
        raise KeyRefused(
            "issuer_id",
            "The issuer ID is a UUID that stands above the list of team keys. Individual keys have none, and may not "
            "manage provisioning profiles.",
        ) from None


def _checked_pem(pem: bytes) -> bytes:
    """The key as Apple writes it: unencrypted PKCS#8."""
    text = pem.strip()
    for beginning, sentence in _OTHER_FILES:
        if text.startswith(beginning):
            raise KeyRefused("private_key_pem", f"{sentence} The file AuthKey_….p8 of a team key is needed.")
    try:
        key = read_private_key(text if len(text) <= _LONGEST_PEM else b"")
    except AppStoreConnectError:
        raise KeyRefused(
            "private_key_pem", "This is no team key of Apple's: the file AuthKey_….p8 holds a P-256 private key (PEM)."
        ) from None
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
