"""Who gets a bundle when it is published, who cannot use it, who loses it, and which parts are sent again.

Only counted, in a fixed number of statements whatever the fleet's size; the same rules as `profiles.wishes` and
`profiles.planning`, asked for one draft over the whole fleet. Nothing is decided or changed here.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db.models import Count, Exists, OuterRef, QuerySet

from devices.models import Device, Enrollment, LadderState
from profiles.building import Built
from profiles.checks.findings import counted
from profiles.checks.fleet import Segment, segments_of, total
from profiles.models import Assignment, Bundle, Installation, Part, Scope
from profiles.scope import devices_reached
from profiles.wishes import USER_CHANNELS
from protocol.schema import Catalogue, PayloadFacts

PART_WORDS = {Part.WHOLE: "The profile", Part.REQUIREMENT: "The requirement", Part.CAPABILITY: "The capability"}
_GONE = (LadderState.REMOVED, LadderState.REMOVING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """The funnel in devices: in scope, minus excluded, minus those without a channel for the scope, is who gets it.

    `unable` are those who get it and can use none of it, with why. `leaving` hold it and are no longer in scope.
    """

    included: int
    excluded: int
    without_channel: int
    gets: int
    unable: tuple[tuple[str, int], ...]
    leaving: int


@dataclass(frozen=True, slots=True)
class Effect:
    """What a publish does with one part on devices: how many are sent it, and a sentence."""

    title: str
    name: str
    sends: int
    sentence: str


def receivers(bundle: Bundle, assignments: Sequence[Assignment]) -> QuerySet[Device]:
    """The devices in scope that have a channel for the bundle's scope: those that a publish reaches."""
    channels = Enrollment.objects.enrolled().filter(device=OuterRef("pk"))
    is_for_users = bundle.scope == Scope.USER
    channels = channels.filter(kind__in=USER_CHANNELS) if is_for_users else channels.device_channel()
    return devices_reached(assignments).filter(Exists(channels))


def audience(
    bundle: Bundle, built: Sequence[Built], assignments: Sequence[Assignment], *, catalogue: Catalogue
) -> Audience:
    """The funnel of a bundle with these assignments, whose groups are loaded."""
    only_included = [row for row in assignments if not row.excluded]
    included = devices_reached(only_included).count()
    in_scope = included if len(only_included) == len(assignments) else devices_reached(assignments).count()
    segments = segments_of(receivers(bundle, assignments))
    held = Installation.objects.filter(bundle=bundle).exclude(state=LadderState.REMOVED)
    leaving = held.exclude(enrollment__device__in=devices_reached(assignments).values("pk"))
    gets = total(segments)
    return Audience(
        included=included,
        excluded=included - in_scope,
        without_channel=in_scope - gets,
        gets=gets,
        unable=_unable(segments, {name for profile in built for name in profile.payload_types}, catalogue),
        leaving=leaving.aggregate(devices=Count("enrollment__device", distinct=True))["devices"],
    )


def effects(bundle: Bundle, built: Sequence[Built], gets: int) -> list[Effect]:
    """Part by part what happens on devices. One statement."""
    rows = Installation.objects.filter(bundle=bundle, wanted=True).exclude(state__in=_GONE)
    counts = rows.order_by().values_list("part", "profile__uuid").annotate(devices=Count("enrollment", distinct=True))
    holders = {(part, uuid): number for part, uuid, number in counts}
    found = [_effect(profile, holders, gets) for profile in built]
    parts = {profile.part for profile in built}
    for part in (Part.CAPABILITY, Part.REQUIREMENT, Part.WHOLE):
        number = sum(count for (held, _), count in holders.items() if held == part)
        # A requirement and a whole profile carry one identifier: the one replaces the other.
        replaced = part != Part.CAPABILITY and bool(parts & {Part.WHOLE, Part.REQUIREMENT})
        if part not in parts and number and not replaced:
            found.append(
                Effect(PART_WORDS[part], "", 0, f"Goes away from {counted(number)}: the draft has none any more.")
            )
    return found


def _effect(profile: Built, holders: dict[tuple[str, str], int], gets: int) -> Effect:
    has_old = any(part == profile.part and uuid != profile.uuid for part, uuid in holders)
    keeps = min(holders.get((profile.part, profile.uuid), 0), gets)
    sends = gets - keeps
    if keeps:
        more = f", and sent to {counted(sends)} more" if sends else ""
        sentence = f"Unchanged: not sent again to the {counted(keeps)} that {_have(keeps)} it{more}."
    else:
        sentence = f"{'Changed: sent' if has_old else 'Sent'} to {counted(sends)}."
    if profile.part == Part.CAPABILITY and sends:
        sentence += " Each gets it once it has proved the requirement."
    if profile.part == Part.REQUIREMENT and has_old and not keeps:
        sentence += " Devices then prove it again; those that have the capability keep it meanwhile."
    if profile.variables or profile.encrypt_to_device:
        how = "with its own values" if profile.variables else "encrypted to it"
        sentence += f" Every device gets it {how}."
    return Effect(PART_WORDS[profile.part], profile.display_name, sends, sentence)


def _have(number: int) -> str:
    return "has" if number == 1 else "have"


def _unable(
    segments: Iterable[Segment], payload_types: Iterable[str], catalogue: Catalogue
) -> tuple[tuple[str, int], ...]:
    described = [catalogue.variants(name) for name in payload_types]
    if not described or not all(described):
        # A type that Apple does not document may work anywhere.
        return ()
    facts = [variant for variants in described for variant in variants]
    found: Counter[str] = Counter()
    for segment in segments:
        if segment.system:
            reasons = [_obstacle(variant, segment) for variant in facts]
            if all(reasons):
                # The one nearest to working says what would help.
                found[min(reasons, key=_distance)] += segment.devices
    return tuple(found.most_common())


def _obstacle(facts: PayloadFacts, segment: Segment) -> str:
    """Why a segment's devices ignore or refuse a payload; empty when they do not."""
    there = facts.platforms.get(segment.system)
    if there is None:
        return f"no payload of it exists on {segment.platform}"
    if segment.is_older(there.introduced):
        return f"needs {segment.platform} {there.introduced} or newer"
    if there.supervised and segment.supervised is False:
        return "needs supervision"
    return ""


def _distance(reason: str) -> int:
    return next(number for number, word in enumerate(("supervision", "newer", "exists")) if word in reason)
