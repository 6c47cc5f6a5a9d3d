"""A bundle's payloads as the checks read them: decoded once, matched with the schema, walked key by key.

Pure but for `read`, which takes the rows that it is given. What cannot be read becomes a finding, never an exception.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from profiles import overlay
from profiles.checks.findings import Finding, Severity
from profiles.models import Payload, Role
from protocol.errors import PlistError
from protocol.plist import PlistValue, loads_dict
from protocol.schema import Catalogue, KeyFacts, PayloadFacts, Problem

Content = Mapping[str, PlistValue]
# A payload may be as deep as the plist reader allows; walking it takes two frames per level.
_DEEPEST = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One payload: what tells it apart, and its own keys without those that all payloads have."""

    payload_id: int | None
    name: str
    payload_type: str
    role: str
    identifier: str
    uuid: str
    facts: PayloadFacts | None
    content: Content = field(repr=False)
    # The keys that every payload may have, such as PayloadDescription.
    common: Content = field(default_factory=dict, repr=False)

    @property
    def variant(self) -> str:
        """The name of its schema file; the payload type where Apple documents none."""
        return self.facts.variant if self.facts else self.payload_type

    def finding(self, severity: Severity, sentence: str, *, path: str = "", devices: int = 0) -> Finding:
        """A finding about this payload; the sentence follows its name."""
        return Finding(severity, f"{self.name}: {sentence}", self.payload_id, path, devices)


@dataclass(frozen=True, slots=True)
class Spot:
    """One value in a payload that the schema knows: where it stands, and what is said about its key."""

    path: tuple[str | int, ...]
    schema_path: str
    key: KeyFacts
    value: PlistValue = field(repr=False)

    @property
    def where(self) -> str:
        """The value path as people write it."""
        return Problem(self.path, "").where


def read(payloads: Iterable[Payload], catalogue: Catalogue) -> tuple[list[Item], list[Finding]]:
    """The payloads in order, and an error for each that is no property list."""
    items, findings = [], []
    for payload in payloads:
        try:
            content = loads_dict(bytes(payload.content))
        except PlistError:
            sentence = f'The content of "{payload.name}" is no property list.'
            findings.append(Finding(Severity.ERROR, sentence, payload.pk))
            continue
        items.append(_item(payload, content, catalogue))
    return items, findings


def read_foreign(contents: Sequence[Content], catalogue: Catalogue) -> list[Item]:
    """Payloads of a file that is delivered as it is: no rows stand behind them, and they have no roles."""
    return [
        Item(
            payload_id=None,
            name=_name(text_of(content, "PayloadDisplayName"), text_of(content, "PayloadType"), facts),
            payload_type=text_of(content, "PayloadType"),
            role=Role.NEUTRAL,
            identifier=text_of(content, "PayloadIdentifier"),
            uuid=text_of(content, "PayloadUUID"),
            facts=facts,
            content=own_keys(content, catalogue),
        )
        for content in contents
        for facts in [catalogue.match(text_of(content, "PayloadType"), content)]
    ]


def own_keys(content: Content, catalogue: Catalogue) -> Content:
    """The content without the keys that all payloads have."""
    common = {key.name for key in catalogue.common.keys}
    return {name: value for name, value in content.items() if name not in common}


def text_of(content: Content, key: str) -> str:
    """The text under a key; empty where there is something else."""
    value = content.get(key)
    return value if isinstance(value, str) else ""


def walk(item: Item) -> Iterator[Spot]:
    """Every value whose key the schema knows, outermost first; nothing for types that Apple does not document."""
    if item.facts is not None:
        yield from _dictionary(item.content, item.facts.keys, path=(), above="")


def key_at(facts: PayloadFacts, path: Sequence[str | int]) -> tuple[str, KeyFacts | None]:
    """The schema path of a value path, and its key; as far as the schema goes."""
    names: list[str] = []
    keys, key = facts.keys, None
    for step in path:
        key = _named(keys, step) if isinstance(step, str) else next(iter(keys), None)
        if key is None:
            break
        names.append(key.name)
        keys = key.subkeys
    return ".".join(names), key


def _item(payload: Payload, content: Content, catalogue: Catalogue) -> Item:
    own = own_keys(content, catalogue)
    facts = catalogue.payloads.get(payload.variant) if payload.variant else None
    if facts is None or facts.payload_type != payload.payload_type:
        facts = catalogue.match(payload.payload_type, own)
    return Item(
        payload_id=payload.pk,
        name=_name(payload.name, payload.payload_type, facts),
        payload_type=payload.payload_type,
        role=payload.role,
        identifier=payload.payload_identifier,
        uuid=payload.payload_uuid,
        facts=facts,
        content=own,
        common={key: value for key, value in content.items() if key not in own},
    )


def _name(name: str, payload_type: str, facts: PayloadFacts | None) -> str:
    """What people call it: a payload that is named by its type gets the title of its kind."""
    return name if name not in {"", payload_type} else overlay.title_of(facts.variant if facts else payload_type)


def _dictionary(value: Content, keys: Sequence[KeyFacts], *, path: tuple[str | int, ...], above: str) -> Iterator[Spot]:
    for name, inner in value.items():
        key = _named(keys, name)
        if key is not None:
            yield from _value(inner, key, path=(*path, name), above=above)


def _value(value: PlistValue, key: KeyFacts, *, path: tuple[str | int, ...], above: str) -> Iterator[Spot]:
    if len(path) > _DEEPEST:
        return
    schema_path = f"{above}.{key.name}" if above else key.name
    yield Spot(path, schema_path, key, value)
    if isinstance(value, dict) and key.type == "dictionary":
        yield from _dictionary(value, key.subkeys, path=path, above=schema_path)
    elif isinstance(value, list) and key.item is not None:
        for number, inner in enumerate(value):
            yield from _value(inner, key.item, path=(*path, number), above=schema_path)


def _named(keys: Sequence[KeyFacts], name: str) -> KeyFacts | None:
    found = next((key for key in keys if key.name == name and name != "ANY"), None)
    return found or next((key for key in keys if key.name == "ANY"), None)
