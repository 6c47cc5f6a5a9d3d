"""Payloads and keys against the devices in scope: platform, version, supervision, User Enrollment, Shared iPad.

A device that cannot take a payload is no error: fleets grow newer by themselves. What many keys have in common is one
finding. Facts are Apple's (`protocol.schema`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from profiles import overlay
from profiles.checks.contents import Item, Spot, walk
from profiles.checks.findings import Finding, Severity, counted
from profiles.checks.fleet import Segment, total
from profiles.pairing import listed
from protocol.schema import Catalogue, PlatformFacts

Facts = Mapping[str, PlatformFacts]
Test = Callable[[Segment, PlatformFacts], bool]


@dataclass(frozen=True, slots=True)
class Complaint:
    """What some devices make of a payload or key. In `words`, "[s]" ends a verb in the singular and "[is|are]" differs."""

    severity: Severity
    words: str
    devices: int = 0

    def sentence(self, subjects: Sequence[str]) -> str:
        """The whole sentence about these keys; about the payload itself without any."""
        one = len(subjects) <= 1
        words = self.words.replace("[s]", "s" if one else "").replace("[is|are]", "is" if one else "are")
        return f"{listed(list(subjects))} {words}" if subjects else words


# The first that is true is what people are told: of a device that lacks the key its version does not matter.
def _complaints(facts: Facts, segments: Sequence[Segment], *, whole: bool) -> Iterator[tuple[Complaint, list[Segment]]]:
    left = [segment for segment in segments if segment.system]
    cases: tuple[tuple[Test, Callable[[Facts, list[Segment]], str]], ...] = (
        (lambda segment, said: said.user_enrollment == "forbidden" and segment.is_user_enrollment, _forbidden),
        (lambda segment, said: said.shared_ipad == "forbidden" and segment.shared, _not_shared),
        (lambda segment, said: segment.is_older(said.introduced), _older),
        (lambda segment, said: segment.has_reached(said.removed), _removed),
        (lambda segment, said: said.user_enrollment == "ignored" and segment.is_user_enrollment, _ignored),
        (lambda segment, said: said.supervised and segment.supervised is False, _unsupervised),
        (lambda segment, said: segment.has_reached(said.deprecated), _deprecated),
    )
    lacking = [segment for segment in left if segment.system not in facts]
    left = [segment for segment in left if segment.system in facts]
    if lacking:
        grave = whole or not left
        yield _complaint(Severity.WARNING if grave else Severity.NOTE, _lacking(facts, lacking), lacking), lacking
    for is_so, words in cases:
        hit = [segment for segment in left if is_so(segment, facts[segment.system])]
        if hit:
            yield _complaint(Severity.WARNING, words(facts, hit), hit), hit
            left = [segment for segment in left if segment not in hit]


def check_platforms(items: Sequence[Item], segments: Sequence[Segment], catalogue: Catalogue) -> Iterator[Finding]:
    """What the devices in scope cannot take or will ignore; without devices, what Apple no longer wants."""
    for item in items:
        if item.facts is None:
            continue
        left = list(segments)
        for complaint, hit in _complaints(item.facts.platforms, segments, whole=True):
            yield item.finding(complaint.severity, complaint.sentence([]), devices=complaint.devices)
            left = [segment for segment in left if segment not in hit]
        yield from _keys(item, left, catalogue)
        yield from _notes(item, segments)
        if not total(segments):
            yield from _out_of_date(item, catalogue)


def _keys(item: Item, segments: Sequence[Segment], catalogue: Catalogue) -> Iterator[Finding]:
    found: dict[Complaint, dict[str, Spot]] = {}
    for spot in walk(item):
        if not spot.key.differences:
            continue
        for complaint, _ in _complaints(spot.key.platforms, segments, whole=False):
            same = found.setdefault(complaint, {})
            # What holds for a dictionary holds for all that is in it.
            if not any(spot.schema_path == above or spot.schema_path.startswith(f"{above}.") for above in same):
                same[spot.schema_path] = spot
    for complaint, spots in found.items():
        yield _about(item, complaint, spots, catalogue)


def _about(item: Item, complaint: Complaint, spots: Mapping[str, Spot], catalogue: Catalogue) -> Finding:
    labels = [overlay.label(item.variant, path, catalogue) for path in spots]
    where = next(iter(spots.values())).where if len(spots) == 1 else ""
    return item.finding(complaint.severity, complaint.sentence(labels), path=where, devices=complaint.devices)


def _notes(item: Item, segments: Sequence[Segment]) -> Iterator[Finding]:
    platforms = item.facts.platforms if item.facts else {}
    macs = total(segments, lambda segment: segment.system == "macOS")
    if macs and "macOS" in platforms and platforms["macOS"].user_approved:
        sentence = "works on Macs only whose user approved the enrollment, or that were enrolled automatically."
        yield item.finding(Severity.NOTE, sentence)


def _out_of_date(item: Item, catalogue: Catalogue) -> Iterator[Finding]:
    platforms = item.facts.platforms if item.facts else {}
    if _old(platforms):
        yield item.finding(Severity.NOTE, Complaint(Severity.NOTE, _old(platforms)).sentence([]))
        return
    found: dict[str, dict[str, Spot]] = {}
    for spot in walk(item):
        words = _old(spot.key.platforms) if spot.key.differences else ""
        if words:
            found.setdefault(words, {})[spot.schema_path] = spot
    for words, spots in found.items():
        yield _about(item, Complaint(Severity.NOTE, words), spots, catalogue)


def _old(facts: Facts) -> str:
    """What Apple says everywhere: no longer. Empty while one platform still wants it."""
    since = [f"{name} {said.removed or said.deprecated}" for name, said in facts.items()]
    if not facts or not all(said.removed or said.deprecated for said in facts.values()):
        return ""
    return f"[is|are] no longer wanted by Apple since {listed(since)}."


def _complaint(severity: Severity, words: str, hit: Sequence[Segment]) -> Complaint:
    return Complaint(severity, words, total(hit))


def _lacking(facts: Facts, hit: Sequence[Segment]) -> str:
    what = listed(list(facts)) or "no platform of the schema"
    return f"[is|are] for {what} only; {_devices(hit)} in scope run{_s(hit)} something else."


def _older(facts: Facts, hit: Sequence[Segment]) -> str:
    needs = " or ".join(_versions(hit, {name: said.introduced for name, said in facts.items()}))
    return f"need[s] {needs}; {_devices(hit)} in scope {_are(hit)} older and will ignore it."


def _removed(facts: Facts, hit: Sequence[Segment]) -> str:
    since = listed(_versions(hit, {name: said.removed for name, said in facts.items()}))
    return f"[is|are] gone since {since}; {_devices(hit)} in scope no longer know{_s(hit)} it."


def _deprecated(facts: Facts, hit: Sequence[Segment]) -> str:
    since = listed(_versions(hit, {name: said.deprecated for name, said in facts.items()}))
    return f"[is|are] deprecated since {since}, which {_devices(hit)} in scope run{_s(hit)}."


def _unsupervised(_: Facts, hit: Sequence[Segment]) -> str:
    return f"work[s] on supervised devices only; {_devices(hit)} in scope {_are(hit)} not supervised."


def _forbidden(_: Facts, hit: Sequence[Segment]) -> str:
    return f"[is|are] not allowed in User Enrollment, by which {_devices(hit)} in scope {_are(hit)} enrolled."


def _ignored(_: Facts, hit: Sequence[Segment]) -> str:
    return f"[is|are] ignored in User Enrollment, by which {_devices(hit)} in scope {_are(hit)} enrolled."


def _not_shared(_: Facts, hit: Sequence[Segment]) -> str:
    return f"[is|are] not allowed on Shared iPad; {_devices(hit)} in scope {_are(hit)} shared."


def _versions(hit: Sequence[Segment], versions: Mapping[str, str | None]) -> list[str]:
    systems = {segment.system for segment in hit}
    return [f"{name} {version}" for name, version in versions.items() if name in systems]


def _devices(hit: Sequence[Segment]) -> str:
    return counted(total(hit))


def _are(hit: Sequence[Segment]) -> str:
    return "is" if total(hit) == 1 else "are"


def _s(hit: Sequence[Segment]) -> str:
    return "s" if total(hit) == 1 else ""
