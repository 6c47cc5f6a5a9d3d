"""The small marks at a key: which systems have it since when, and what else it asks of a device.

What holds for the whole payload is said once, above the form, and not again at each of its keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

from protocol.schema import KeyFacts, PlatformFacts

__all__ = ["badges", "badges_of_payload"]

Demand: TypeAlias = tuple[str, Callable[[PlatformFacts], bool]]
# By the name that Apple's differences have for them.
_DEMANDS: Mapping[str, Demand] = {
    "supervised": ("supervised", lambda facts: facts.supervised),
    "user_enrollment": ("not in User Enrollment", lambda facts: facts.user_enrollment == "forbidden"),
}


def badges(key: KeyFacts) -> tuple[str, ...]:
    """The marks of one key, as short words ("iOS 17.0+", "supervised"): only what it says beyond its payload."""
    if not key.differences:
        return ()
    said = {name for differences in key.differences.values() for name in differences}
    own = [demand for name, demand in _DEMANDS.items() if name in said]
    return (*_systems(key.platforms), *_demands(key.platforms, own))


def badges_of_payload(platforms: Mapping[str, PlatformFacts]) -> tuple[str, ...]:
    """The marks of a payload, from the platforms that have it."""
    return (*_systems(platforms), *_demands(platforms, _DEMANDS.values()))


def _systems(platforms: Mapping[str, PlatformFacts]) -> tuple[str, ...]:
    return tuple(_system(name, facts) for name, facts in platforms.items())


def _system(name: str, facts: PlatformFacts) -> str:
    text = f"{name} {facts.introduced}+"
    if facts.removed:
        return f"{text} (removed in {facts.removed})"
    return f"{text} (deprecated in {facts.deprecated})" if facts.deprecated else text


def _demands(platforms: Mapping[str, PlatformFacts], demands: Iterable[Demand]) -> Iterator[str]:
    for word, holds in demands:
        named = [name for name, facts in platforms.items() if holds(facts)]
        if named:
            yield word if len(named) == len(platforms) else f"{word} ({', '.join(named)})"
