"""Which keys of a payload make sense for what is set in it already: conditions of the overlay at work.

A hidden key is one that the system would not look at. Whether it is left out of a form or of a check is their affair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from profiles.overlay.facts import Condition, Content
from protocol.plist import PlistValue
from protocol.schema import KeyFacts

__all__ = ["Visibility"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Visibility:
    """The conditions of one payload, held against its content. Keys the schema does not know are never hidden."""

    conditions: Mapping[str, Condition]
    keys: Sequence[KeyFacts]
    content: Content

    def hides(self, path: Sequence[str | int]) -> bool:
        """Whether the key at a value path, or a dictionary around it, does not apply."""
        here: PlistValue = dict(self.content)
        known: Sequence[KeyFacts] = self.keys
        names: list[str] = []
        for step in path:
            key = _key(known, step)
            if key is None:
                return False
            names.append(key.name)
            condition = self.conditions.get(".".join(names))
            siblings = here if isinstance(here, dict) else {}
            if condition is not None and not condition.holds(siblings, self.content):
                return True
            here, known = _below(here, step), key.subkeys
        return False


def _key(known: Sequence[KeyFacts], step: str | int) -> KeyFacts | None:
    if isinstance(step, int):
        return known[0] if known else None
    named = {key.name: key for key in known}
    return named.get(step) or named.get("ANY")


def _below(value: PlistValue, step: str | int) -> PlistValue:
    """What stands at the step; an empty dictionary where nothing does, which is what its own keys see."""
    if isinstance(value, list) and isinstance(step, int):
        return value[step] if 0 <= step < len(value) else {}
    return value.get(step, {}) if isinstance(value, dict) and isinstance(step, str) else {}
