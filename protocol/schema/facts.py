"""The facts of Apple's schema as values, loaded once from facts.json.

The JSON leaves out whatever has its default here; `compile` writes it.
No prose of Apple's is kept, only names, types, versions and flags.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

__all__ = ["FACTS_FILE", "PLATFORMS", "CommandFacts", "KeyFacts", "PlatformFacts", "checkins", "commands"]

FACTS_FILE = Path(__file__).with_name("facts.json")
PLATFORMS = ("iOS", "macOS", "tvOS", "visionOS", "watchOS")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformFacts:
    """What one platform asks for before it takes a command.

    `introduced`, `deprecated` and `removed` are versions ("10.15"). `access_rights` is the bit of the MDM
    payload's AccessRights that it needs, 0 for none. `user_enrollment` and `shared_ipad` are "allowed",
    "required", "forbidden" or "ignored".
    """

    introduced: str
    deprecated: str | None = None
    removed: str | None = None
    supervised: bool = False
    requires_dep: bool = False
    device_channel: bool = True
    user_channel: bool = False
    user_enrollment: str = "allowed"
    shared_ipad: str = "allowed"
    access_rights: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """One key: its plist type ("string", "data", "any" ...), and for arrays and dictionaries what is inside.

    `values` are those Apple lists; newer systems may know more. `introduced` holds a platform only where
    it differs from the command's: a version, or "n/a" where the platform does not have the key.
    """

    name: str
    type: str
    required: bool = False
    values: tuple[str | int | float, ...] = ()
    introduced: Mapping[str, str] = field(default_factory=dict)
    subkeys: tuple[KeyFacts, ...] = ()

    @property
    def required_everywhere(self) -> bool:
        """Whether no platform that has the command lacks the key."""
        return self.required and "n/a" not in self.introduced.values()


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandFacts:
    """One command or check-in message: the platforms that have it, and its keys."""

    request_type: str
    platforms: Mapping[str, PlatformFacts]
    keys: tuple[KeyFacts, ...] = ()


def commands() -> Mapping[str, CommandFacts]:
    """All commands Apple documents, by RequestType."""
    return _load()["commands"]


def checkins() -> Mapping[str, CommandFacts]:
    """All check-in messages Apple documents, by MessageType."""
    return _load()["checkins"]


@cache
def _load() -> Mapping[str, Mapping[str, CommandFacts]]:
    content = json.loads(FACTS_FILE.read_text(encoding="utf-8"))
    return {
        part: MappingProxyType({name: _command(name, facts) for name, facts in content[part].items()})
        for part in ("commands", "checkins")
    }


def _command(name: str, facts: Mapping[str, Any]) -> CommandFacts:
    platforms = {platform: PlatformFacts(**said) for platform, said in facts["platforms"].items()}
    return CommandFacts(request_type=name, platforms=MappingProxyType(platforms), keys=_keys(facts))


def _keys(facts: Mapping[str, Any]) -> tuple[KeyFacts, ...]:
    return tuple(_key(name, key) for name, key in facts.get("keys", {}).items())


def _key(name: str, facts: Mapping[str, Any]) -> KeyFacts:
    return KeyFacts(
        name=name,
        type=facts["type"],
        required=facts.get("required", False),
        values=tuple(facts.get("values", ())),
        introduced=facts.get("introduced", {}),
        subkeys=_keys(facts),
    )
