"""What a newer release of Apple's schema adds, removes and changes: read by a person before it counts.

Compares two compact forms (`compile`) key by key; a step upwards is compared as such, so nothing unfolds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ["SchemaChange", "compare"]

Raw: TypeAlias = Mapping[str, Any]
_PARTS = ("payloads", "commands", "checkins", "declarations")
# What differs inside is told key by key.
_NESTED = frozenset({"keys"})


@dataclass(frozen=True, slots=True, order=True)
class SchemaChange:
    """One difference: "added", "removed" or "changed"; where ("payloads", "com.apple.vpn.managed", "IKEv2.MTU"); what.

    `path` is empty where the whole message or payload is meant; `aspects` are the names of what changed.
    """

    kind: str
    part: str
    name: str
    path: str = ""
    aspects: tuple[str, ...] = ()

    def __str__(self) -> str:
        what = f" ({', '.join(self.aspects)})" if self.aspects else ""
        return f"{self.name}{f': {self.path}' if self.path else ''}{what}"


def compare(old: Raw, new: Raw) -> list[SchemaChange]:
    """All differences between two compact forms, in the order of parts, names and paths."""
    found: list[SchemaChange] = []
    for part in _PARTS:
        before, after = old.get(part, {}), new.get(part, {})
        for name in sorted(before.keys() | after.keys()):
            found += _compare(part, name, before.get(name), after.get(name))
    return found


def _compare(part: str, name: str, before: Raw | None, after: Raw | None) -> Iterator[SchemaChange]:
    if before is None or after is None:
        yield SchemaChange("added" if before is None else "removed", part, name)
        return
    if aspects := _aspects(before, after):
        yield SchemaChange("changed", part, name, "", aspects)
    yield from _compare_keys(part, name, before.get("keys", {}), after.get("keys", {}), above="")


def _compare_keys(part: str, name: str, before: Raw, after: Raw, *, above: str) -> Iterator[SchemaChange]:
    for key in sorted(before.keys() | after.keys()):
        path = f"{above}.{key}" if above else key
        if key not in before or key not in after:
            yield SchemaChange("removed" if key in before else "added", part, name, path)
            continue
        if aspects := _aspects(before[key], after[key]):
            yield SchemaChange("changed", part, name, path, aspects)
        yield from _compare_keys(part, name, before[key].get("keys", {}), after[key].get("keys", {}), above=path)


def _aspects(before: Raw, after: Raw) -> tuple[str, ...]:
    names = (before.keys() | after.keys()) - _NESTED
    return tuple(sorted(name for name in names if before.get(name) != after.get(name)))
