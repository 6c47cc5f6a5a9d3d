"""Which provisioning profile is wanted where: lineages with what they hold and what renews them, read once per batch.

A lineage is for the devices of its groups, and for those that list any of its profiles already, because an app there
needs it. An exclusion beats both. Small values only; the files stay in the database.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from provisioning.models import ROLLING_STATES, Lineage, LineageAssignment, ProvisioningProfile, Renewal, RenewalState


@dataclass(frozen=True, slots=True)
class ProfileFacts:
    """One profile of a lineage, without its bytes."""

    pk: int
    uuid_key: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class WantedLineage:
    """A lineage as it is to be on devices: the profile they should hold, and the older ones that may go."""

    pk: int
    label: str
    wanted: ProfileFacts
    profiles: Mapping[int, ProfileFacts] = field(repr=False)
    # Development and ad hoc profiles run on the devices they list only.
    lists_devices: bool = False
    # No renewal is under way, or it has come to removing what is old.
    may_clean: bool = True
    is_paused: bool = False
    # Waves up to this one are awake; None: everybody is.
    open_wave: int | None = None
    # The targets have not been put into waves yet, so that nobody without one may be woken.
    is_beginning: bool = False

    @property
    def uuid_keys(self) -> frozenset[str]:
        """All UUIDs that the lineage ever had."""
        return frozenset(facts.uuid_key for facts in self.profiles.values())


@dataclass(frozen=True, slots=True)
class Wishes:
    """All lineages that have a profile, by id, and the groups they are for."""

    lineages: Mapping[int, WantedLineage]
    included: Mapping[int, set[int]]
    excluded: Mapping[int, set[int]]
    # Lineage by the UUID of any of its profiles.
    by_uuid: Mapping[str, int]

    def of(self, group_ids: Iterable[int], listed: Iterable[str]) -> dict[int, WantedLineage]:
        """The lineages for a device in these groups that lists these UUIDs, by id."""
        groups = list(group_ids)
        wanted: set[int] = set().union(*(self.included.get(group, set()) for group in groups))
        wanted |= {self.by_uuid[uuid] for uuid in listed if uuid in self.by_uuid}
        refused: set[int] = set().union(*(self.excluded.get(group, set()) for group in groups))
        return {pk: self.lineages[pk] for pk in sorted(wanted - refused) if pk in self.lineages}


def load_wishes(lineage_ids: Collection[int] | None = None) -> Wishes:
    """Read them in four statements; only these lineages, or all that are active and have a profile."""
    lineages = Lineage.objects.active().exclude(current=None)
    if lineage_ids is not None:
        lineages = lineages.filter(pk__in=lineage_ids)
    rows = list(lineages.only("name", "kind", "current_id"))
    renewals = {
        renewal.lineage_id: renewal
        for renewal in Renewal.objects.open().filter(lineage__in=[row.pk for row in rows], new_profile__isnull=False)
        if renewal.state in ROLLING_STATES
    }
    profiles = _profiles([row.pk for row in rows])
    included, excluded = _assignments([row.pk for row in rows])
    wanted = {row.pk: _wanted(row, renewals.get(row.pk), profiles[row.pk]) for row in rows}
    by_uuid = {facts.uuid_key: pk for pk, known in profiles.items() for facts in known.values()}
    return Wishes(wanted, included, excluded, by_uuid)


def _wanted(lineage: Lineage, renewal: Renewal | None, profiles: Mapping[int, ProfileFacts]) -> WantedLineage:
    pk = renewal.new_profile_id if renewal is not None else lineage.current_id
    assert pk is not None  # noqa: S101 (both queries leave out those without)
    return WantedLineage(
        pk=lineage.pk,
        label=lineage.name,
        wanted=profiles[pk],
        profiles=profiles,
        lists_devices=lineage.kind in {"ad_hoc", "development"},
        may_clean=renewal is None or renewal.state == RenewalState.CLEANUP,
        is_paused=renewal is not None and renewal.paused_at is not None,
        open_wave=renewal.wave if renewal is not None and renewal.state != RenewalState.CLEANUP else None,
        is_beginning=renewal is not None and renewal.state == RenewalState.CANARY and renewal.wave_at is None,
    )


def _profiles(lineage_ids: Collection[int]) -> Mapping[int, dict[int, ProfileFacts]]:
    found: dict[int, dict[int, ProfileFacts]] = defaultdict(dict)
    names = ("lineage_id", "pk", "uuid_key", "created_at", "expires_at")
    for lineage_id, *facts in ProvisioningProfile.objects.filter(lineage__in=lineage_ids).values_list(*names):
        found[lineage_id][facts[0]] = ProfileFacts(*facts)
    return found


def _assignments(lineage_ids: Collection[int]) -> tuple[Mapping[int, set[int]], Mapping[int, set[int]]]:
    included: dict[int, set[int]] = defaultdict(set)
    excluded: dict[int, set[int]] = defaultdict(set)
    rows = LineageAssignment.objects.filter(lineage__in=lineage_ids)
    for group_id, lineage_id, is_excluded in rows.values_list("group_id", "lineage_id", "excluded"):
        (excluded if is_excluded else included)[group_id].add(lineage_id)
    return included, excluded
