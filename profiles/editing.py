"""What people do to a bundle's draft: each act counts the draft's version, keeps a snapshot and is recorded.

One transaction each: whoever saves from an older version gets DraftConflict, and then nothing is changed. Forms are
`profiles.forms`, reading and merging drafts `profiles.drafts`, publishing `profiles.acts`.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models import Max
from django.views.decorators.debug import sensitive_variables

from operations import audit
from operations.audit import Actor
from profiles import drafts, secrets
from profiles.errors import EditRefused, ImportRefused
from profiles.importing import ENROLLMENT_TYPES, default_role, new_bundle, renamed
from profiles.models import Bundle, Payload, Role
from profiles.starters import Starter
from profiles.variables import SECRET, names_in, placeholder, substitute
from protocol.errors import PlistError
from protocol.plist import PlistValue, dumps, loads_dict

Content = dict[str, PlistValue]
# A payload's names are columns; the others stay as a file brought them, for no form shows them.
COMMON_KEYS = frozenset({
    "PayloadType", "PayloadVersion", "PayloadIdentifier", "PayloadUUID", "PayloadDisplayName", "PayloadDescription",
    "PayloadOrganization",
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadEdit:
    """A payload as somebody wants it: content without the common keys, and new secrets by name. Both may be secret."""

    name: str
    role: str
    content: Mapping[str, PlistValue] = field(repr=False)
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)


def content_of(payload: Payload) -> Content:
    """A stored payload's own content, without the common keys."""
    return {key: value for key, value in _stored(payload).items() if key not in COMMON_KEYS}


@transaction.atomic
def create_bundle(
    name: str, *, rule: str, scope: str = "System", starter: Starter | None = None, actor: Actor, now: datetime
) -> Bundle:
    """A new draft, empty or with a starter's payloads. Raises ImportRefused when the name is empty or taken."""
    bundle = new_bundle(name, now=now, rule=rule)
    bundle.scope, bundle.draft_changed_at = scope, now
    bundle.draft_changed_by_id = actor.pk if isinstance(actor, AbstractBaseUser) else None
    bundle.save(update_fields=["scope", "draft_changed_at", "draft_changed_by"])
    for number, row in enumerate(starter.payloads() if starter else (), start=1):
        payload = Payload(bundle=bundle, position=number, payload_type=row.payload_type, variant=row.variant)
        payload.payload_uuid = row.uuid
        edit = PayloadEdit(name=row.name, role=default_role(row.payload_type), content=row.content)
        _write(payload, edit, actor=actor, now=now)
    drafts.snapshot(bundle, now)
    details = {"delivery_rule": rule, "starter": starter.name if starter else ""}
    audit.record(actor, "bundle.create", subject=bundle, now=now, details=details)
    return bundle


@transaction.atomic
def save_settings(
    bundle: Bundle, settings: Mapping[str, Any], *, expected_version: int, actor: Actor, now: datetime
) -> list[str]:
    """Write the bundle's own columns; the names of those that changed. Nothing is counted when none did.

    Raises DraftConflict, or EditRefused for a scope that devices hold already and for a name that is taken.
    """
    changed = [name for name in drafts.SETTINGS if name in settings and settings[name] != getattr(bundle, name)]
    if "scope" in changed and bundle.current_revision_id:
        raise EditRefused("The scope cannot change any more: the bundle was published with it.")
    if not changed:
        return []
    _touch(bundle, expected_version=expected_version, actor=actor, now=now)
    for name in changed:
        setattr(bundle, name, settings[name])
    try:
        with transaction.atomic():
            bundle.save(update_fields=changed)
    except IntegrityError:
        # The form asked before; somebody took the name since.
        raise EditRefused(f'There already is a bundle "{bundle.name}".') from None
    _keep(bundle, "bundle.change", actor=actor, now=now, details={"settings": changed})
    return changed


@transaction.atomic
def add_payload(
    bundle: Bundle,
    payload_type: str,
    *,
    variant: str,
    edit: PayloadEdit,
    expected_version: int,
    actor: Actor,
    now: datetime,
) -> Payload:
    """Put a new payload at the end of the draft. Raises DraftConflict, or EditRefused for a type no bundle holds."""
    if payload_type in ENROLLMENT_TYPES:
        raise EditRefused("An enrollment (com.apple.mdm) cannot be in a bundle; devices get it by an invitation.")
    if bundle.original:
        raise EditRefused("Devices get this bundle's file byte for byte; it takes no further payloads.")
    _touch(bundle, expected_version=expected_version, actor=actor, now=now)
    last = bundle.payloads.aggregate(last=Max("position"))["last"] or 0
    payload = Payload(bundle=bundle, position=last + 1, payload_type=payload_type, variant=variant)
    payload.payload_uuid = new_uuid()
    _write(payload, edit, actor=actor, now=now)
    details = {"payload": payload.name, "type": payload_type, "keys": sorted(edit.content)}
    _keep(bundle, "payload.add", actor=actor, now=now, details=details)
    return payload


@transaction.atomic
def save_payload(
    payload: Payload, edit: PayloadEdit, *, expected_version: int, actor: Actor, now: datetime
) -> list[str]:
    """Write a payload's name, role and content; the names of what changed, nothing counted when nothing did.

    Raises DraftConflict.
    """
    changed = _changes(payload, edit)
    if not changed:
        return []
    _touch(payload.bundle, expected_version=expected_version, actor=actor, now=now)
    _write(payload, edit, actor=actor, now=now)
    details = {"payload": payload.name, "type": payload.payload_type, "keys": changed}
    _keep(payload.bundle, "payload.change", actor=actor, now=now, details=details)
    return changed


@transaction.atomic
def set_role(payload: Payload, role: str, *, actor: Actor, now: datetime) -> None:
    """Say what the payload is. Nobody's typing can be lost by it, so no version is expected."""
    _touch_now(payload.bundle, actor=actor, now=now)
    payload.role = Role(role)
    payload.save(update_fields=["role"])
    _keep(payload.bundle, "payload.role", actor=actor, now=now, details={"payload": payload.name, "role": role})


@transaction.atomic
def move_payload(payload: Payload, direction: str, *, actor: Actor, now: datetime) -> bool:
    """Change places with the neighbour: "up" or "down"; False at the end of the list."""
    rows = list(payload.bundle.payloads.defer("content"))
    here = next(number for number, row in enumerate(rows) if row.pk == payload.pk)
    there = here + (1 if direction == "down" else -1)
    if not 0 <= there < len(rows):
        return False
    rows[here], rows[there] = rows[there], rows[here]
    _order(payload.bundle, rows, actor=actor, now=now)
    return True


@transaction.atomic
def remove_payload(payload: Payload, *, actor: Actor, now: datetime) -> None:
    """Take the payload out of the draft. Devices keep theirs until the bundle is published again."""
    _touch_now(payload.bundle, actor=actor, now=now)
    details = {"payload": payload.name, "type": payload.payload_type}
    payload.delete()
    _keep(payload.bundle, "payload.remove", actor=actor, now=now, details=details)


@transaction.atomic
def duplicate_bundle(bundle: Bundle, name: str, *, actor: Actor, now: datetime) -> Bundle:
    """A new draft like this one. Its payloads get names of their own, for devices that hold both. Raises ImportRefused."""
    if bundle.original:
        raise ImportRefused("Devices get this bundle's file byte for byte: a copy would carry the same names.")
    twin = new_bundle(name, now=now, rule=bundle.delivery_rule, description=bundle.description)
    kept = [setting for setting in drafts.SETTINGS if setting != "name"]
    for setting in kept:
        setattr(twin, setting, getattr(bundle, setting))
    twin.draft_changed_at = now
    twin.draft_changed_by_id = actor.pk if isinstance(actor, AbstractBaseUser) else None
    twin.save(update_fields=[*kept, "draft_changed_at", "draft_changed_by"])
    payloads = list(bundle.payloads.all())
    fresh = {payload.payload_uuid: new_uuid() for payload in payloads}
    for payload in payloads:
        content = {key: renamed(value, fresh) for key, value in _stored(payload).items()}
        payload.pk, payload.bundle = None, twin
        payload.payload_uuid = fresh[payload.payload_uuid]
        payload.payload_identifier = f"mdmportal.payload.{payload.payload_uuid}"
        payload.content = dumps({**content, **_names(payload)})
        payload.save(force_insert=True)
    drafts.snapshot(twin, now)
    audit.record(actor, "bundle.create", subject=twin, now=now, details={"copy_of": bundle.name})
    return twin


@transaction.atomic
def save_merged(
    bundle: Bundle,
    draft: drafts.Draft,
    *,
    secrets_by_name: Mapping[str, bytes],
    expected_version: int,
    actor: Actor,
    now: datetime,
) -> None:
    """Write a draft that two people's changes were merged into. Raises DraftConflict when there is a third."""
    _touch(bundle, expected_version=expected_version, actor=actor, now=now)
    drafts.apply(bundle, _with_secrets(draft, secrets_by_name, actor=actor, now=now))
    _keep(bundle, "bundle.merge", actor=actor, now=now, details={"version": bundle.draft_version})


@sensitive_variables("secrets_by_name", "value")
def _with_secrets(
    draft: drafts.Draft, secrets_by_name: Mapping[str, bytes], *, actor: Actor, now: datetime
) -> drafts.Draft:
    """Store the new secrets that the draft still names; one whose name was given away meanwhile gets another."""
    named = frozenset().union(*(names_in(payload.content) for payload in draft.payloads))
    others: dict[str, str | bytes] = {}
    for name in sorted(secrets_by_name):
        if SECRET + name in named:
            free = secrets.free_name(name)
            secrets.store_new(free, secrets_by_name[name], actor=actor, now=now)
            others[SECRET + name] = placeholder(SECRET + free)
    payloads = tuple(replace(row, content=substitute(row.content, others)) for row in draft.payloads)  # type: ignore[arg-type]
    return replace(draft, payloads=payloads)


def new_uuid() -> str:
    """A PayloadUUID that nothing has yet, as Apple writes them."""
    return str(uuid.uuid4()).upper()


def merged_content(payload: Payload, edit: PayloadEdit) -> Content:
    """The payload's whole dictionary after an edit: what is in the way of no form stays as it was stored."""
    stored = _stored(payload)
    common = {key: value for key, value in stored.items() if key in COMMON_KEYS}
    if edit.name != payload.name or payload.pk is None:
        common["PayloadDisplayName"] = edit.name
    # In the stored order where there is one: what nobody changed stays the same to the byte.
    both = {**common, **{key: value for key, value in edit.content.items() if key not in COMMON_KEYS}}
    ordered = {key: both[key] for key in stored if key in both}
    return {**ordered, **both, **_names(payload)}


def _stored(payload: Payload) -> Content:
    """What is no property list (any more) reads as empty, so that it can be mended."""
    try:
        return loads_dict(bytes(payload.content)) if payload.content else {}
    except PlistError:
        return {}


def _names(payload: Payload) -> Content:
    return {
        "PayloadType": payload.payload_type,
        "PayloadVersion": 1,
        "PayloadIdentifier": payload.payload_identifier,
        "PayloadUUID": payload.payload_uuid,
    }


def _changes(payload: Payload, edit: PayloadEdit) -> list[str]:
    before, after = content_of(payload), edit.content
    keys = sorted(key for key in before.keys() | after.keys() if not _same(before.get(key), after.get(key)))
    columns = [name for name in ("name", "role") if getattr(payload, name) != getattr(edit, name)]
    return [*columns, *keys, *(f"secret {name}" for name in sorted(edit.secrets))]


def _same(one: object, other: object) -> bool:
    """Equal as a plist: 1, 1.0 and true are three values there."""
    if one is None or other is None:
        return one is other
    return dumps({"": one}) == dumps({"": other})  # type: ignore[dict-item]


def _write(payload: Payload, edit: PayloadEdit, *, actor: Actor, now: datetime) -> None:
    for name, value in edit.secrets.items():
        secrets.store_new(name, value, actor=actor, now=now)
    payload.payload_identifier = payload.payload_identifier or f"mdmportal.payload.{payload.payload_uuid}"
    payload.content = dumps(merged_content(payload, edit))
    payload.name, payload.role = edit.name, Role(edit.role)
    payload.save()


def _order(bundle: Bundle, rows: Sequence[Payload], *, actor: Actor, now: datetime) -> None:
    _touch_now(bundle, actor=actor, now=now)
    moved = [(number, row) for number, row in enumerate(rows, start=1) if row.position != number]
    for number, row in moved:
        row.position = number
    Payload.objects.bulk_update([row for _, row in moved], ["position"])
    _keep(bundle, "payload.order", actor=actor, now=now, details={"payloads": [row.name for row in rows]})


def _touch(bundle: Bundle, *, expected_version: int, actor: Actor, now: datetime) -> None:
    # A bundle that was imported has no snapshot yet: keep what the next save is compared with.
    if not bundle.snapshots.filter(version=expected_version).exists():
        drafts.snapshot(bundle, now)
    drafts.touch(bundle, expected_version=expected_version, actor=actor, now=now)


def _touch_now(bundle: Bundle, *, actor: Actor, now: datetime) -> None:
    """Count one more change, whatever the draft's version is: the row's lock keeps two such acts apart."""
    version = Bundle.objects.select_for_update().values_list("draft_version", flat=True).get(pk=bundle.pk)
    _touch(bundle, expected_version=version, actor=actor, now=now)


def _keep(bundle: Bundle, action: str, *, actor: Actor, now: datetime, details: Mapping[str, Any]) -> None:
    drafts.snapshot(bundle, now)
    audit.record(actor, action, subject=bundle, now=now, details=details)
