"""What we say about a payload beyond Apple's schema: titles, help, groups, conditions, secret and reference marks, rules.

Plain values without a database, a clock or Django. Types and limits of keys are not here but in `protocol.schema`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from protocol.plist import PlistValue
from protocol.schema import Problem
from protocol.schema.checking import has_variable

__all__ = [
    "Condition",
    "Content",
    "Group",
    "Judged",
    "KeyOverlay",
    "PayloadOverlay",
    "Rule",
    "Scalar",
    "Severity",
    "Titles",
    "error",
    "inner",
    "is_on",
    "items",
    "nested",
    "shown",
    "warning",
    "worded",
]

Scalar: TypeAlias = str | int | float
Titles: TypeAlias = Mapping[Scalar, str]
Content: TypeAlias = Mapping[str, PlistValue]
Severity: TypeAlias = Literal["error", "warning"]
Judged: TypeAlias = tuple[Severity, Problem]
Rule: TypeAlias = Callable[[Content], Iterable[Judged]]


@dataclass(frozen=True, slots=True)
class Group:
    """Top-level keys that stand together under one heading, in our order."""

    title: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """When a key makes sense: another key has one of some values.

    `key` is the name of a key in the same dictionary, or "/" and a schema path from the payload's top without
    arrays ("/VPNType", "/IKEv2.AuthenticationMethod"). `unset`: it also holds while that key is not set, because
    what the system then takes is among the values. A list holds when one of its items does.
    """

    key: str
    values: tuple[Scalar, ...]
    unset: bool = False

    def holds(self, siblings: Content, root: Content) -> bool:
        """Whether it holds; a value that is only known on the device ("{{ ... }}") may be anything and holds."""
        value = _found(root, self.key[1:]) if self.key.startswith("/") else siblings.get(self.key)
        if value is None:
            return self.unset
        candidates = value if isinstance(value, list) else [value]
        return any(
            candidate in self.values or (isinstance(candidate, str) and has_variable(candidate))
            for candidate in candidates
            if isinstance(candidate, str | int | float)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyOverlay:
    """What we say about one key. Empty words mean: see Apple's, or make them from the key's name.

    `reference` are the payload types whose UUID the key may hold; `reference_key` is which of their keys it
    repeats: an account's VPNUUID is the VPNUUID of a per-app VPN payload, not its PayloadUUID.
    """

    title: str = ""
    help: str = ""
    values: Titles = field(default_factory=dict)
    secret: bool = False
    reference: tuple[str, ...] = ()
    reference_key: str = "PayloadUUID"
    shown_when: Condition | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadOverlay:
    """What we say about one variant of Apple's catalogue. `network`: a wrong one can cut the device off."""

    title: str = ""
    summary: str = ""
    groups: tuple[Group, ...] = ()
    keys: Mapping[str, KeyOverlay] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    network: bool = False
    topic: str = ""


def worded(table: Mapping[str, str | tuple[str, str]]) -> dict[str, KeyOverlay]:
    """Keys by schema path, from a table of titles, or of titles with help."""
    return {
        path: KeyOverlay(title=said) if isinstance(said, str) else KeyOverlay(title=said[0], help=said[1])
        for path, said in table.items()
    }


def shown(keys: Mapping[str, KeyOverlay], condition: Condition, *, only: Iterable[str]) -> dict[str, KeyOverlay]:
    """The keys, with those called `only` under a condition; one that has no words yet is added."""
    under = {path: replace(keys.get(path, KeyOverlay()), shown_when=condition) for path in only}
    return {**keys, **under}


def nested(prefix: str, keys: Mapping[str, KeyOverlay]) -> dict[str, KeyOverlay]:
    """The keys of a dictionary that stands at the schema path `prefix`."""
    return {f"{prefix}.{name}": key for name, key in keys.items()}


def error(sentence: str, *path: str | int) -> Judged:
    """A rule's finding that must stop a publish; the sentence follows the key's path."""
    return "error", Problem(path, sentence)


def warning(sentence: str, *path: str | int) -> Judged:
    """A rule's finding that people should read before they publish."""
    return "warning", Problem(path, sentence)


def inner(content: Content, key: str) -> Content:
    """The dictionary under a key; an empty one where it is missing or something else."""
    value = content.get(key)
    return value if isinstance(value, dict) else {}


def items(content: Content, key: str) -> Iterator[tuple[int, Content]]:
    """The dictionaries of the list under a key, with their positions; anything else is skipped."""
    value = content.get(key)
    for number, item in enumerate(value if isinstance(value, list) else []):
        if isinstance(item, dict):
            yield number, item


def is_on(content: Content, key: str, *, default: bool = False) -> bool:
    """Whether a switch is on: Apple writes some of them as true or false and others as 1 or 0."""
    value = content.get(key)
    return value == 1 if isinstance(value, int) else default


def _found(root: Content, path: str) -> PlistValue | None:
    value: PlistValue | None = dict(root)
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value
