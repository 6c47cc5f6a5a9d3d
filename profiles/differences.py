"""How two drafts differ, key by key, in words for people. Pure.

Secrets are never shown (`profiles.keytable`). Payloads are the same when they have the same PayloadIdentifier; values
are the same when they are the same as a property list: 1, 1.0 and true are three. Merging is `profiles.merging`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from profiles import overlay
from profiles.drafts import SETTINGS, Draft, DraftPayload
from profiles.keytable import Leaf, leaves, shown
from profiles.models import DeliveryRule, Role, Scope
from protocol.plist import PlistValue, dumps
from protocol.schema import Catalogue, packaged

SETTING_TITLES: Mapping[str, str] = {
    "name": "Name",
    "description": "Description",
    "delivery_rule": "Delivery rule",
    "withdraw_on_regression": "Withdraw while the device does not comply",
    "silent_days": "Days of silence before an alert",
    "requirement_name": "Name of the requirement, for the user",
    "requirement_description": "Words about the requirement, for the user",
    "capability_name": "Name of the capability, for the user",
    "capability_description": "Words about the capability, for the user",
    "scope": "Scope",
    "removal_disallowed": "The user cannot remove it",
    "consent_text": "Consent text",
    "encrypt_to_device": "Encrypt to each device",
}
_CHOICES: Mapping[str, Mapping[str, str]] = {
    "delivery_rule": dict(DeliveryRule.choices),
    "scope": dict(Scope.choices),
    "role": dict(Role.choices),
}


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: "added", "removed" or "changed". `payload` is a payload's name, "" for the bundle's settings.

    `path` is "" where the whole payload is meant. `old` and `new` are for people, None for what is not there; their
    meanings are what the form calls these values, "" where that is the same.
    """

    kind: str
    payload: str
    payload_type: str
    path: str
    title: str
    old: str | None
    new: str | None
    identifier: str = ""
    old_meaning: str = ""
    new_meaning: str = ""


def differences(old: Draft | None, new: Draft, *, catalogue: Catalogue | None = None) -> list[Change]:
    """Everything that is different in `new`, in its order, what is gone last. Without `old` everything is added."""
    catalogue = catalogue or packaged()
    before = {payload.identifier: payload for payload in old.payloads} if old else {}
    after = {payload.identifier: payload for payload in new.payloads}
    changes = list(_settings(old, new)) if old else []
    for identifier, payload in after.items():
        changes += _payload(before.get(identifier), payload, catalogue)
    for identifier, payload in before.items():
        if identifier not in after:
            changes += _payload(payload, None, catalogue)
    if old is not None and old.original != new.original:
        changes.append(_file(old.original, new.original))
    return [*changes, *_order(before, after)]


def same(one: PlistValue | None, other: PlistValue | None) -> bool:
    """Equal as a property list, whatever the order of keys; None stands for what is not there."""
    if one is None or other is None:
        return one is other
    return dumps({"": one}, sort_keys=True) == dumps({"": other}, sort_keys=True)


def setting_text(name: str, value: object) -> str:
    """A setting's value for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _CHOICES.get(name, {}).get(str(value), str(value)) or "empty"


def _settings(old: Draft, new: Draft) -> Iterator[Change]:
    for name in SETTINGS:
        before, after = old.settings.get(name), new.settings.get(name)
        # A revision from before the column existed says nothing about it.
        if before is not None and after is not None and before != after:
            texts = setting_text(name, before), setting_text(name, after)
            yield Change("changed", "", "", name, SETTING_TITLES[name], *texts)


def _payload(old: DraftPayload | None, new: DraftPayload | None, catalogue: Catalogue) -> Iterator[Change]:
    one = new or old
    if one is None:
        return
    before, after = _table(old, catalogue), _table(new, catalogue)
    if old is None:
        yield _change(one, path="", title="The whole payload", texts=(None, _count(after)))
    elif new is None:
        yield _change(one, path="", title="The whole payload", texts=(_count(before), None))
    else:
        yield from _columns(old, new)
    for path in [*after, *(path for path in before if path not in after)]:
        was, now = before.get(path), after.get(path)
        if was and now and same(was.value, now.value):
            continue
        title = now.title if now else was.title if was else path
        change = _change(one, path=path, title=title, texts=(was.text if was else None, now.text if now else None))
        yield replace(change, old_meaning=was.meaning if was else "", new_meaning=now.meaning if now else "")


def title_of(payload: DraftPayload) -> str:
    """What people call it: its own name, or its type's where nobody gave it one."""
    if payload.name and payload.name != payload.payload_type:
        return payload.name
    return overlay.title_of(payload.variant or payload.payload_type)


def _count(table: Mapping[str, Leaf]) -> str:
    return f"{len(table)} key{'' if len(table) == 1 else 's'}"


def _change(payload: DraftPayload, *, path: str, title: str, texts: tuple[str | None, str | None]) -> Change:
    old, new = texts
    kind = "added" if old is None else "removed" if new is None else "changed"
    if old is not None and old == new:
        # Masked or cut alike: say that it is another value.
        new = f"{new} (another value)"
    return Change(kind, title_of(payload), payload.payload_type, path, title, old, new, payload.identifier)


def _columns(old: DraftPayload, new: DraftPayload) -> Iterator[Change]:
    for name, title in (("name", "Name"), ("role", "Role"), ("payload_type", "Type"), ("uuid", "PayloadUUID")):
        before, after = str(getattr(old, name)), str(getattr(new, name))
        if before != after:
            yield _change(new, path=name, title=title, texts=(setting_text(name, before), setting_text(name, after)))


def _table(payload: DraftPayload | None, catalogue: Catalogue) -> dict[str, Leaf]:
    if payload is None:
        return {}
    # The display name repeats the payload's own.
    repeated = payload.content.get("PayloadDisplayName") == payload.name
    content = {key: value for key, value in payload.content.items() if key != "PayloadDisplayName" or not repeated}
    return {leaf.path: leaf for leaf in leaves(payload.variant, content, catalogue=catalogue)}


def _file(old: bytes, new: bytes) -> Change:
    kind = "changed" if old and new else "added" if new else "removed"
    was, now = shown(old) if old else None, shown(new) if new else None
    return Change(
        kind,
        "",
        "",
        "original",
        "File that devices get byte for byte",
        was,
        f"{now} (another file)" if was and now else now,
    )


def _order(before: Mapping[str, DraftPayload], after: Mapping[str, DraftPayload]) -> Iterator[Change]:
    old, new = [name for name in before if name in after], [name for name in after if name in before]
    if old != new:
        texts = ", ".join(title_of(before[name]) for name in old), ", ".join(title_of(after[name]) for name in new)
        yield Change("changed", "", "", "order", "Order of the payloads", *texts)
