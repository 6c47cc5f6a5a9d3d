"""Holding values against Apple's schema: a command's parameters before they are queued, a payload before it is published.

Commands are judged mildly (types and required keys: newer systems know more than the schema at hand); payloads
strictly, key by key, with what would be right. Unknown keys pass in both. Values are never quoted: they may be secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from protocol.plist import PlistValue
from protocol.schema.facts import KeyFacts, PayloadFacts, commands

__all__ = ["Problem", "check", "check_keys", "check_payload", "check_value", "has_variable"]

_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "real": (int, float),
    "boolean": (bool,),
    "data": (bytes,),
    "date": (datetime,),
    "array": (list,),
    "dictionary": (dict,),
}
# What a person calls them.
WORDS: Mapping[str, str] = {
    "string": "text",
    "integer": "a whole number",
    "real": "a number",
    "boolean": "true or false",
    "data": "data",
    "date": "a date",
    "array": "a list",
    "dictionary": "a dictionary",
}
# `{{ device.serial_number }}`: the value is known only when a device asks for it.
_VARIABLE = re.compile(r"\{\{\s{0,20}[A-Za-z][A-Za-z0-9_.-]{0,150}\s{0,20}\}\}")
_MOST_NAMED = 12


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one key: where (names and positions), and a sentence that says what would be right."""

    path: tuple[str | int, ...]
    sentence: str

    @property
    def where(self) -> str:
        """The path as people write it: "OnDemandRules[0].Action"."""
        text = ""
        for step in self.path:
            text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
        return text


def has_variable(text: str) -> bool:
    """Whether a string has a part that is filled in for each device."""
    return _VARIABLE.search(text) is not None


def check(request_type: str, params: Mapping[str, PlistValue]) -> list[str]:
    """Sentences about missing required keys and wrong types, empty when none; values are never quoted.

    A key is required only where every platform with the command has it. An unknown RequestType is one problem.
    """
    facts = commands().get(request_type)
    if facts is None:
        return [f"Apple's schema has no command {request_type}."]
    problems = _dictionary(params, facts.keys, path=(), strict=False)
    return [f"{problem.where} {problem.sentence}" for problem in problems]


def check_payload(facts: PayloadFacts, content: Mapping[str, PlistValue]) -> list[Problem]:
    """Everything in a payload's content that Apple's schema does not allow; common keys (Payload*) are left out."""
    return check_keys(facts.keys, content)


def check_keys(keys: Sequence[KeyFacts], content: Mapping[str, PlistValue]) -> list[Problem]:
    """The same for any dictionary with these keys: a command's parameters, a declaration."""
    return list(_dictionary(content, keys, path=(), strict=True))


def check_value(key: KeyFacts, value: PlistValue) -> list[str]:
    """What is wrong with one scalar value, as sentences without its name ("must be between 4 and 16.")."""
    return [problem.sentence for problem in _value(value, key, path=(key.name,), strict=True)]


def _dictionary(
    value: Mapping[str, PlistValue], keys: Sequence[KeyFacts], *, path: tuple[str | int, ...], strict: bool
) -> Iterator[Problem]:
    named = {key.name for key in keys}
    for key in keys:
        if key.name == "ANY":
            others = [name for name in value if name not in named] if strict else []
            for name in others:
                yield from _value(value[name], key, path=(*path, name), strict=strict)
        elif key.name in value:
            yield from _value(value[key.name], key, path=(*path, key.name), strict=strict)
        elif key.required if strict else key.required_everywhere:
            yield Problem((*path, key.name), "is required.")


def _value(value: PlistValue, key: KeyFacts, *, path: tuple[str | int, ...], strict: bool) -> Iterator[Problem]:
    allowed = _TYPES.get(key.type)
    # A boolean is an int in Python, but not in a plist.
    if allowed and (not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed)):
        expected = WORDS[key.type] if strict else f"of the type {key.type}"
        yield Problem(path, f"must be {expected}.")
    elif isinstance(value, dict):
        yield from _dictionary(value, key.subkeys, path=path, strict=strict)
    elif isinstance(value, list):
        yield from _array(value, key, path=path, strict=strict)
    elif strict:
        yield from (Problem(path, sentence) for sentence in _limits(value, key))


def _array(
    value: Sequence[PlistValue], key: KeyFacts, *, path: tuple[str | int, ...], strict: bool
) -> Iterator[Problem]:
    item = key.item
    if strict and item is not None:
        least, most = item.min_items, item.max_items
        if least is not None and len(value) < least:
            yield Problem(path, f"must have at least {least} items.")
        if most is not None and len(value) > most:
            yield Problem(path, f"must have at most {most} items.")
    for number, entry in enumerate(value):
        kind = _kind_of_item(entry, key.subkeys)
        if kind is not None:
            yield from _value(entry, kind, path=(*path, number), strict=strict)


def _limits(value: PlistValue, key: KeyFacts) -> Iterator[str]:
    if isinstance(value, str) and has_variable(value):
        return
    low, high = key.minimum, key.maximum
    bounded = low is not None or high is not None
    if key.values:
        listed = any(value == known and isinstance(value, bool) == isinstance(known, bool) for known in key.values)
        # A few keys list a value beside their range: 0 for "never", or 1 to 180 minutes.
        if listed or (bounded and _in_range(value, low, high)):
            return
        named = ", ".join(str(known) for known in key.values[:_MOST_NAMED])
        also = f", or {_range(low, high).removeprefix('must ').removesuffix('.')}" if bounded else ""
        yield f"must be one of {named}{' …' if len(key.values) > _MOST_NAMED else ''}{also}."
    elif isinstance(value, int | float) and not isinstance(value, bool) and not _in_range(value, low, high):
        yield _range(low, high)
    if isinstance(value, str) and key.pattern and re.fullmatch(key.pattern, value) is None:
        yield f"must match the pattern {key.pattern}."


def _in_range(value: PlistValue, low: float | None, high: float | None) -> bool:
    return isinstance(value, int | float) and (low is None or value >= low) and (high is None or value <= high)


def _range(low: float | None, high: float | None) -> str:
    if low is None:
        return f"must be {high} or less."
    return f"must be {low} or more." if high is None else f"must be between {low} and {high}."


def _kind_of_item(item: PlistValue, kinds: Sequence[KeyFacts]) -> KeyFacts | None:
    """The facts for an item; where an array mixes kinds (Settings), the item's "Item" key tells which one."""
    if len(kinds) == 1:
        return kinds[0]
    named = item.get("Item") if isinstance(item, dict) else None
    return next((kind for kind in kinds if kind.name == named), None)
