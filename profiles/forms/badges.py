"""The small marks at a key: which systems have it since when, and what else it asks of a device.

A key that is there wherever its payload is has none: that is said once, above the form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from protocol.schema import KeyFacts, PlatformFacts

__all__ = ["badges", "badges_of_payload"]


def badges(key: KeyFacts) -> tuple[str, ...]:
    """The marks of one key, as short words ("iOS 17.0+", "supervised")."""
    return badges_of_payload(key.platforms) if key.differences else ()


def badges_of_payload(platforms: Mapping[str, PlatformFacts]) -> tuple[str, ...]:
    """The marks of a payload, from the platforms that have it."""
    return (
        *(_system(name, facts) for name, facts in platforms.items()),
        *_where("supervised", platforms, lambda facts: facts.supervised),
        *_where("not in User Enrollment", platforms, lambda facts: facts.user_enrollment == "forbidden"),
    )


def _system(name: str, facts: PlatformFacts) -> str:
    text = f"{name} {facts.introduced}+"
    if facts.removed:
        return f"{text} (removed in {facts.removed})"
    return f"{text} (deprecated in {facts.deprecated})" if facts.deprecated else text


def _where(
    word: str, platforms: Mapping[str, PlatformFacts], holds: Callable[[PlatformFacts], bool]
) -> tuple[str, ...]:
    named = [name for name, facts in platforms.items() if holds(facts)]
    if not named:
        return ()
    return (word,) if len(named) == len(platforms) else (f"{word} ({', '.join(named)})",)
