"""From wish to commands: assigning bundles to groups, and planning what each enrollment needs next.

`plan` is set-based: a fixed number of statements per batch of 500 enrollments, in one transaction. The decisions are
`profiles.planning`, the answers to its commands `profiles.installations`.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from devices.commands import CommandSpec, cancel, enqueue, enqueue_once, new_uuid
from devices.groups import group_ids_by_device
from devices.models import Command, DeviceGroup, Enrollment, LadderState, Verdict
from devices.models.enrollment import EnrollmentQuerySet
from devices.plans import PlanSummary, due_enrollments, in_batches, sweep
from operations.background import start_on_commit
from profiles import gate
from profiles.installations import LIST_PRIORITY, refresh_counters, save_rows, snapshot
from profiles.models import Assignment, Bundle, Installation
from profiles.planning import Act, BundlePlan
from profiles.wishes import USER_CHANNELS, Wishes, load_wishes, requirement_key


def assign(bundle: Bundle, group: DeviceGroup, *, now: datetime, excluded: bool = False) -> Assignment:
    """Want the bundle on the devices of a group, or (excluded) on none of them; the fleet is planned on commit."""
    with transaction.atomic():
        assignment, _ = Assignment.objects.update_or_create(
            bundle=bundle,
            group=group,
            defaults={"excluded": excluded},
            create_defaults={"created_at": now, "excluded": excluded},
        )
        _plan_fleet()
    return assignment


def unassign(bundle: Bundle, group: DeviceGroup) -> bool:
    """Take the bundle's assignment to a group back; False when there was none. The fleet is planned on commit."""
    with transaction.atomic():
        deleted, _ = Assignment.objects.filter(bundle=bundle, group=group).delete()
        _plan_fleet()
    return deleted > 0


def plan_all(now: datetime) -> PlanSummary:
    """Plan every enrolled device, a batch at a time; memory stays bounded whatever the fleet's size."""
    return sweep(_plannable(), now, plan_batch=_plan_batch)


def plan_due(now: datetime) -> PlanSummary:
    """Plan the enrollments that hold a ladder row whose next act has come."""
    return plan(due_enrollments(Installation.objects.all(), _plannable(), now), now)


def plan(enrollment_ids: Sequence[int], now: datetime) -> PlanSummary:
    """Bring ladder rows and commands of these enrollments to what is wanted on them now.

    Only device channels, and user channels of Macs, that are enrolled count. Planning again without new facts changes nothing.
    """
    return in_batches(enrollment_ids, now, plan_batch=_plan_batch)


@dataclass(slots=True)
class _Batch:
    """The facts of one batch of enrollments, and what was decided on them."""

    enrollments: list[Enrollment]
    rows: dict[int, dict[int, dict[str, Installation]]]
    verdicts: dict[tuple[int, str], Verdict]
    before: dict[int, tuple[object, ...]]
    plans: list[BundlePlan]

    @property
    def ids(self) -> list[int]:
        return [enrollment.pk for enrollment in self.enrollments]


def _plannable() -> EnrollmentQuerySet:
    return Enrollment.objects.enrolled().filter(Q(parent=None) | Q(kind__in=USER_CHANNELS))


def _plan_batch(ids: Sequence[int], now: datetime) -> PlanSummary:
    with transaction.atomic():
        batch = _load(ids)
        if not batch.enrollments:
            return PlanSummary()
        _decide(batch, load_wishes(), now)
        cancelled = _cancel(batch.plans, now)
        changed = _save(batch)
        queued = _enqueue(batch.plans, now)
    # After the transaction: a report's handler holds its device's row while it waits for the enrollment's.
    devices = {enrollment.pk: enrollment.device_id for enrollment in batch.enrollments}
    refresh_counters(sorted({devices[row.enrollment_id] for row in changed}), now)
    return PlanSummary(len(batch.enrollments), len(changed), queued, cancelled)


def _load(ids: Sequence[int]) -> _Batch:
    # The lock closes the race of two plans, or of a plan and an answer's handler, that both read a row and write it
    # back (SQLite: BEGIN IMMEDIATE). A batch leaves locked enrollments to their holder and the sweep; one alone waits.
    locked = _plannable().filter(pk__in=ids).order_by("pk").select_related("device")
    locked = locked.select_for_update(of=("self",), no_key=True, skip_locked=len(ids) > 1)
    enrollments = list(locked)
    pks = [enrollment.pk for enrollment in enrollments]
    rows: dict[int, dict[int, dict[str, Installation]]] = defaultdict(lambda: defaultdict(dict))
    before = {}
    installations = Installation.objects.with_commands().filter(enrollment__in=pks).select_related("profile")
    for row in installations.defer("profile__content", "profile__signed"):
        rows[row.enrollment_id][row.bundle_id][row.part] = row
        before[row.pk] = snapshot(row)
    verdicts = {(verdict.enrollment_id, verdict.requirement_key): verdict for verdict in gate.verdicts_of(pks)}
    return _Batch(enrollments, rows, verdicts, before, [])


def _decide(batch: _Batch, wishes: Wishes, now: datetime) -> None:
    groups = group_ids_by_device([enrollment.device_id for enrollment in batch.enrollments])
    fresh: list[Verdict] = []
    for enrollment in batch.enrollments:
        wanted, rows = wishes.of(enrollment, groups.get(enrollment.device_id, ())), batch.rows[enrollment.pk]
        for bundle_id in sorted(wanted.keys() | rows.keys()):
            bundle, key = wanted.get(bundle_id), (enrollment.pk, requirement_key(bundle_id))
            verdict = batch.verdicts.pop(key, None) if bundle and bundle.requirement else None
            if bundle and bundle.requirement and verdict is None:
                verdict = gate.new_verdict(enrollment, bundle, rows=rows[bundle_id], now=now)
                fresh.append(verdict)
            bundle_plan = BundlePlan(enrollment.pk, bundle_id, bundle, rows[bundle_id], verdict, now)
            bundle_plan.decide()
            batch.plans.append(bundle_plan)
    # Those that are left belong to requirements that nobody wants any more.
    gate.close_verdicts([verdict for key, verdict in batch.verdicts.items() if gate.is_ours(key[1])], now)
    Verdict.objects.bulk_create(fresh, gate.ROWS_PER_STATEMENT, ignore_conflicts=True)


def _cancel(plans: Sequence[BundlePlan], now: datetime) -> int:
    rows = {uuid: row for bundle_plan in plans for uuid, row in bundle_plan.cancels}
    if not rows:
        return 0
    commands = Command.objects.filter(uuid__in=rows)
    cancelled = cancel(commands, now=now, reason="No longer wanted.")
    # The queue does not take the enrollment's lock: a command may have gone out since the row was read. Then the
    # device may hold the profile after all.
    for uuid in commands.filter(attempts__gt=0).values_list("uuid", flat=True):
        row = rows[uuid]
        if row.state == LadderState.REMOVED:
            row.state, row.reason, row.removed_at, row.next_at = LadderState.REMOVING, "No longer assigned", None, now
        elif row.state in {LadderState.WAITING, LadderState.QUEUED}:
            row.attempts += 1
    return cancelled


def _save(batch: _Batch) -> list[Installation]:
    for bundle_plan in batch.plans:
        for act, row in bundle_plan.acts:
            if act is not Act.LIST:
                row.command_uuid = new_uuid()
    rows = [row for bundle_plan in batch.plans for row in bundle_plan.rows.values()]
    changed = [row for row in rows if row.pk is None or snapshot(row) != batch.before[row.pk]]
    save_rows(changed)
    return changed


def _enqueue(plans: Sequence[BundlePlan], now: datetime) -> int:
    specs = [spec for bundle_plan in plans for spec in _specs(bundle_plan)]
    lists = {row.enrollment_id for bundle_plan in plans for act, row in bundle_plan.acts if act is Act.LIST}
    queued = len(enqueue(specs, now)) if specs else 0
    if lists:
        asked = enqueue_once(
            sorted(lists), "ProfileList", origin="proof of an installation", now=now, priority=LIST_PRIORITY
        )
        queued += len(asked)
    return queued


def _specs(bundle_plan: BundlePlan) -> Iterator[CommandSpec]:
    for act, row in bundle_plan.acts:
        if act is Act.INSTALL and bundle_plan.wanted is not None:
            yield CommandSpec(
                enrollment_id=row.enrollment_id,
                request_type="InstallProfile",
                origin=f"{bundle_plan.wanted.label} ({row.part})",
                params={"Profile": row.profile_id, "UUID": row.payload_uuid, "Installation": row.pk},
                uuid=row.command_uuid,
            )
        elif act is Act.REMOVE:
            yield CommandSpec(
                enrollment_id=row.enrollment_id,
                request_type="RemoveProfile",
                origin=f"{row.reason} ({bundle_plan.identifier(row)})",
                params={"Identifier": bundle_plan.identifier(row), "Installation": row.pk},
                uuid=row.command_uuid,
            )


def _plan_fleet() -> None:
    from profiles import tasks

    start_on_commit(tasks.plan_all)
