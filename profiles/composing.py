"""Files become bundles: what the import page, the command line and whoever else has .mobileconfig files do in one step.

All or nothing: when any file is refused, no bundle, payload or secret is written. Passwords in a file become stored
secrets, so that no payload content holds one in clear. Every act leaves its audit event.
"""

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.db import transaction
from django.views.decorators.debug import sensitive_variables

from operations import audit
from operations.audit import Actor
from profiles import catalogue, drafts, importing, secrets
from profiles.checks.contents import Spot, read_foreign
from profiles.errors import BundleNotFound, ImportRefused, SecretError
from profiles.importing import new_bundle
from profiles.inspecting import secret_spots, settings_of, why_not_exact
from profiles.models import Bundle, DeliveryRule, Payload, Role, Secret
from profiles.variables import SECRET, names_in, placeholder
from protocol.errors import PlistError
from protocol.mobileconfig import Mobileconfig, ReadFile, read_file
from protocol.plist import PlistValue, loads_dict

Content = dict[str, PlistValue]


@dataclass(frozen=True, slots=True)
class Imported:
    """What was written: the rows, and which key's value became which stored secret."""

    payloads: tuple[Payload, ...]
    secrets: tuple[tuple[str, str], ...] = ()


def find_bundle(name: str) -> Bundle:
    """The bundle with this name. Raises BundleNotFound."""
    bundle = Bundle.objects.filter(name=name).first()
    if bundle is None:
        raise BundleNotFound(f'There is no bundle "{name}".')
    return bundle


@transaction.atomic
def import_into(bundle: Bundle, read: ReadFile, *, role: str | None, actor: Actor, now: datetime) -> Imported:
    """Bring a file's payloads into the draft, each with `role` or the usual one of its type.

    Raises ImportRefused or SecretError, and then nothing is changed.
    """
    _touch(bundle, actor=actor, now=now)
    clean, moved = _store_secrets(bundle, read.mobileconfig, actor=actor, now=now)
    payloads = importing.import_payloads(bundle, clean, role)
    drafts.snapshot(bundle, now)
    details = {
        "identifier": clean.identifier[:255],
        "payload_types": list(clean.payload_types),
        "secrets": [name for _, name in moved],
        "signer": read.signer.subject if read.signer else "",
    }
    audit.record(actor, "bundle.import", subject=bundle, now=now, details=details)
    return Imported(tuple(payloads), tuple(moved))


@transaction.atomic
def import_as_new(
    read: ReadFile, *, name: str, rule: str, role: str | None = None, actor: Actor, now: datetime
) -> tuple[Bundle, Imported]:
    """A new draft of a file: its payloads, and what its top level says about scope, removal and consent.

    Raises ImportRefused or SecretError, and then nothing is written.
    """
    bundle = _create(name, read.mobileconfig, rule=rule, actor=actor, now=now)
    return bundle, import_into(bundle, read, role=role, actor=actor, now=now)


@transaction.atomic
def import_exactly(bundle: Bundle | None, read: ReadFile, *, name: str, actor: Actor, now: datetime) -> Bundle:
    """Let a bundle (None: a new one) deliver a signed file byte for byte; its payloads are then the file's alone.

    Raises ImportRefused, and then nothing is changed.
    """
    reason = why_not_exact(read)
    if reason:
        raise ImportRefused(reason)
    if bundle is None:
        bundle = _create(name, read.mobileconfig, rule=DeliveryRule.TOGETHER, actor=actor, now=now)
    _touch(bundle, actor=actor, now=now)
    importing.set_original(bundle, read)
    drafts.snapshot(bundle, now)
    details = {
        "identifier": read.mobileconfig.identifier[:255],
        "uuid": read.mobileconfig.uuid[:64],
        "signer": read.signer.subject if read.signer else "",
    }
    audit.record(actor, "bundle.import_exactly", subject=bundle, now=now, details=details)
    return bundle


@transaction.atomic
def import_file(
    read: ReadFile, *, name: str | None, role: str | None, into: str | None, actor: Actor, now: datetime
) -> tuple[Bundle, Imported]:
    """Import one file into the bundle `into` (made when it is missing), or into a new one called `name`.

    Without either the new bundle is called as the file calls itself. Raises ImportRefused or SecretError.
    """
    bundle = Bundle.objects.filter(name=into).first() if into else None
    if bundle is not None:
        return bundle, import_into(bundle, read, role=role, actor=actor, now=now)
    title = (into or name or read.mobileconfig.display_name or read.mobileconfig.identifier)[:100]
    return import_as_new(read, name=title, rule=DeliveryRule.AFTER_COMPLIANCE, role=role, actor=actor, now=now)


@transaction.atomic
def compose(
    name: str,
    *,
    requirements: Sequence[bytes],
    capabilities: Sequence[bytes],
    rule: str,
    actor: Actor,
    now: datetime,
) -> Bundle:
    """A new bundle of these files' payloads, each with the role of its file.

    Raises MobileconfigError, ImportRefused or SecretError.
    """
    files = [
        (role, read_file(data))
        for role, group in ((Role.REQUIREMENT, requirements), (Role.CAPABILITY, capabilities))
        for data in group
    ]
    seen = Counter(str(payload["PayloadIdentifier"]) for _, read in files for payload in read.mobileconfig.payloads)
    twice = [identifier for identifier, count in seen.items() if count > 1]
    if twice:
        # The second would silently replace the first, and the requirement might be gone.
        raise ImportRefused(f"Two of the files hold a payload with the identifier {twice[0][:100]}.")
    bundle = _create(name, None, rule=rule, actor=actor, now=now)
    for role, read in files:
        import_into(bundle, read, role=role, actor=actor, now=now)
    return bundle


def _create(name: str, mobileconfig: Mobileconfig | None, *, rule: str, actor: Actor, now: datetime) -> Bundle:
    bundle = new_bundle(name, now=now, rule=rule)
    settings = settings_of(mobileconfig)[0] if mobileconfig else {}
    for column, value in settings.items():
        setattr(bundle, column, value)
    bundle.save(update_fields=list(settings))
    audit.record(actor, "bundle.create", subject=bundle, now=now, details={"delivery_rule": rule})
    return bundle


def _touch(bundle: Bundle, *, actor: Actor, now: datetime) -> None:
    """Count one more change, whatever the draft's version is: an import adds to what anybody else does."""
    version = Bundle.objects.select_for_update().values_list("draft_version", flat=True).get(pk=bundle.pk)
    drafts.touch(bundle, expected_version=version, actor=actor, now=now)


@sensitive_variables("clean", "spot", "value")
def _store_secrets(
    bundle: Bundle, mobileconfig: Mobileconfig, *, actor: Actor, now: datetime
) -> tuple[Mobileconfig, list[tuple[str, str]]]:
    """The file with the names of stored secrets where it has passwords in clear, and which key got which name."""
    items = read_foreign(mobileconfig.payloads, catalogue.current())
    known = {payload.payload_identifier: payload for payload in bundle.payloads.all()}
    moved: list[tuple[str, str]] = []
    payloads = []
    for item, content in zip(items, mobileconfig.payloads, strict=True):
        spots = secret_spots(item)
        clean = copy.deepcopy(content) if spots else content
        for spot in spots:
            name = _secret_before(known.get(item.identifier), spot) or secrets.name_for(
                bundle, item.name[:100], spot.schema_path
            )
            _store(name, spot, note=f"{bundle.name}: {item.name}"[:255], actor=actor, now=now)
            value = placeholder(SECRET + name)
            _put(clean, spot.path, value.encode() if isinstance(spot.value, bytes) else value)
            moved.append((f"{item.name}: {spot.where}", name))
        payloads.append(clean)
    whole: Content = {**mobileconfig.content, "PayloadContent": list(payloads)}
    return replace(mobileconfig, content=whole, payloads=tuple(payloads)), moved


@sensitive_variables("spot", "value")
def _store(name: str, spot: Spot, *, note: str, actor: Actor, now: datetime) -> None:
    value = spot.value.encode() if isinstance(spot.value, str) else spot.value
    if not isinstance(value, bytes):
        return
    try:
        secrets.store(name, value, actor=actor, now=now, note=note)
    except SecretError as error:
        raise ImportRefused(f"{spot.where} cannot become a stored secret. {error}") from None


@sensitive_variables("spot")
def _secret_before(payload: Payload | None, spot: Spot) -> str | None:
    """The secret that the draft names at this place, when it has this very value: the same file comes once more."""
    try:
        value: PlistValue | None = loads_dict(bytes(payload.content)) if payload else None
    except PlistError:
        return None
    for step in spot.path:
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    names = names_in(value) if isinstance(value, str | bytes) else frozenset()
    wanted = spot.value.encode() if isinstance(spot.value, str) else spot.value
    for secret in Secret.objects.filter(name__in=[name.removeprefix(SECRET) for name in names]):
        if bytes(secret.value) == wanted:
            return secret.name
    return None


def _put(content: Content, path: Sequence[str | int], value: PlistValue) -> None:
    """Replace the value at a path that exists."""
    holder: PlistValue = content
    for step in path[:-1]:
        if isinstance(holder, dict):
            holder = holder[str(step)]
        elif isinstance(holder, list):
            holder = holder[int(step)]
    last = path[-1]
    if isinstance(holder, dict):
        holder[str(last)] = value
    elif isinstance(holder, list):
        holder[int(last)] = value
