"""A payload's content as a table of keys for people: where, what it is called, what it says. Pure.

Secrets never appear: a key that is marked as one, or is called like one where Apple says nothing about it, is masked
unless it only names a stored secret (`{{ secret.NAME }}`). Used by differences, merges and the pages of revisions.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from profiles import overlay
from profiles.overlay.names import derived
from profiles.variables import SECRET, names_in, placeholder
from protocol.plist import PlistValue
from protocol.schema import Catalogue, KeyFacts

MASK = "••••••"
LONGEST = 300
_COMMON_TITLES = {
    "PayloadDisplayName": "Name",
    "PayloadDescription": "Description",
    "PayloadOrganization": "Organization",
}
# Where no schema tells: keys of vendors' dictionaries and of payload types that Apple does not document.
_CALLED_SECRET = re.compile(r"pass(word|phrase|code$)|secret|token|private.?key|credential|challenge", re.IGNORECASE)
_BARE = re.compile(r"\{\{[^{}]*\}\}")


@dataclass(frozen=True, slots=True)
class Leaf:
    """One key that is set: its path for people ("IKEv2.OnDemandRules[0].Action"), title, value and how it is shown."""

    path: str
    title: str
    value: PlistValue = field(repr=False)
    is_secret: bool = False
    # What the form calls the value ("Only EAP" for "None"); "" where it has no words of its own.
    meaning: str = ""

    @property
    def text(self) -> str:
        """The value for people, masked when it is a secret."""
        return shown(self.value, is_secret=self.is_secret)

    @property
    def sentence(self) -> str:
        """The value in one line: what the form calls it, and as it is."""
        return f"{self.meaning} ({self.text})" if self.meaning else self.text


def leaves(variant: str, content: Mapping[str, PlistValue], *, catalogue: Catalogue) -> Iterator[Leaf]:
    """The keys that are set, in their order. Dictionaries unfold; lists of plain values stay one key."""
    facts = catalogue.payloads.get(variant)
    walk = _Walk(variant, catalogue, overlay.secret_paths(variant))
    yield from walk.dictionary(content, facts.as_key if facts else None, path="", schema="")


def shown(value: PlistValue, *, is_secret: bool = False) -> str:
    """A value for people: texts cut, data as its size, a secret as its name or as dots."""
    if is_secret and not _only_names_secrets(value):
        return MASK
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        named = sorted(names_in(value))
        return placeholder(named[0]) if named else f"{len(value):,} bytes"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    if isinstance(value, list | dict):
        return _collection(value)
    return _cut(str(value)) or "empty text"


@dataclass(frozen=True, slots=True)
class _Walk:
    variant: str
    catalogue: Catalogue
    secrets: frozenset[str]

    def dictionary(
        self, content: Mapping[str, PlistValue], facts: KeyFacts | None, *, path: str, schema: str, secret: bool = False
    ) -> Iterator[Leaf]:
        known = {key.name: key for key in facts.subkeys} if facts else {}
        for name, value in content.items():
            inner = known.get(name) or known.get("ANY")
            step = inner.name if inner else name
            below = f"{schema}.{step}" if schema else step
            yield from self._value(
                value,
                inner,
                path=f"{path}.{name}" if path else name,
                schema=below,
                title=self._title(name, inner, below),
                secret=secret or self._is_secret(name, inner, below),
            )

    def _value(
        self, value: PlistValue, facts: KeyFacts | None, *, path: str, schema: str, title: str, secret: bool
    ) -> Iterator[Leaf]:
        if isinstance(value, dict) and value:
            yield from self.dictionary(value, facts, path=path, schema=schema, secret=secret)
        elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
            item_facts = facts.item if facts else None
            below = f"{schema}.{item_facts.name}" if item_facts else schema
            secret = secret or below in self.secrets
            for number, item in enumerate(value):
                yield from self._value(
                    item, item_facts, path=f"{path}[{number}]", schema=below, title=title, secret=secret
                )
        else:
            item_facts = facts.item if facts and isinstance(value, list) else None
            below = f"{schema}.{item_facts.name}" if item_facts else schema
            secret = secret or below in self.secrets
            meaning = "" if secret else self._meaning(value, item_facts or facts, below)
            yield Leaf(path, title, value, secret, meaning)

    def _meaning(self, value: PlistValue, facts: KeyFacts | None, schema: str) -> str:
        """The value, or each of a list's, as the form says it."""
        values = value if isinstance(value, list) else [value]
        titles = [_titled(self.variant, schema, facts, one) for one in values] if facts else []
        said = ", ".join(title or shown(one) for title, one in zip(titles, values, strict=False))
        return _cut(said) if any(titles) else ""

    def _title(self, name: str, facts: KeyFacts | None, schema: str) -> str:
        if facts is None or facts.name != name:
            return _COMMON_TITLES.get(name) or derived(name)
        return overlay.label(self.variant, schema, self.catalogue)

    def _is_secret(self, name: str, facts: KeyFacts | None, schema: str) -> bool:
        if schema in self.secrets:
            return True
        # A fixed key of Apple's is secret only if the overlay says so ("PasswordHistory" is none).
        return (facts is None or facts.name != name) and _CALLED_SECRET.search(name) is not None


def _titled(variant: str, schema: str, facts: KeyFacts, value: PlistValue) -> str:
    """What the form calls one value, as `profiles.forms` offers them; "" where that is the value itself."""
    if isinstance(value, bool):
        # Where a number is wanted, true is another value than the 1 that equals it here.
        said = overlay.of(variant).keys.get(schema)
        return said.values.get(value, "") if said and facts.type == "boolean" else ""
    if isinstance(value, float) and facts.type != "real":
        return ""
    if not isinstance(value, str | int | float) or value not in facts.values:
        return ""
    title = overlay.value_titles(variant, schema, facts.values)[value]
    return "" if title == str(value) else title


def _only_names_secrets(value: PlistValue) -> bool:
    """Whether a text or data is nothing but the name of a stored secret."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    if not isinstance(text, str):
        return False
    names = names_in(text)
    return (
        len(names) == 1 and all(name.startswith(SECRET) for name in names) and _BARE.fullmatch(text.strip()) is not None
    )


def _collection(value: list[PlistValue] | dict[str, PlistValue]) -> str:
    if isinstance(value, dict):
        return f"{len(value)} keys" if value else "an empty dictionary"
    return _cut(", ".join(shown(item) for item in value)) if value else "an empty list"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text):,} characters)"
