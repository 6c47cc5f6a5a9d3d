"""What is wanted where: assignments and the profiles of current revisions, read once per batch.

An exclusion beats any inclusion; a bundle without a published revision is wanted nowhere. Who is in a group is
`devices.groups`.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from devices.models import Enrollment
from profiles.models import Assignment, Bundle, Profile, Revision, Scope
from profiles.planning import WantedBundle, WantedProfile
from profiles.rendering import secret_marks
from protocol.identity import EnrollmentKind

KEY = "bundle:"
# Scope "User" is a Mac's word (PayloadScope); Shared iPad has user channels of another kind.
USER_CHANNELS = (EnrollmentKind.USER.value, EnrollmentKind.USER_ENROLLMENT_USER.value)


def requirement_key(bundle_id: int) -> str:
    """The name under which verdicts on a bundle's requirement are kept."""
    return f"{KEY}{bundle_id}"


@dataclass(frozen=True, slots=True)
class Wishes:
    """All assignments: bundle ids by group id, and the bundles' current revisions."""

    bundles: dict[int, WantedBundle]
    included: dict[int, set[int]]
    excluded: dict[int, set[int]]

    def of(self, enrollment: Enrollment, group_ids: Iterable[int]) -> dict[int, WantedBundle]:
        """The bundles wanted on a channel of a device in these groups, by id, with the device's own values."""
        groups = list(group_ids)
        wanted: set[int] = set().union(*(self.included.get(group, set()) for group in groups))
        refused: set[int] = set().union(*(self.excluded.get(group, set()) for group in groups))
        bundles = (self.bundles[pk] for pk in sorted(wanted - refused) if pk in self.bundles)
        return {bundle.bundle_id: bundle.on(enrollment) for bundle in bundles if belongs(bundle.scope, enrollment)}


def belongs(scope: str, enrollment: Enrollment) -> bool:
    """Whether a bundle of this scope goes to this channel: a user's to a Mac's user channels, all others not."""
    if scope == Scope.USER:
        return enrollment.kind in USER_CHANNELS
    return enrollment.parent_id is None


def load_wishes() -> Wishes:
    """Read them in three statements at most, without the profiles' bytes."""
    included: dict[int, set[int]] = defaultdict(set)
    excluded: dict[int, set[int]] = defaultdict(set)
    rows = Assignment.objects.exclude(bundle__current_revision=None).values_list("group_id", "bundle_id", "excluded")
    for group_id, bundle_id, is_excluded in rows:
        (excluded if is_excluded else included)[group_id].add(bundle_id)
    assigned = set().union(*included.values())
    return Wishes(current_bundles(assigned), included, excluded)


def current_bundles(bundle_ids: Collection[int]) -> dict[int, WantedBundle]:
    """The current revisions of these bundles, by bundle id; a second statement where they name secrets."""
    current = Bundle.objects.filter(pk__in=bundle_ids).values("current_revision")
    rows = Profile.objects.filter(revision__in=current).select_related("revision__bundle")
    # Every plan asks: nothing that would be decrypted is read.
    profiles = rows.defer("content", "signed", "revision__draft", "revision__bundle__original")
    marks = secret_marks({name for profile in profiles for name in profile.variables})
    by_revision: dict[Revision, dict[str, WantedProfile]] = defaultdict(dict)
    for profile in profiles:
        by_revision[profile.revision][profile.part] = WantedProfile(
            profile.pk,
            profile.part,
            profile.identifier,
            profile.uuid,
            tuple(profile.payload_types),
            tuple(profile.variables),
            {name: mark for name, mark in marks.items() if name in profile.variables},
        )
    return {
        revision.bundle_id: WantedBundle(
            bundle_id=revision.bundle_id,
            rule=revision.delivery_rule,
            withdraw=revision.withdraw_on_regression,
            label=f"{revision.bundle.name} v{revision.number}",
            profiles=parts,
            scope=revision.bundle.scope,
        )
        for revision, parts in by_revision.items()
    }
