"""What other bundles do to the same devices: the same names, payloads of which a device takes one, keys set twice.

Two statements find them, one reads what may clash, and one counts the devices, whatever the fleet's size. Which value
wins on a device is never promised: Apple says so for few keys only.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Count, Q, QuerySet

from devices.models import Device, Platform
from profiles import overlay
from profiles.checks.contents import Content, Item, own_keys, text_of
from profiles.checks.delivery import payloads_of
from profiles.checks.findings import Finding, Severity, counted
from profiles.importing import CAPABILITY_PREFIXES
from profiles.models import Assignment, Bundle, Profile
from profiles.pairing import listed
from profiles.scope import devices_reached
from protocol.plist import PlistValue, dumps
from protocol.schema import Catalogue, PayloadFacts

# A device holds several of them side by side: each is a thing of its own, whose keys are not the other's.
_INSTANCES = (
    *CAPABILITY_PREFIXES, "com.apple.webClip.", "com.apple.font", "com.apple.extensiblesso", "com.apple.sso",
    "com.apple.dnsSettings.", "com.apple.airp", "com.apple.ManagedClient.", "com.apple.notificationsettings",
    "com.apple.webcontent-filter", "com.apple.systempolicy.rule", "com.apple.cellularprivatenetwork.",
    "com.apple.osxserver.", "com.apple.jabber.", "com.apple.AIM.", "com.apple.configurationprofile.",
    "com.apple.security.certificatepreference", "com.apple.security.identitypreference",
)  # fmt: skip
# More than these cannot be read by a person; they bound what one page decrypts.
_MOST_PROFILES = 60
_MOST_CLASHES = 40


@dataclass(frozen=True, slots=True)
class _Clash:
    """Something that matters where both bundles are on one device, on these platforms (all when empty)."""

    bundle: Bundle
    item: Item
    words: str
    path: str = ""
    platforms: tuple[str, ...] = ()


def check_single(items: Sequence[Item]) -> Iterator[Finding]:
    """Several payloads of a kind of which a device takes only one, within the bundle."""
    seen: set[str] = set()
    for item in items:
        if item.facts is not None and item.variant in seen:
            single = _single(item.facts)
            if len(single) == len(item.facts.platforms):
                yield item.finding(Severity.ERROR, f"is one too many: a device takes one {_title(item)} only.")
            elif single:
                sentence = f"is one too many on {listed(list(single))}, which takes one {_title(item)} only."
                yield item.finding(Severity.WARNING, sentence)
        seen.add(item.variant)


def check_neighbours(
    bundle: Bundle,
    items: Sequence[Item],
    devices: QuerySet[Device],
    *,
    identifiers: Sequence[str],
    catalogue: Catalogue,
) -> Iterator[Finding]:
    """Everything that other published bundles share with this one. `devices` are those in scope."""
    profiles = _current_profiles(bundle)
    for profile in profiles:
        if profile.identifier in identifiers:
            sentence = (
                f'The bundle "{profile.revision.bundle}" has a profile with the PayloadIdentifier '
                f"{profile.identifier[:100]}: devices would replace the one by the other."
            )
            yield Finding(Severity.ERROR, sentence)
    clashes = list(_clashes(items, profiles, catalogue))[:_MOST_CLASHES]
    for clash, number in _counted(clashes, devices):
        if number:
            sentence = f"{clash.words}, on {counted(number)}."
            yield clash.item.finding(Severity.WARNING, sentence, path=clash.path, devices=number)


def _current_profiles(bundle: Bundle) -> list[Profile]:
    """The profiles of all other bundles' current revisions, without their bytes. One statement."""
    current = Bundle.objects.exclude(pk=bundle.pk).exclude(current_revision=None).values("current_revision")
    rows = Profile.objects.filter(revision__in=current).select_related("revision__bundle")
    return list(rows.defer("content", "signed", "revision__draft", "revision__bundle__original").order_by("pk"))


def _clashes(items: Sequence[Item], profiles: Sequence[Profile], catalogue: Catalogue) -> Iterator[_Clash]:
    mine = [item for item in items if item.facts is not None and (_single(item.facts) or _is_setting(item))]
    types = {item.payload_type for item in mine}
    near = [profile for profile in profiles if types.intersection(profile.payload_types)][:_MOST_PROFILES]
    if not near:
        return
    whole = Profile.objects.filter(pk__in=[profile.pk for profile in near]).only("content").in_bulk()
    for profile in near:
        for payload in payloads_of(whole[profile.pk]):
            theirs = own_keys(payload, catalogue)
            facts = catalogue.match(text_of(payload, "PayloadType"), theirs)
            for item in mine:
                if facts is not None and facts.variant == item.variant:
                    yield from _between(item, theirs, profile.revision.bundle, catalogue=catalogue)


def _between(item: Item, theirs: Content, other: Bundle, *, catalogue: Catalogue) -> Iterator[_Clash]:
    single = _single(item.facts) if item.facts else ()
    if single:
        words = f'a device takes one {_title(item)} only, and the bundle "{other}" brings another'
        yield _Clash(other, item, words, platforms=single)
    if not _is_setting(item):
        return
    ours, others = dict(_leaves(item.content)), dict(_leaves(theirs))
    differ = [path for path in ours if path in others and dumps({"": ours[path]}) != dumps({"": others[path]})]
    if differ:
        labels = [overlay.label(item.variant, ".".join(path), catalogue) for path in differ]
        verb = "is" if len(differ) == 1 else "are"
        words = f'{listed(labels)} {verb} set to another value by the bundle "{other}"'
        yield _Clash(other, item, words, ".".join(differ[0]) if len(differ) == 1 else "")


def _counted(clashes: Sequence[_Clash], devices: QuerySet[Device]) -> Iterator[tuple[_Clash, int]]:
    """Each clash with the number of devices that get both bundles. Two statements."""
    reached: dict[int, list[Assignment]] = {clash.bundle.pk: [] for clash in clashes}
    for row in Assignment.objects.filter(bundle__in=list(reached)).select_related("group") if reached else ():
        reached[row.bundle_id].append(row)
    wanted: dict[str, Count] = {}
    for number, clash in enumerate(clashes):
        both = Q(pk__in=devices_reached(reached[clash.bundle.pk]).order_by().values("pk"))
        if clash.platforms:
            both &= Q(platform__in=_device_platforms(clash.platforms))
        wanted[f"both_{number}"] = Count("pk", filter=both)
    numbers: Mapping[str, int] = devices.order_by().aggregate(**wanted) if wanted else {}
    for number, clash in enumerate(clashes):
        yield clash, numbers[f"both_{number}"]


def _device_platforms(systems: Sequence[str]) -> list[str]:
    """Apple's schema says iOS for iPads, too."""
    return [*systems, *([Platform.IPADOS.value] if Platform.IOS in systems else [])]


def _single(facts: PayloadFacts) -> tuple[str, ...]:
    """The platforms on which a device takes only one of it."""
    return tuple(name for name, said in facts.platforms.items() if not said.multiple)


def _is_setting(item: Item) -> bool:
    return not item.payload_type.startswith(_INSTANCES)


def _title(item: Item) -> str:
    return f"payload of the kind “{overlay.title_of(item.variant)}”"


def _leaves(content: Content, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], PlistValue]]:
    """The single values outside of lists, with the names on the way to them: lists of several profiles add up."""
    for name, value in content.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*above, name))
        elif not isinstance(value, list):
            yield (*above, name), value
