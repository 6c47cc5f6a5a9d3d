"""From wish to commands: planning which provisioning profile each enrollment needs next, and waking them in waves.

`plan` is set-based: a fixed number of statements per batch of 500 enrollments, in one transaction. The decisions are
`provisioning.planning`, the answers `provisioning.installations`. A wave says whom we wake; the command is queued for
every target at once, so that a device that comes by itself has the new profile whatever happens to it later.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil

from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from devices.commands import CommandSpec, cancel, enqueue, enqueue_once, new_uuid
from devices.groups import group_ids_by_device
from devices.models import Command, Device, DeviceGroup, Enrollment, LadderState, Membership
from devices.models.enrollment import EnrollmentQuerySet
from devices.plans import BATCH, PlanSummary, due_enrollments, in_batches, sweep
from devices.push import push_soon
from operations.background import start_on_commit
from protocol.mobileprovision import ProvisioningProfile as ProfileFile
from provisioning.errors import UnreadableProfile
from provisioning.installations import LIST_PRIORITY, save_rows, snapshot
from provisioning.lineages import read
from provisioning.models import (
    ROLLING_STATES,
    Lineage,
    LineageAssignment,
    ListedProvisioningProfile,
    ProvisioningInstallation,
    ProvisioningProfile,
    Renewal,
)
from provisioning.planning import UNLISTED, UNREADABLE, Act, LineagePlan
from provisioning.wishes import Wishes, load_wishes

# The first devices: one in a hundred, but not fewer than one and not more than twenty.
_CANARIES = (0.01, 1, 20)
_INSTALLED = LadderState.INSTALLED


@dataclass(frozen=True, slots=True)
class Progress:
    """A new profile on its targets: all of them, and of the waves that are awake how far each got."""

    targets: int
    installed: int
    failed: int
    awake: int
    awake_installed: int
    awake_failed: int

    @property
    def waiting(self) -> int:
        """Targets that neither have it nor refused it."""
        return self.targets - self.installed - self.failed


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which profile of a lineage its devices hold, by their own lists."""

    devices: int
    current: int
    only_old: int

    @property
    def none(self) -> int:
        """Devices that list no profile of the lineage."""
        return self.devices - self.current - self.only_old


def has_lineages() -> bool:
    """Whether any lineage is to be on devices at all."""
    return Lineage.objects.active().exclude(current=None).exists()


def plan_all(now: datetime) -> PlanSummary:
    """Plan every enrolled device, a batch at a time; memory stays bounded whatever the fleet's size."""
    if not has_lineages():
        return PlanSummary()
    return sweep(_plannable(), now, plan_batch=_plan_batch)


def plan_due(now: datetime) -> PlanSummary:
    """Plan the enrollments that hold a row whose next act has come."""
    return plan(due_enrollments(ProvisioningInstallation.objects.all(), _plannable(), now), now)


def plan(enrollment_ids: Sequence[int], now: datetime) -> PlanSummary:
    """Bring rows and commands of these enrollments to what is wanted on them now; again changes nothing."""
    return in_batches(enrollment_ids, now, plan_batch=_plan_batch)


# --- waves -----------------------------------------------------------------------------------------------------------


def begin(renewal: Renewal, now: datetime, *, waves: Sequence[int]) -> int:
    """Put every target of the renewal on the ladder, in its wave, and queue the new profile; how many targets.

    Wave 1 are the canaries; `waves` are the percentages of targets that the following ones reach together. Written a
    thousand rows at a time; a row that a plan was quicker to make gets its wave.
    """
    chosen = list(_targets_in_order(renewal.lineage))
    assert renewal.new_profile_id is not None  # noqa: S101 (nothing is rolled out before it is fetched)
    first = _canaries(renewal.lineage, chosen)
    others = [pk for pk in chosen if pk not in first]
    bounds = [max(ceil(len(chosen) * percent / 100) - len(first), 0) for percent in waves]
    numbered = dict.fromkeys(first, 1)
    for place, pk in enumerate(others):
        numbered[pk] = 2 + next((n for n, bound in enumerate(bounds) if place < bound), max(len(bounds) - 1, 0))
    rows = [
        ProvisioningInstallation(
            enrollment_id=pk, lineage_id=renewal.lineage_id, profile_id=renewal.new_profile_id, wave=wave,
            created_at=now, changed_at=now, reason="Waiting for its wave, or until it connects by itself",
        )
        for pk, wave in numbered.items()
    ]  # fmt: skip
    ProvisioningInstallation.objects.bulk_create(
        rows, 1000, update_conflicts=True, unique_fields=["enrollment", "profile"], update_fields=["wave"]
    )
    _plan_soon(chosen)
    return len(chosen)


def open_wave(renewal: Renewal, now: datetime) -> int:
    """Wake the devices of the renewal's present wave that still need the new profile; how many."""
    rows = ProvisioningInstallation.objects.filter(profile=renewal.new_profile_id, wave=renewal.wave)
    waiting = rows.exclude(state__in=[_INSTALLED, LadderState.REMOVED]).order_by("enrollment_id")
    ids = list(waiting.values_list("enrollment_id", flat=True))
    push_soon(ids, now)
    return len(ids)


def replan(renewal: Renewal) -> int:
    """Plan all targets again: after a pause, its end, or when cleaning up begins; how many."""
    ids = list(targets(renewal.lineage).order_by("pk").values_list("pk", flat=True))
    _plan_soon(ids)
    return len(ids)


def progress(renewal: Renewal) -> Progress:
    """Where the new profile stands; one statement."""
    awake = Q(wave__lte=renewal.wave)
    enrolled = ProvisioningInstallation.objects.filter(
        profile=renewal.new_profile_id, wanted=True, enrollment__in=_plannable()
    )
    failed = Q(state=LadderState.FAILED)
    counted = enrolled.aggregate(
        targets=Count("pk"),
        installed=Count("pk", filter=Q(state=_INSTALLED)),
        failed=Count("pk", filter=failed),
        awake=Count("pk", filter=awake),
        awake_installed=Count("pk", filter=awake & Q(state=_INSTALLED)),
        awake_failed=Count("pk", filter=awake & failed),
    )
    return Progress(**counted)


# --- who ---------------------------------------------------------------------------------------------------------------


def targets(lineage: Lineage) -> "QuerySet[Enrollment]":
    """The enrollments that need the lineage's profile: its groups', and those that list any of its profiles."""
    assignments = LineageAssignment.objects.filter(lineage=lineage).select_related("group")
    included = [row.group for row in assignments if not row.excluded]
    excluded = [row.group for row in assignments if row.excluded]
    listed = ListedProvisioningProfile.objects.filter(
        enrollment=OuterRef("pk"), uuid_key__in=lineage.profiles.values("uuid_key")
    )
    return _plannable().filter(_in_groups(included) | Exists(listed)).exclude(_in_groups(excluded))


def stragglers(lineage: Lineage) -> "QuerySet[Enrollment]":
    """Targets on which the wanted profile of the lineage is not proved, the longest silent first."""
    proved = ProvisioningInstallation.objects.filter(
        enrollment=OuterRef("pk"), profile=wanted_profile(lineage), state=_INSTALLED
    )
    return targets(lineage).filter(~Exists(proved)).select_related("device").order_by("last_seen_at", "pk")


def coverage(lineage: Lineage) -> Coverage:
    """What the lineage's devices hold by their own lists: the wanted profile, another one only, or none."""
    wanted = wanted_profile(lineage)
    newest = wanted.uuid_key if wanted is not None else ""
    listed = ListedProvisioningProfile.objects.filter(enrollment=OuterRef("pk"))
    has_current = Exists(listed.filter(uuid_key=newest))
    has_any = Exists(listed.filter(uuid_key__in=lineage.profiles.values("uuid_key")))
    rows = targets(lineage).annotate(has_current=has_current, has_any=has_any)
    counted = rows.aggregate(
        devices=Count("pk"),
        current=Count("pk", filter=Q(has_current=True)),
        only_old=Count("pk", filter=Q(has_current=False, has_any=True)),
    )
    return Coverage(**counted)


def wanted_profile(lineage: Lineage) -> ProvisioningProfile | None:
    """What devices should hold: what rolls out, else the current one. A newer one may have been refused."""
    rolling = lineage.renewals.filter(state__in=ROLLING_STATES).select_related("new_profile").first()
    return rolling.new_profile if rolling is not None else lineage.current


def _in_groups(groups: Sequence[DeviceGroup]) -> Q:
    if any(group.is_all for group in groups):
        return Q(device__state=Device.State.ENROLLED)
    # A membership that waits for a human counts neither way.
    active = Membership.objects.filter(device=OuterRef("device"), group__in=groups, suspended_at=None)
    return Q(Exists(active)) if groups else Q(pk__in=[])


def _targets_in_order(lineage: Lineage) -> Iterator[int]:
    """Those that were here last come first: a wave should meet devices that can answer."""
    rows = targets(lineage).order_by("-last_seen_at", "pk").values_list("pk", flat=True)
    yield from rows.iterator(chunk_size=2000)


def _canaries(lineage: Lineage, candidates: Sequence[int]) -> set[int]:
    share, least, most = _CANARIES
    number = min(max(ceil(len(candidates) * share), least), most)
    if lineage.canary_group is None:
        return set(candidates[:number])
    chosen = targets(lineage).filter(_in_groups([lineage.canary_group]))
    # An empty group must not mean that nobody tries first.
    return set(chosen.values_list("pk", flat=True)) or set(candidates[:number])


def _plannable() -> EnrollmentQuerySet:
    return Enrollment.objects.enrolled().device_channel()


def _plan_soon(enrollment_ids: Sequence[int]) -> None:
    from provisioning import tasks

    for start in range(0, len(enrollment_ids), BATCH):
        start_on_commit(tasks.plan_enrollments, list(enrollment_ids[start : start + BATCH]))


# --- one batch -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Batch:
    enrollments: list[Enrollment]
    rows: dict[int, dict[int, dict[int, ProvisioningInstallation]]]
    listed: dict[int, dict[str, str]]
    before: dict[int, tuple[object, ...]]
    wishes: Wishes
    plans: list[LineagePlan]


def _plan_batch(ids: Sequence[int], now: datetime) -> PlanSummary:
    with transaction.atomic():
        batch = _load(ids)
        if not batch.enrollments:
            return PlanSummary()
        _decide(batch, now)
        uuids = [uuid for one in batch.plans for uuid in one.cancels]
        cancelled = cancel(Command.objects.filter(uuid__in=uuids), now=now, reason="No longer wanted.") if uuids else 0
        changed = _save(batch)
        queued = _enqueue(batch.plans, now)
    return PlanSummary(len(batch.enrollments), len(changed), queued, cancelled)


def _load(ids: Sequence[int]) -> _Batch:
    # The lock closes the race of two plans, or of a plan and an answer's handler, that both read a row and write it
    # back (SQLite: BEGIN IMMEDIATE). A batch leaves locked enrollments to their holder and the sweep; one alone waits.
    locked = _plannable().filter(pk__in=ids).order_by("pk").select_related("device")
    enrollments = list(locked.select_for_update(of=("self",), no_key=True, skip_locked=len(ids) > 1))
    pks = [enrollment.pk for enrollment in enrollments]
    rows: dict[int, dict[int, dict[int, ProvisioningInstallation]]] = defaultdict(lambda: defaultdict(dict))
    before = {}
    for row in ProvisioningInstallation.objects.with_commands().filter(enrollment__in=pks):
        rows[row.enrollment_id][row.lineage_id][row.profile_id] = row
        before[row.pk] = snapshot(row)
    wishes = load_wishes()
    listed: dict[int, dict[str, str]] = defaultdict(dict)
    lines = ListedProvisioningProfile.objects.filter(enrollment__in=pks).values_list(
        "enrollment_id", "uuid_key", "uuid"
    )
    for enrollment_id, uuid_key, uuid in lines:
        if uuid_key in wishes.by_uuid:
            listed[enrollment_id][uuid_key] = uuid
    return _Batch(enrollments, rows, listed, before, wishes, [])


def _decide(batch: _Batch, now: datetime) -> None:
    groups = group_ids_by_device([enrollment.device_id for enrollment in batch.enrollments])
    files = _files_that_list_devices(batch.wishes)
    for enrollment in batch.enrollments:
        listed, rows = batch.listed[enrollment.pk], batch.rows[enrollment.pk]
        wanted = batch.wishes.of(groups.get(enrollment.device_id, ()), listed)
        for lineage_id in sorted(wanted.keys() | rows.keys()):
            lineage = wanted.get(lineage_id)
            one = LineagePlan(
                enrollment_id=enrollment.pk,
                lineage=lineage,
                rows=rows[lineage_id],
                listed=listed,
                now=now,
                obstacle=_obstacle(files, lineage_id, enrollment.device),
            )
            one.decide()
            batch.plans.append(one)


def _files_that_list_devices(wishes: Wishes) -> dict[int, ProfileFile | None]:
    """The wanted files of development and ad hoc lineages, by lineage; they are read once per process.

    None for one that cannot be read: it must not keep the other lineages from being planned.
    """
    pks = {lineage.wanted.pk: lineage.pk for lineage in wishes.lineages.values() if lineage.lists_devices}
    rows = ProvisioningProfile.objects.filter(pk__in=pks).defer("data") if pks else ()
    return {pks[row.pk]: _readable(row) for row in rows}


def _readable(row: ProvisioningProfile) -> ProfileFile | None:
    try:
        return read(row)
    except UnreadableProfile:
        return None


def _obstacle(files: Mapping[int, ProfileFile | None], lineage_id: int, device: Device) -> str:
    if lineage_id not in files:
        return ""
    file = files[lineage_id]
    if file is None:
        return UNREADABLE
    return "" if device.udid is not None and file.lists_device(device.udid) else UNLISTED


def _save(batch: _Batch) -> list[ProvisioningInstallation]:
    for one in batch.plans:
        for act, row in one.acts:
            if act is not Act.LIST:
                row.command_uuid = new_uuid()
    rows = [row for one in batch.plans for row in one.rows.values()]
    changed = [row for row in rows if row.pk is None or snapshot(row) != batch.before[row.pk]]
    save_rows(changed)
    return changed


def _enqueue(plans: Sequence[LineagePlan], now: datetime) -> int:
    awake: list[CommandSpec] = []
    asleep: list[CommandSpec] = []
    for one in plans:
        for act, row in one.acts:
            if act is not Act.LIST:
                (awake if _is_awake(one, row) else asleep).append(_spec(one, act, row))
    queued = len(enqueue(awake, now)) if awake else 0
    queued += len(enqueue(asleep, now, wake=False)) if asleep else 0
    lists = sorted({row.enrollment_id for one in plans for act, row in one.acts if act is Act.LIST})
    if lists:
        asked = enqueue_once(
            lists, "ProvisioningProfileList", origin="proof of a provisioning profile", now=now, priority=LIST_PRIORITY
        )
        queued += len(asked)
    return queued


def _is_awake(one: LineagePlan, row: ProvisioningInstallation) -> bool:
    if one.lineage is None or one.lineage.open_wave is None:
        return True
    return row.wave <= one.lineage.open_wave and not (one.lineage.is_beginning and row.wave == 0)


def _spec(one: LineagePlan, act: Act, row: ProvisioningInstallation) -> CommandSpec:
    label = one.lineage.label if one.lineage is not None else "a lineage"
    facts = one.lineage.profiles[row.profile_id] if one.lineage is not None else None
    if act is Act.INSTALL:
        return CommandSpec(
            enrollment_id=row.enrollment_id,
            request_type="InstallProvisioningProfile",
            origin=f"provisioning profile of {label}",
            params={"UUID": facts.uuid_key if facts is not None else "", "Installation": row.pk},
            uuid=row.command_uuid,
        )
    uuid = one.listed.get(facts.uuid_key, facts.uuid_key) if facts is not None else ""
    return CommandSpec(
        enrollment_id=row.enrollment_id,
        request_type="RemoveProvisioningProfile",
        origin=f"old provisioning profile of {label}",
        params={"UUID": uuid, "Installation": row.pk},
        uuid=row.command_uuid,
    )
