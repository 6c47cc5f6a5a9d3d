"""Holding a command's parameters against Apple's schema before they are queued.

Finds what a device would answer with CommandFormatError. Values outside
Apple's lists and unknown keys pass, since newer systems know more than the
schema at hand, and some of its lists are known to be incomplete.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from protocol.plist import PlistValue
from protocol.schema.facts import KeyFacts, commands

__all__ = ["check"]

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


def check(request_type: str, params: Mapping[str, PlistValue]) -> list[str]:
    """Sentences about missing required keys and wrong types, empty when none; values are never quoted.

    A key is required only where every platform with the command has it. An unknown RequestType is one problem.
    """
    facts = commands().get(request_type)
    if facts is None:
        return [f"Apple's schema has no command {request_type}."]
    return list(_dictionary(params, facts.keys, where=""))


def _dictionary(value: Mapping[str, PlistValue], keys: Sequence[KeyFacts], *, where: str) -> Iterator[str]:
    for key in keys:
        if key.name == "ANY":
            continue
        name = f"{where}{key.name}"
        if key.name in value:
            yield from _value(value[key.name], key, where=name)
        elif key.required_everywhere:
            yield f"{name} is required."


def _value(value: PlistValue, key: KeyFacts, *, where: str) -> Iterator[str]:
    allowed = _TYPES.get(key.type)
    # A boolean is an int in Python, but not in a plist.
    if allowed and (not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed)):
        yield f"{where} must be of the type {key.type}."
    elif isinstance(value, dict):
        yield from _dictionary(value, key.subkeys, where=f"{where}.")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            kind = _kind_of_item(item, key.subkeys)
            if kind is not None:
                yield from _value(item, kind, where=f"{where}[{number}]")


def _kind_of_item(item: PlistValue, kinds: Sequence[KeyFacts]) -> KeyFacts | None:
    """The facts for an item; where an array mixes kinds (Settings), the item's "Item" key tells which one."""
    if len(kinds) == 1:
        return kinds[0]
    named = item.get("Item") if isinstance(item, dict) else None
    return next((kind for kind in kinds if kind.name == named), None)
