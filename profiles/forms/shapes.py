"""What a form knows about each key before anybody has filled it in: Apple's facts, our words, and where it is nested.

Kept per process for a variant of a catalogue, since nothing here depends on content. Children are made when they are
first asked for: two of Apple's payloads contain themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType

from profiles import overlay
from profiles.forms.texts import text_of
from profiles.overlay import Condition, KeyOverlay
from protocol.schema import Catalogue, KeyFacts, PayloadFacts

__all__ = ["Shape", "Words", "shape_of_keys", "shape_of_payload"]

_ANY = KeyFacts(name="ANY", type="any")
_UNSAID = KeyOverlay()


@dataclass(frozen=True)
class Words:
    """Where labels and help come from: the overlay of a variant, and Apple's own words where they were loaded."""

    variant: str
    catalogue: Catalogue

    def label(self, schema_path: str) -> str:
        """What people call the key at a schema path."""
        return overlay.label(self.variant, schema_path, self.catalogue)

    def help(self, schema_path: str) -> str:
        """A sentence or two about it, or nothing."""
        return overlay.help_of(self.variant, schema_path, self.catalogue)

    def said(self, schema_path: str) -> KeyOverlay:
        """All that the overlay says about it."""
        return overlay.of(self.variant).keys.get(schema_path, _UNSAID)

    @cached_property
    def watched(self) -> frozenset[str]:
        """Names and schema paths of keys that other keys' conditions look at."""
        said = overlay.of(self.variant).keys.values()
        return frozenset(key.shown_when.key.removeprefix("/") for key in said if key.shown_when)


@dataclass(frozen=True, eq=False)
class Shape:
    """One key of the schema, or the payload itself (without a name), as a form shows it."""

    facts: KeyFacts
    schema_path: str
    words: Words
    # The payload's own keys; a key inside it has those of its facts.
    top: tuple[KeyFacts, ...] | None = None

    @property
    def name(self) -> str:
        return self.facts.name

    @property
    def type(self) -> str:
        return self.facts.type

    @cached_property
    def label(self) -> str:
        """What people call it."""
        return self.words.label(self.schema_path)

    @cached_property
    def help(self) -> str:
        """A sentence or two about it, or nothing."""
        return self.words.help(self.schema_path)

    @cached_property
    def said(self) -> KeyOverlay:
        return self.words.said(self.schema_path)

    @property
    def condition(self) -> Condition | None:
        return self.said.shown_when

    @cached_property
    def is_secret(self) -> bool:
        """Whether its value is never shown again. Numbers and switches are no secrets."""
        return self.said.secret and self.type in {"string", "data"}

    @cached_property
    def is_watched(self) -> bool:
        """Whether another key appears or goes with its value."""
        return not self.words.watched.isdisjoint({self.name, self.schema_path})

    @cached_property
    def choices(self) -> Mapping[str, str]:
        """The text of each value that Apple lists, and its title; empty where anything goes, also beside a range."""
        is_all = self.facts.minimum is None and self.facts.maximum is None
        values = self.facts.values if is_all else ()
        titles = overlay.value_titles(self.words.variant, self.schema_path, values)
        return MappingProxyType({
            text_of(float(value) if self.type == "real" else value): titles[value] for value in values
        })  # fmt: skip

    @cached_property
    def default_text(self) -> str:
        """What the system takes while the key is not set, for people; "" where Apple does not say."""
        default = self.facts.default
        if default is None or default == "":
            return ""
        return self.choices.get(text_of(default), text_of(default))

    @cached_property
    def condition_note(self) -> str:
        """When the key is looked at, as a sentence; "" where it always is."""
        condition = self.condition
        if condition is None:
            return ""
        parent = self.schema_path.removesuffix(self.name)
        path = condition.key[1:] if condition.key.startswith("/") else parent + condition.key
        titles = self.words.said(path).values
        named = " or ".join(titles.get(value) or text_of(value) for value in condition.values)
        return f"Only used when “{self.words.label(path)}” is {named}."

    @property
    def _keys(self) -> Sequence[KeyFacts]:
        return self.facts.subkeys if self.top is None else self.top

    @cached_property
    def children(self) -> Mapping[str, Shape]:
        """The named keys inside a dictionary."""
        return MappingProxyType({key.name: self._below(key) for key in self._keys if key.name != "ANY"})

    @cached_property
    def free(self) -> Shape | None:
        """What stands under a key of any name; None where a dictionary's keys are fixed."""
        if self.type != "dictionary":
            return None
        keys = self._keys
        return next((self._below(key) for key in keys if key.name == "ANY"), None if keys else self._below(_ANY))

    @cached_property
    def kinds(self) -> tuple[Shape, ...]:
        """What the items of an array may be: one kind, but for a few commands."""
        return tuple(self._below(key) for key in self._keys or (_ANY,))

    def kind(self, name: str) -> Shape:
        """The kind of item with a name; the first where there is none of that name."""
        return next((kind for kind in self.kinds if kind.name == name), self.kinds[0])

    @cached_property
    def haystack(self) -> str:
        """What a search looks through: names and labels of the key and of those below it."""
        inside = [*self._keys] if self.schema_path else []
        names = [
            self.name,
            self.label,
            self.help,
            *(key.name for key in inside),
            *(s.name for k in inside for s in k.subkeys),
        ]
        return " ".join(dict.fromkeys(" ".join(names).lower().split()))

    def _below(self, key: KeyFacts) -> Shape:
        path = f"{self.schema_path}.{key.name}" if self.schema_path else key.name
        return Shape(facts=key, schema_path=path, words=self.words)


@lru_cache(maxsize=400)
def shape_of_payload(facts: PayloadFacts, catalogue: Catalogue) -> Shape:
    """The shape of a payload; the same object every time, so that its words are put together once."""
    return shape_of_keys(facts.keys, words=Words(facts.variant, catalogue))


def shape_of_keys(keys: Sequence[KeyFacts], *, words: Words) -> Shape:
    """The shape of a dictionary with these keys: a payload, a command's parameters, a declaration."""
    return Shape(facts=KeyFacts(name="", type="dictionary"), schema_path="", words=words, top=tuple(keys))
