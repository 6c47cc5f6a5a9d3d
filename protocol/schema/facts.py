"""The facts of Apple's schema as values: commands, check-ins, payload types and declarations with their keys.

Built lazily from a compact JSON form, which leaves out whatever has its default here and writes a key that contains
itself as a step upwards; `compile` makes it. No prose of Apple's is kept, only names, types, versions and flags.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

__all__ = [
    "FACTS_FILE",
    "PLATFORMS",
    "Catalogue",
    "CommandFacts",
    "DeclarationFacts",
    "KeyFacts",
    "PayloadFacts",
    "PlatformFacts",
    "checkins",
    "commands",
    "packaged",
]

FACTS_FILE = Path(__file__).with_name("facts.json")
PLATFORMS = ("iOS", "macOS", "tvOS", "visionOS", "watchOS")
Raw: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformFacts:
    """What one platform asks for before it takes a command, payload, declaration or key.

    `introduced`, `deprecated` and `removed` are versions ("10.15"). `access_rights` is the bit of the MDM
    payload's AccessRights that it needs, 0 for none. `user_enrollment` and `shared_ipad` are "allowed",
    "required", "forbidden" or "ignored". `multiple`: a device may hold several payloads of the type.
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
    multiple: bool = True
    user_approved: bool = False
    allow_manual_install: bool = True
    # Declarations only; empty where Apple does not say.
    allowed_enrollments: tuple[str, ...] = ()
    allowed_scopes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class KeyFacts:
    """One key: its plist type ("string", "data", "any" ...), what it may hold, and what is inside.

    `values` are those Apple lists. `minimum` and `maximum` bound the number, `pattern` is a regular expression
    for the whole string, `value_type` "hostname" or "url". `min_items` and `max_items` bound an array: they
    stand at its item. An array has one subkey, its item (a few commands mix several kinds); a dictionary has
    its keys, where one called ANY stands for keys of any name.
    """

    name: str
    type: str
    required: bool = False
    values: tuple[str | int | float, ...] = ()
    default: str | int | float | bool | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    pattern: str = ""
    value_type: str = ""
    min_items: int | None = None
    max_items: int | None = None
    # Platform to what differs there from the whole; `platforms` has both put together.
    differences: Mapping[str, Raw] = field(default_factory=dict)
    _chain: tuple[Raw, ...] = field(default=(), repr=False)
    _whole: Mapping[str, PlatformFacts] = field(default_factory=dict, repr=False)

    @cached_property
    def subkeys(self) -> tuple[KeyFacts, ...]:
        """The keys inside, built when they are first asked for: two of Apple's files contain themselves."""
        raw = self._chain[-1] if self._chain else {}
        up = raw.get("up")
        if up is None:
            return _keys(raw.get("keys", {}), self._chain, self._whole)
        chain = self._chain[:-up]
        return _keys(chain[-1]["keys"], chain, self._whole)

    @cached_property
    def platforms(self) -> Mapping[str, PlatformFacts]:
        """The platforms that have the key, with what holds for it there."""
        found = {}
        for platform, whole in self._whole.items():
            said = self.differences.get(platform, {})
            if said.get("introduced") != "n/a":
                found[platform] = replace(whole, **said)
        return MappingProxyType(found)

    @property
    def introduced(self) -> Mapping[str, str]:
        """A platform only where it differs from the whole: a version, or "n/a" where it lacks the key."""
        return {name: said["introduced"] for name, said in self.differences.items() if "introduced" in said}

    @property
    def required_everywhere(self) -> bool:
        """Whether no platform that has the whole lacks the key."""
        return self.required and "n/a" not in self.introduced.values()

    @property
    def item(self) -> KeyFacts | None:
        """What an array is made of; None for anything else, and where it mixes kinds."""
        return self.subkeys[0] if self.type == "array" and len(self.subkeys) == 1 else None

    @property
    def any_key(self) -> KeyFacts | None:
        """What stands under keys of any name in this dictionary; None where keys are fixed."""
        return next((key for key in self.subkeys if key.name == "ANY"), None) if self.type == "dictionary" else None

    @property
    def is_open(self) -> bool:
        """Whether this is a dictionary that takes keys of any name."""
        return self.type == "dictionary" and (not self.subkeys or self.any_key is not None)


@dataclass(frozen=True, kw_only=True, eq=False)
class CommandFacts:
    """One command or check-in message: the platforms that have it, and its keys."""

    request_type: str
    platforms: Mapping[str, PlatformFacts]
    keys: tuple[KeyFacts, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class PayloadFacts:
    """One file about a payload type. `variant` is the file's name; com.apple.MCX is described by six of them."""

    variant: str
    payload_type: str
    platforms: Mapping[str, PlatformFacts]
    _raw: Raw = field(default_factory=dict, repr=False)

    @cached_property
    def keys(self) -> tuple[KeyFacts, ...]:
        """The payload's own keys, without those common to all payloads."""
        return _keys(self._raw.get("keys", {}), (self._raw,), self.platforms)

    @cached_property
    def as_key(self) -> KeyFacts:
        """The whole payload as one dictionary, for code that walks keys."""
        return KeyFacts(name=self.variant, type="dictionary", _chain=(self._raw,), _whole=self.platforms)


@dataclass(frozen=True, kw_only=True, eq=False)
class DeclarationFacts:
    """One declaration or credential type; `apply` says what several of one type do ("single", "combined" ...)."""

    declaration_type: str
    platforms: Mapping[str, PlatformFacts]
    apply: str = ""
    _raw: Raw = field(default_factory=dict, repr=False)

    @cached_property
    def keys(self) -> tuple[KeyFacts, ...]:
        """The keys of its Payload."""
        return _keys(self._raw.get("keys", {}), (self._raw,), self.platforms)


class Catalogue:
    """One release of Apple's schema. `texts` holds Apple's words where they were loaded at run time."""

    def __init__(self, content: Raw, *, texts: Mapping[str, Sequence[str]] | None = None) -> None:
        self._content = content
        self._texts = texts or {}

    @property
    def compact(self) -> Raw:
        """The compact form it was made of."""
        return self._content

    @cached_property
    def commands(self) -> Mapping[str, CommandFacts]:
        """All commands, by RequestType."""
        return self._messages("commands")

    @cached_property
    def checkins(self) -> Mapping[str, CommandFacts]:
        """All check-in messages, by MessageType."""
        return self._messages("checkins")

    @cached_property
    def payloads(self) -> Mapping[str, PayloadFacts]:
        """All payload types, by variant."""
        found = {name: self._payload(name, said) for name, said in self._content["payloads"].items()}
        return MappingProxyType(found)

    @cached_property
    def declarations(self) -> Mapping[str, DeclarationFacts]:
        """All declarations and credentials, by type."""
        found = {}
        for name, said in self._content["declarations"].items():
            platforms = _platforms(said)
            found[name] = DeclarationFacts(
                declaration_type=name, platforms=platforms, apply=said.get("apply", ""), _raw=said
            )
        return MappingProxyType(found)

    @cached_property
    def common(self) -> PayloadFacts:
        """The keys that every payload has."""
        return self._payload("CommonPayloadKeys", self._content["common"])

    @cached_property
    def top_level(self) -> PayloadFacts:
        """The keys of a configuration profile itself."""
        return self._payload("TopLevel", self._content["top_level"])

    def variants(self, payload_type: str) -> tuple[PayloadFacts, ...]:
        """The variants that describe a payload type; empty for one Apple does not document."""
        return self._by_type.get(payload_type, ())

    def match(self, payload_type: str, content: Mapping[str, object]) -> PayloadFacts | None:
        """The variant that knows most of the content's keys and lacks least of what it requires; None if there is none."""
        variants = self.variants(payload_type)
        return max(variants, key=lambda variant: _likeness(variant, content)) if variants else None

    def words(self, variant: str, path: str = "") -> tuple[str, str]:
        """Apple's title and help for a key ("IKEv2.RemoteAddress") or, without a path, the payload; "" where unknown."""
        title, text = self._texts.get(f"{variant}:{path}", ("", ""))
        return title, text

    @cached_property
    def newest(self) -> Mapping[str, str]:
        """The newest version of each platform that the schema speaks of: what to call this release."""
        found: dict[str, str] = {}
        for payload in self.payloads.values():
            _collect_newest(payload.platforms, found)
            for key in payload.keys:
                _collect_newest(key.platforms, found)
        return dict(sorted(found.items()))

    @cached_property
    def _by_type(self) -> Mapping[str, tuple[PayloadFacts, ...]]:
        found: dict[str, tuple[PayloadFacts, ...]] = {}
        for payload in self.payloads.values():
            found[payload.payload_type] = (*found.get(payload.payload_type, ()), payload)
        return found

    def _payload(self, name: str, said: Raw) -> PayloadFacts:
        return PayloadFacts(
            variant=name, payload_type=said.get("payload_type", name), platforms=_platforms(said), _raw=said
        )

    def _messages(self, part: str) -> Mapping[str, CommandFacts]:
        found = {}
        for name, said in self._content[part].items():
            platforms = _platforms(said)
            keys = _keys(said.get("keys", {}), (said,), platforms)
            found[name] = CommandFacts(request_type=name, platforms=platforms, keys=keys)
        return MappingProxyType(found)


@cache
def packaged() -> Catalogue:
    """The release that came with this software, read once."""
    return Catalogue(json.loads(FACTS_FILE.read_text(encoding="utf-8")))


def commands() -> Mapping[str, CommandFacts]:
    """All commands of the packaged release, by RequestType."""
    return packaged().commands


def checkins() -> Mapping[str, CommandFacts]:
    """All check-in messages of the packaged release, by MessageType."""
    return packaged().checkins


def version_of(text: str) -> tuple[int, ...]:
    """A version as numbers; () for anything that is none, which is smaller than all."""
    parts = text.split(".")
    return tuple(int(part) for part in parts) if all(part.isascii() and part.isdigit() for part in parts) else ()


def _platforms(said: Raw) -> Mapping[str, PlatformFacts]:
    return MappingProxyType({name: PlatformFacts(**_tuples(facts)) for name, facts in said["platforms"].items()})


def _tuples(facts: Raw) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()}


def _keys(raw: Raw, chain: tuple[Raw, ...], whole: Mapping[str, PlatformFacts]) -> tuple[KeyFacts, ...]:
    return tuple(_key(name, said, chain, whole) for name, said in raw.items())


def _key(name: str, said: Raw, chain: tuple[Raw, ...], whole: Mapping[str, PlatformFacts]) -> KeyFacts:
    return KeyFacts(
        name=name,
        type=said["type"],
        required=said.get("required", False),
        values=tuple(said.get("values", ())),
        default=said.get("default"),
        minimum=said.get("minimum"),
        maximum=said.get("maximum"),
        pattern=said.get("pattern", ""),
        value_type=said.get("value_type", ""),
        min_items=said.get("min_items"),
        max_items=said.get("max_items"),
        differences=said.get("os", {}),
        _chain=(*chain, said),
        _whole=whole,
    )


def _likeness(variant: PayloadFacts, content: Mapping[str, object]) -> tuple[int, int]:
    names = {key.name for key in variant.keys}
    lacking = sum(1 for key in variant.keys if key.required and key.name not in content)
    return sum(1 for name in content if name in names), -lacking


def _collect_newest(platforms: Mapping[str, PlatformFacts], found: dict[str, str]) -> None:
    for name, facts in platforms.items():
        if version_of(facts.introduced) > version_of(found.get(name, "")):
            found[name] = facts.introduced
