"""Assigning lineages to groups: the rows, the devices they reach, and the plans that follow.

Who needs what is decided by `provisioning.wishes` and `provisioning.rollout`; a plan is started on commit.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db.models import Exists, OuterRef, Q, QuerySet

from devices.models import Device, DeviceGroup, Membership
from operations.background import start_on_commit
from provisioning import rollout
from provisioning.models import Lineage, LineageAssignment

BATCH = 500


def assign(lineage: Lineage, group: DeviceGroup, *, excluded: bool, now: datetime) -> LineageAssignment:
    """Want the lineage on the devices of a group, or on none of them; assigning again changes which."""
    # Who loses it is no longer a target afterwards.
    before = _ids(lineage)
    row, _ = LineageAssignment.objects.update_or_create(
        lineage=lineage, group=group, defaults={"excluded": excluded}, create_defaults={
            "excluded": excluded, "created_at": now,
        },
    )  # fmt: skip
    plan_soon(lineage, also=before)
    return row


def unassign(row: LineageAssignment) -> None:
    """Take one assignment back."""
    before = _ids(row.lineage)
    row.delete()
    plan_soon(row.lineage, also=before)


def plan_soon(lineage: Lineage, *, also: Iterable[int] = ()) -> int:
    """Plan the lineage's enrollments, and these others, on commit; how many."""
    from provisioning import tasks

    ids = sorted({*_ids(lineage), *also})
    for start in range(0, len(ids), BATCH):
        start_on_commit(tasks.plan_enrollments, ids[start : start + BATCH])
    return len(ids)


def _ids(lineage: Lineage) -> set[int]:
    return set(rollout.targets(lineage).values_list("pk", flat=True))


def devices_reached(assignments: Iterable[LineageAssignment]) -> QuerySet[Device]:
    """The enrolled devices that these assignments of one lineage reach; they need not be saved."""
    rows = list(assignments)
    included = [row.group for row in rows if not row.excluded]
    excluded = [row.group for row in rows if row.excluded]
    return members(included).exclude(pk__in=members(excluded).values("pk"))


def members(groups: Sequence[DeviceGroup]) -> QuerySet[Device]:
    """The enrolled devices of any of these groups."""
    enrolled = Device.objects.filter(state=Device.State.ENROLLED)
    if any(group.is_all for group in groups):
        return enrolled
    # A membership that waits for a human counts neither way.
    active = Membership.objects.filter(device=OuterRef("pk"), group__in=groups, suspended_at=None)
    return enrolled.filter(Q(Exists(active)) if groups else Q(pk__in=[]))
