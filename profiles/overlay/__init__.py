"""The overlay: what Apple's schema does not say about payloads, written by us, as pure functions over plain values.

Titles, help, groups, conditions, secret and reference marks, and rules over several keys. It reads no database;
where Apple's own words were loaded at run time they come in with the catalogue, after ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

from profiles.overlay import (
    accounts,
    certificates,
    mac,
    passcode,
    payloads,
    permissions,
    restrictions,
    sign_on,
    vpn,
    web,
    wifi,
)
from profiles.overlay.facts import (
    Condition,
    Content,
    Group,
    Judged,
    KeyOverlay,
    PayloadOverlay,
    Rule,
    Scalar,
    Severity,
)
from profiles.overlay.marks import REFERENCE_KEYS, REFERENCES, SECRETS
from profiles.overlay.names import derived
from profiles.overlay.visibility import Visibility
from protocol.schema import Catalogue, KeyFacts, packaged

__all__ = [
    "TOPICS",
    "Condition",
    "Content",
    "Group",
    "Judged",
    "KeyOverlay",
    "PayloadOverlay",
    "Rule",
    "Scalar",
    "Severity",
    "Visibility",
    "help_of",
    "judge",
    "label",
    "of",
    "references",
    "secret_paths",
    "title_of",
    "value_titles",
    "visible",
]

TOPICS = payloads.TOPICS
_DETAILS: Mapping[str, PayloadOverlay] = {
    **accounts.OVERLAYS,
    **certificates.OVERLAYS,
    **mac.OVERLAYS,
    **passcode.OVERLAYS,
    **permissions.OVERLAYS,
    **restrictions.OVERLAYS,
    **sign_on.OVERLAYS,
    **vpn.OVERLAYS,
    **web.OVERLAYS,
    **wifi.OVERLAYS,
}
_NOTHING = PayloadOverlay(topic="Other")
_UNSAID = KeyOverlay()


@cache
def of(variant: str) -> PayloadOverlay:
    """What we say about a variant; nothing but the topic "Other" for one we wrote nothing about."""
    found = _DETAILS.get(variant, _NOTHING)
    keys = dict(found.keys)
    for path in SECRETS.get(variant, ()):
        keys[path] = replace(keys.get(path, _UNSAID), secret=True)
    for path, types in REFERENCES.get(variant, {}).items():
        named_by = REFERENCE_KEYS.get(types[0], "PayloadUUID")
        keys[path] = replace(keys.get(path, _UNSAID), reference=types, reference_key=named_by)
    topic, title, summary = payloads.SUMMARIES.get(variant, (found.topic, "", ""))
    network = variant in payloads.NETWORK
    return replace(found, title=title, summary=summary, topic=topic, network=network, keys=keys)


def title_of(variant: str) -> str:
    """The payload's name for people; the variant itself, which is then a payload type, where we have none."""
    return of(variant).title or variant


def label(variant: str, schema_path: str, catalogue: Catalogue) -> str:
    """A key's name for people: our title, else Apple's where it was loaded, else one made from the key's name."""
    ours = of(variant).keys.get(schema_path, _UNSAID).title
    if ours:
        return ours
    name = _last_name(variant, schema_path, catalogue)
    apples, _ = catalogue.words(variant, schema_path)
    # Where Apple has no better title than the key's name, ours reads better.
    return apples if apples and apples != name else derived(name)


def help_of(variant: str, schema_path: str, catalogue: Catalogue) -> str:
    """A sentence or two about a key: ours, else Apple's where it was loaded, else nothing."""
    return of(variant).keys.get(schema_path, _UNSAID).help or catalogue.words(variant, schema_path)[1]


def value_titles(variant: str, schema_path: str, values: Sequence[Scalar]) -> dict[Scalar, str]:
    """What people read for each value Apple lists: our title, "Yes" and "No" for a 0 or 1, else the value itself."""
    ours = of(variant).keys.get(schema_path, _UNSAID).values
    switch: Mapping[Scalar, str] = {0: "No", 1: "Yes"} if sorted(map(str, values)) == ["0", "1"] else {}
    return {value: ours.get(value) or switch.get(value, str(value)) for value in values}


def secret_paths(variant: str) -> frozenset[str]:
    """The schema paths whose values are secrets: never shown again, kept apart from the content."""
    return frozenset(SECRETS.get(variant, ()))


def references(variant: str) -> Mapping[str, tuple[str, ...]]:
    """Schema path to the payload types whose UUID stands there (see KeyOverlay.reference_key for which UUID)."""
    return REFERENCES.get(variant, {})


def visible(variant: str, content: Content, *, catalogue: Catalogue | None = None) -> Visibility:
    """A helper that says which value paths of this content do not apply."""
    conditions = {path: key.shown_when for path, key in of(variant).keys.items() if key.shown_when is not None}
    return Visibility(conditions=conditions, keys=_keys(variant, catalogue or packaged()), content=content)


def judge(variant: str, content: Content) -> list[Judged]:
    """Everything our rules over several keys find in a payload's content; types are checked by `protocol.schema`."""
    return [judged for rule in of(variant).rules for judged in rule(content)]


def _keys(variant: str, catalogue: Catalogue) -> Sequence[KeyFacts]:
    facts = catalogue.payloads.get(variant) or catalogue.declarations.get(variant) or catalogue.commands.get(variant)
    if facts is not None:
        return facts.keys
    return catalogue.common.keys if variant == catalogue.common.variant else ()


def _last_name(variant: str, schema_path: str, catalogue: Catalogue) -> str:
    """The name at the end of a schema path. Names may hold dots, so the path is walked along the schema."""
    return schema_path if "." not in schema_path else _walked(_keys(variant, catalogue), schema_path)


def _walked(keys: Sequence[KeyFacts], rest: str) -> str:
    for key in keys:
        if key.name == rest:
            return rest
        if rest.startswith(key.name + ".") and key.subkeys:
            return _walked(key.subkeys, rest[len(key.name) + 1 :])
    return rest.rsplit(".", 1)[-1]
