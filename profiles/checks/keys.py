"""Each payload by itself: Apple's schema key by key, and our own rules for keys that depend on each other.

Values are never quoted, for they may be secret. Apple's schema is `protocol.schema`, our rules `profiles.overlay`.
"""

from collections.abc import Iterator, Sequence

from profiles import overlay
from profiles.checks.contents import Item, key_at
from profiles.checks.findings import Finding, Severity, counted
from profiles.pairing import listed
from protocol.schema import Catalogue, Problem, check_payload

_REQUIRED = "is required."


def check_keys(items: Sequence[Item], catalogue: Catalogue) -> Iterator[Finding]:
    """What is wrong within each payload, and what nobody can check."""
    for item in items:
        if item.facts is None:
            sentence = f"Apple's schema does not know {item.payload_type[:100]}; it is delivered as it is, unchecked."
            yield item.finding(Severity.NOTE, sentence)
            continue
        for severity, problem in (*_schema(item, catalogue), *overlay.judge(item.variant, item.content)):
            about = f"{subject(item, problem.path, catalogue)} " if problem.path else ""
            yield item.finding(Severity(severity), f"{about}{problem.sentence}", path=problem.where)
        yield from _unknown_keys(item)


def subject(item: Item, path: Sequence[str | int], catalogue: Catalogue) -> str:
    """What people call a key, with its place where it stands in a list: "Action (OnDemandRules[1].Action)"."""
    where = Problem(tuple(path), "").where
    schema_path, key = key_at(item.facts, path) if item.facts else ("", None)
    if key is None or key.name == "ANY":
        return where
    name = overlay.label(item.variant, schema_path, catalogue)
    return f"{name} ({where})" if any(isinstance(step, int) for step in path) else name


def _schema(item: Item, catalogue: Catalogue) -> Iterator[tuple[Severity, Problem]]:
    """What Apple's schema does not allow. A required key may be missing where the device does not look for it."""
    if item.facts is None:
        return
    shown = overlay.visible(item.variant, item.content, catalogue=catalogue)
    for problem in check_payload(item.facts, item.content):
        if problem.sentence != _REQUIRED or not shown.hides(problem.path):
            yield Severity.ERROR, problem


def _unknown_keys(item: Item) -> Iterator[Finding]:
    known = {key.name for key in item.facts.keys} if item.facts else set()
    unknown = sorted(name[:60] for name in item.content if name not in known)
    if unknown and known and "ANY" not in known:
        sentence = (
            f"Apple's schema does not know {counted(len(unknown), 'key')}, delivered unchecked: {listed(unknown)}."
        )
        yield item.finding(Severity.NOTE, sentence)
