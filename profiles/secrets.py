"""Stored secrets: passwords and keys that payloads name as `{{ secret.NAME }}`, and values held while a form comes back.

A value is encrypted at rest and leaves the database only when a device asks (`profiles.rendering`): it is in no log,
audit event, export or error report. Who names a secret is found in the drafts and in the current revisions.
"""

import secrets as randomness
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate, islice

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Length
from django.utils.text import slugify
from django.views.decorators.debug import sensitive_variables

from operations import audit
from operations.audit import Actor
from operations.background import start_on_commit
from profiles.errors import SecretError
from profiles.models import Bundle, HeldValue, Payload, Profile, Secret
from profiles.variables import SECRET, names_in, secret_names
from protocol.errors import PlistError
from protocol.plist import loads

HELD_FOR = timedelta(days=1)
# One person's forms; the oldest make room. Bytes as they are encrypted.
MOST_HELD = 200
MOST_HELD_BYTES = 128 * 1024 * 1024
LARGEST = 4 * 1024 * 1024
_LONGEST_NAME = 100


@dataclass(slots=True)
class Usage:
    """The bundles that name a secret: in the draft, and in the revision that devices get."""

    drafts: set[Bundle] = field(default_factory=set)
    published: set[Bundle] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.drafts or self.published)

    @property
    def bundles(self) -> list[Bundle]:
        """All of them, by name."""
        return sorted(self.drafts | self.published, key=lambda bundle: bundle.name)


def name_for(bundle: Bundle, payload_name: str, schema_path: str, *, taken: Collection[str] = ()) -> str:
    """A name that no secret has, for a key of a payload: "sales-office-wifi-password".

    Always a new one: a draft that is being changed must not change what devices get. `taken` are names given out
    for the same form and not stored yet.
    """
    words = f"{bundle.name} {payload_name} {schema_path.rsplit('.', 1)[-1]}"
    return free_name(slugify(words)[: _LONGEST_NAME - 8].strip("-_") or "secret", taken=taken)


def free_name(stem: str, *, taken: Collection[str] = ()) -> str:
    """The stem, or the stem with the first number that makes it a name that no secret has."""
    stem = stem[: _LONGEST_NAME - 8]
    used = {*Secret.objects.filter(name__startswith=stem).values_list("name", flat=True), *taken}
    return next(name for name in _numbered(stem, len(used)) if name not in used)


@sensitive_variables("value")
def store(name: str, value: bytes, *, actor: Actor, now: datetime, note: str | None = None, reason: str = "") -> Secret:
    """Keep a value under a name: a new secret, or a new version of one whose value differs.

    Devices whose profiles name it get them again. `note` None leaves the note. Raises SecretError.
    """
    _check(name, value)
    with transaction.atomic():
        # Locked so that two people who replace a value at once make two versions.
        secret = Secret.objects.select_for_update().filter(name=name).first()
        if secret is None:
            return store_new(name, value, actor=actor, now=now, note=note or "")
        if note is not None and note != secret.note:
            secret.note = note
            secret.save(update_fields=["note"])
        if bytes(secret.value) != value:
            _replace(secret, value, actor=actor, now=now, reason=reason)
    return secret


@sensitive_variables("value")
def store_new(name: str, value: bytes, *, actor: Actor, now: datetime, note: str = "") -> Secret:
    """Keep a value under a name that was free a moment ago. Raises SecretError, too, when somebody took it since."""
    _check(name, value)
    try:
        with transaction.atomic():
            return _create(name, value, actor=actor, now=now, note=note)
    except IntegrityError:
        # Replacing the other's value would change what devices get.
        raise SecretError("Somebody stored a secret of this name in this moment. Save again.") from None


@sensitive_variables("value")
def rotate(secret: Secret, value: bytes, *, reason: str, actor: Actor, now: datetime) -> Secret:
    """Replace a secret's value; see `store`."""
    return store(secret.name, value, actor=actor, now=now, reason=reason)


def delete(secret: Secret, *, reason: str, actor: Actor, now: datetime) -> None:
    """Forget a secret. Raises SecretError while a draft or a current revision names it."""
    with transaction.atomic():
        Secret.objects.select_for_update().get(pk=secret.pk)
        used = usage(secret)
        if used:
            raise SecretError(f"It is used by {', '.join(str(bundle) for bundle in used.bundles)}.")
        audit.record(actor, "secret.delete", subject=secret, now=now, reason=reason)
        secret.delete()


def missing(names: Iterable[str]) -> list[str]:
    """Those of these secrets' names (without "secret.") that nobody stored, sorted."""
    wanted = set(names)
    return sorted(wanted - set(Secret.objects.filter(name__in=wanted).values_list("name", flat=True)))


def usage(secret: Secret) -> Usage:
    """Who names this secret. Reads every draft."""
    return usages().get(secret.name, Usage())


def usages() -> dict[str, Usage]:
    """Who names which secret, by name, in two statements. Reads every draft."""
    found: dict[str, Usage] = defaultdict(Usage)
    # Fonts are long and hold no secret.
    drafts = Payload.objects.exclude(payload_type="com.apple.font").select_related("bundle")
    for payload in drafts.only("content", "bundle__name").iterator(chunk_size=100):
        for name in _named_in(bytes(payload.content)):
            found[name].drafts.add(payload.bundle)
    for profile in _current_profiles():
        for name in secret_names(profile.variables):
            found[name].published.add(profile.revision.bundle)
    return dict(found)


def profiles_with(secret: Secret) -> list[int]:
    """The profiles of current revisions that name a secret."""
    return [profile.pk for profile in _current_profiles() if SECRET + secret.name in profile.variables]


@sensitive_variables("value")
def hold(value: bytes, *, file_name: str, user: AbstractBaseUser, now: datetime) -> str:
    """Keep what was typed or uploaded while its form comes back; the token to ask for it. Raises SecretError."""
    if len(value) > LARGEST * 8:
        raise SecretError("The file is too large to be held.")
    _make_room(len(value), user)
    token = randomness.token_urlsafe(32)
    HeldValue.objects.create(token=token, value=value, file_name=file_name[:255], held_at=now, held_by_id=user.pk)
    return token


def _make_room(size: int, user: AbstractBaseUser) -> None:
    """Forget the oldest of what this person had held where it and `size` bytes more are too much."""
    mine = HeldValue.objects.filter(held_by_id=user.pk).order_by("-pk")
    sizes = list(mine.annotate(size=Length("value")).values_list("pk", "size"))
    # Encryption makes three bytes four.
    sums = accumulate((held_size for _, held_size in sizes), initial=size * 4 // 3)
    fitting = sum(1 for total in islice(sums, MOST_HELD) if total <= MOST_HELD_BYTES)
    mine.filter(pk__in=[pk for pk, _ in sizes[max(fitting - 1, 0) :]]).delete()


def held(token: str, *, user: AbstractBaseUser) -> bytes | None:
    """What this person had held under a token; None for anybody else, or when it is gone."""
    if not token.isascii() or not token.isprintable():
        return None
    found = HeldValue.objects.filter(token=token, held_by_id=user.pk).first()
    return bytes(found.value) if found else None


def release(token: str, *, user: AbstractBaseUser) -> None:
    """Forget what this person had held under a token: it is where it belongs now."""
    HeldValue.objects.filter(token=token, held_by_id=user.pk).delete()


def sweep_held(now: datetime) -> int:
    """Forget what was held for a day; how many."""
    return HeldValue.objects.filter(held_at__lt=now - HELD_FOR).delete()[0]


def _current_profiles() -> QuerySet[Profile]:
    current = Bundle.objects.exclude(current_revision=None).values("current_revision")
    profiles = Profile.objects.filter(revision__in=current).select_related("revision__bundle")
    return profiles.only("variables", "revision__bundle__name")


def _numbered(stem: str, most: int) -> Iterable[str]:
    yield stem
    yield from (f"{stem}-{number}" for number in range(2, most + 3))


def _check(name: str, value: bytes) -> None:
    if (
        not name
        or len(name) > _LONGEST_NAME
        or not all(sign.isascii() and (sign.isalnum() or sign in "_-") for sign in name)
    ):
        raise SecretError("A secret's name has up to 100 letters, digits, hyphens and underscores.")
    if not value or len(value) > LARGEST:
        raise SecretError(f"A secret has between 1 byte and {LARGEST // 1024 // 1024} MiB.")


@sensitive_variables("value")
def _create(name: str, value: bytes, *, actor: Actor, now: datetime, note: str) -> Secret:
    secret = Secret.objects.create(
        name=name, value=value, length=_length(value), note=note, created_at=now, changed_at=now, changed_by_id=_pk(actor)
    )  # fmt: skip
    audit.record(actor, "secret.create", subject=secret, now=now)
    # A published profile may have waited for it.
    _plan_fleet()
    return secret


@sensitive_variables("value")
def _replace(secret: Secret, value: bytes, *, actor: Actor, now: datetime, reason: str) -> None:
    secret.value, secret.length, secret.version = value, _length(value), secret.version + 1
    secret.changed_at, secret.changed_by_id = now, _pk(actor)
    secret.save(update_fields=["value", "length", "version", "changed_at", "changed_by"])
    audit.record(actor, "secret.replace", subject=secret, now=now, reason=reason, details={"version": secret.version})
    _plan_fleet()


def _length(value: bytes) -> int:
    """In characters where it is text, else in bytes."""
    try:
        return len(value.decode("utf-8"))
    except UnicodeDecodeError:
        return len(value)


def _pk(actor: Actor) -> int | None:
    return actor.pk if isinstance(actor, AbstractBaseUser) else None


def _named_in(content: bytes) -> list[str]:
    try:
        return secret_names(names_in(loads(content)))
    except PlistError:
        return []


def _plan_fleet() -> None:
    from profiles import tasks

    start_on_commit(tasks.plan_all)
