"""A bundle's draft as a value: read from its rows, written as one plist, put back by a restore or a merge.

Saves are counted by `touch`, which refuses who started from an older version, and kept by `snapshot` so that a later
save can be merged. What people do to a draft is `profiles.editing`, how two drafts differ `profiles.differences`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import F

from operations.audit import Actor
from profiles.errors import DraftConflict
from profiles.models import Bundle, DraftSnapshot, Payload
from protocol import plist
from protocol.errors import PlistError
from protocol.plist import PlistValue

__all__ = [
    "SETTINGS",
    "Content",
    "Draft",
    "DraftConflict",
    "DraftPayload",
    "apply",
    "draft_payload",
    "dumps",
    "loads",
    "own_content",
    "read_draft",
    "snapshot",
    "snapshot_at",
    "touch",
    "whole_content",
]

Content: TypeAlias = dict[str, PlistValue]

# The bundle's columns that a draft holds, in the order in which people read them.
SETTINGS = (
    "name", "description", "delivery_rule", "withdraw_on_regression", "silent_days", "requirement_name",
    "requirement_description", "capability_name", "capability_description", "scope", "removal_disallowed",
    "consent_text", "encrypt_to_device",
)  # fmt: skip
SNAPSHOTS_KEPT = 50
# Columns of a payload's row: they win over the same keys in a stored content.
_COLUMN_KEYS = frozenset({"PayloadType", "PayloadVersion", "PayloadIdentifier", "PayloadUUID"})
_TEXTS = ("identifier", "uuid", "payload_type", "variant", "role", "name")


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftPayload:
    """One payload: its columns, and its content without the keys that are columns (type, version, identifier, UUID)."""

    identifier: str
    uuid: str
    payload_type: str
    variant: str
    role: str
    name: str
    content: Content = field(repr=False)


@dataclass(frozen=True, slots=True)
class Draft:
    """The bundle's own columns by name, its payloads in order, and the file it delivers byte for byte, if any."""

    settings: Mapping[str, str | int | bool]
    payloads: tuple[DraftPayload, ...]
    original: bytes = field(default=b"", repr=False)


def read_draft(bundle: Bundle) -> Draft:
    """The present draft, in one statement. Content that is no property list (any more) reads as empty."""
    payloads = tuple(draft_payload(payload) for payload in bundle.payloads.all())
    return Draft({name: getattr(bundle, name) for name in SETTINGS}, payloads, bytes(bundle.original))


def draft_payload(payload: Payload) -> DraftPayload:
    """One row as a value."""
    try:
        content = own_content(plist.loads_dict(bytes(payload.content)))
    except PlistError:
        content = {}
    return DraftPayload(
        identifier=payload.payload_identifier,
        uuid=payload.payload_uuid,
        payload_type=payload.payload_type,
        variant=payload.variant,
        role=payload.role,
        name=payload.name,
        content=content,
    )


def own_content(content: Mapping[str, PlistValue]) -> Content:
    """A payload's dictionary without what stands in columns."""
    return {key: value for key, value in content.items() if key not in _COLUMN_KEYS}


def whole_content(payload: DraftPayload) -> Content:
    """The payload's dictionary as a profile holds it."""
    return {
        **payload.content,
        "PayloadType": payload.payload_type,
        "PayloadVersion": 1,
        "PayloadIdentifier": payload.identifier,
        "PayloadUUID": payload.uuid,
    }


def dumps(draft: Draft) -> bytes:
    """The draft as one XML property list; equal for equal drafts."""
    payloads: list[PlistValue] = [
        {**{name: getattr(payload, name) for name in _TEXTS}, "content": payload.content} for payload in draft.payloads
    ]
    said: Content = {"settings": dict(draft.settings), "payloads": payloads}
    return plist.dumps({**said, "original": draft.original} if draft.original else said)


def loads(data: bytes) -> Draft:
    """What `dumps` wrote. Raises PlistError for anything else."""
    said = plist.loads_dict(data)
    settings, payloads, original = said.get("settings"), said.get("payloads"), said.get("original", b"")
    if not isinstance(settings, dict) or not isinstance(payloads, list) or not isinstance(original, bytes):
        raise PlistError("the property list is no draft")
    known = {name: value for name, value in settings.items() if isinstance(value, str | int)}
    return Draft(known, tuple(_payload(row) for row in payloads), original)


def apply(bundle: Bundle, draft: Draft) -> None:
    """Write the draft's rows; whoever calls it has touched the bundle. A payload that stays keeps its row.

    The scope stays where the bundle was published (devices hold it there), the name where another bundle has it now.
    """
    kept = {"scope"} if bundle.current_revision_id else set()
    if Bundle.objects.exclude(pk=bundle.pk).filter(name=draft.settings.get("name", "")).exists():
        kept.add("name")
    for name in SETTINGS:
        if name in draft.settings and name not in kept:
            setattr(bundle, name, draft.settings[name])
    bundle.original = draft.original
    bundle.save(update_fields=[*SETTINGS, "original"])
    rows = {payload.payload_identifier: payload for payload in bundle.payloads.all()}
    wanted = {payload.identifier for payload in draft.payloads}
    bundle.payloads.exclude(payload_identifier__in=wanted).delete()
    for position, payload in enumerate(draft.payloads, start=1):
        _write(rows.get(payload.identifier) or Payload(bundle=bundle), payload, position=position)


def touch(bundle: Bundle, *, expected_version: int, actor: Actor, now: datetime) -> None:
    """Count one more change of the draft. Raises DraftConflict when it is no longer the version somebody looked at."""
    changed = {
        "draft_changed_at": now,
        "draft_changed_by_id": actor.pk if isinstance(actor, AbstractBaseUser) else None,
    }
    # The condition closes the race of two people who save the same version: one of them changes no row.
    looked_at = Bundle.objects.filter(pk=bundle.pk, draft_version=expected_version)
    if not looked_at.update(draft_version=F("draft_version") + 1, **changed):
        raise DraftConflict(Bundle.objects.values_list("draft_version", flat=True).get(pk=bundle.pk))
    bundle.draft_version = expected_version + 1
    for name, value in changed.items():
        setattr(bundle, name, value)


def snapshot(bundle: Bundle, now: datetime) -> None:
    """Keep the draft as it now is under its version, and forget the oldest. The caller holds the transaction."""
    # Fresh rows, for the caller may hold a bundle from before it wrote.
    fresh = Bundle.objects.get(pk=bundle.pk)
    DraftSnapshot.objects.update_or_create(
        bundle=fresh, version=fresh.draft_version, defaults={"draft": dumps(read_draft(fresh)), "saved_at": now}
    )
    fresh.snapshots.filter(version__lte=fresh.draft_version - SNAPSHOTS_KEPT).delete()


def snapshot_at(bundle: Bundle, version: int) -> Draft | None:
    """The draft as it was saved as this version; None when that is not kept (any more)."""
    kept = bundle.snapshots.filter(version=version).first()
    return loads(bytes(kept.draft)) if kept else None


def _payload(row: PlistValue) -> DraftPayload:
    if not isinstance(row, dict):
        raise PlistError("a payload of the draft is no dictionary")
    texts = {name: row.get(name) for name in _TEXTS}
    content = row.get("content")
    if not isinstance(content, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise PlistError("a payload of the draft is incomplete")
    return DraftPayload(content=content, **{name: str(text) for name, text in texts.items()})


def _write(row: Payload, payload: DraftPayload, *, position: int) -> None:
    row.position, row.role, row.name = position, payload.role, payload.name
    row.payload_type, row.variant = payload.payload_type, payload.variant
    row.payload_identifier, row.payload_uuid = payload.identifier, payload.uuid
    row.content = plist.dumps(whole_content(payload))
    row.save()
