"""What devices answer: acknowledgements, refusals and the lists that prove what is there, moved onto the ladder.

Every function tolerates an answer that comes twice, late, or for a command that was replaced: the row's
`command_uuid` says which answer counts. What happens next is planned by `profiles.assignment`.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from devices import ladder, refusals
from devices.commands import cancel, enqueue_once, params_of
from devices.inventory import latest
from devices.models import Command, Device, Enrollment, EnrollmentState, InventoryKind, LadderState
from profiles import gate
from profiles.answers import listed_profiles
from profiles.gate import ROWS_PER_STATEMENT
from profiles.models import Installation
from protocol.errors import PlistError
from protocol.plist import PlistValue
from protocol.reports import Report, Status

# Lists that prove something go before new installations.
LIST_PRIORITY = 50
# States in which IT is waiting for something.
OPEN = (
    LadderState.WAITING, LadderState.QUEUED, LadderState.SENT, LadderState.ACKNOWLEDGED, LadderState.DRIFTED,
    LadderState.REMOVING,
)  # fmt: skip
_COUNTERS = ("waiting_count", "failed_count", "oldest_waiting_at", "state_reason")
_MUTABLE = (
    "state", "reason", "wanted", "next_at", "attempts", "command_uuid", "error_chain", "changed_at", "acknowledged_at",
    "proved_at", "removed_at", "profile_id", "payload_uuid",
)  # fmt: skip


def snapshot(row: Installation) -> tuple[object, ...]:
    """Everything about a row that a transition may change, to tell whether one did."""
    return tuple(list(value) if isinstance(value := getattr(row, name), list) else value for name in _MUTABLE)


def save_rows(rows: Sequence[Installation]) -> None:
    """Write new and changed rows: one INSERT and one upsert per thousand."""
    new, known = [row for row in rows if row.pk is None], [row for row in rows if row.pk is not None]
    Installation.objects.bulk_create(new, ROWS_PER_STATEMENT)
    fields = [name.removesuffix("_id") for name in _MUTABLE]
    Installation.objects.bulk_create(
        known, ROWS_PER_STATEMENT, update_conflicts=True, unique_fields=["id"], update_fields=fields
    )


@transaction.atomic
def on_install_answer(command: Command, report: Report, now: datetime) -> None:
    """The device answered an InstallProfile: acknowledged (ask for the list at once), or refused."""
    row = _row_of(command)
    if row is None:
        return
    at = command.completed_at or now
    acknowledged = report.status is Status.ACKNOWLEDGED
    if row.command_uuid != command.uuid:
        # An answer to a command that was replaced. Only where nothing of ours should be does it change anything:
        # the profile is there after all and must go.
        if acknowledged and row.state == LadderState.REMOVED and not row.wanted:
            ladder.acknowledge(row, at=at, now=now)
            _save_and_ask(row, now)
        return
    if row.state not in ladder.ON_THE_WAY:
        return
    if acknowledged:
        ladder.acknowledge(row, at=at, now=now)
        gate.requirement_acknowledged(row, now)
        _save_and_ask(row, now)
    elif report.status in {Status.ERROR, Status.COMMAND_FORMAT_ERROR}:
        ladder.fail(row, report.error_chain, now=now, malformed=report.status is Status.COMMAND_FORMAT_ERROR)
        _save(row, now)


@transaction.atomic
def on_remove_answer(command: Command, report: Report, now: datetime) -> None:
    """The device answered a RemoveProfile. What it does not know (12075) counts as removed."""
    row = _row_of(command)
    if row is None or row.command_uuid != command.uuid or row.state != LadderState.REMOVING:
        return
    at = command.completed_at or now
    if report.status is Status.ACKNOWLEDGED:
        ladder.removal_acknowledged(row, at=at, now=now)
    elif report.status is Status.ERROR and refusals.is_not_installed(report.error_chain):
        ladder.finish_removal(row, at=at, now=now)
    elif report.status in {Status.ERROR, Status.COMMAND_FORMAT_ERROR}:
        ladder.fail(row, report.error_chain, now=now, malformed=report.status is Status.COMMAND_FORMAT_ERROR)
        _save(row, now)
        return
    else:
        return
    _save_and_ask(row, now)


@transaction.atomic
def on_profile_list(enrollment: Enrollment, now: datetime) -> None:
    """Compare the device's newest ProfileList with what is wanted on it: the proof of installing and removing."""
    _lock(enrollment.pk)
    inventory = latest([enrollment.pk], InventoryKind.PROFILE_LIST).get(enrollment.pk)
    listed = listed_profiles(inventory) if inventory is not None else None
    if inventory is None or listed is None:
        return
    rows = list(_rows().filter(enrollment=enrollment).select_related("profile"))
    before = {row.pk: snapshot(row) for row in rows}
    ask_again = False
    for row in rows:
        uuids = listed.get(row.profile.identifier, set())
        inconclusive = ladder.compare(
            row,
            is_listed=row.payload_uuid.upper() in uuids,
            is_there=bool(uuids),
            asked_at=inventory.asked_at,
            reported_at=inventory.reported_at,
            now=now,
        )
        ask_again = ask_again or inconclusive
    changed = [row for row in rows if snapshot(row) != before[row.pk]]
    _cancel_needless(changed, now)
    save_rows(changed)
    if ask_again:
        _ask_for_list(enrollment.pk, now)
    if changed:
        refresh_counters([enrollment.device_id], now)


def retry(installation_ids: Collection[int], now: datetime) -> list[int]:
    """Start failed and drifted rows again, or removals that gave up; the enrollments, for the caller to plan."""
    with transaction.atomic():
        wanted = Installation.objects.filter(pk__in=installation_ids)
        enrollments = sorted(set(wanted.values_list("enrollment_id", flat=True)))
        _lock(*enrollments)
        states = {LadderState.FAILED, LadderState.DRIFTED, LadderState.REMOVING}
        rows = [row for row in _rows().filter(pk__in=installation_ids) if row.state in states]
        rows = [row for row in rows if row.state != LadderState.REMOVING or not row.command_uuid]
        for row in rows:
            ladder.start_again(row, now=now)
        save_rows(rows)
    return enrollments


def refresh_counters(device_ids: Sequence[int], now: datetime) -> None:  # noqa: ARG001 (every act takes its moment)
    """Store on these devices what their lists show: how much waits or failed, since when, and the oldest reason."""
    for start in range(0, len(device_ids), ROWS_PER_STATEMENT):
        with transaction.atomic():
            _refresh_counters(device_ids[start : start + ROWS_PER_STATEMENT])


def _refresh_counters(device_ids: Sequence[int]) -> None:
    # Locked in order, so that two refreshes of the same devices do not wait for each other.
    devices = Device.objects.filter(pk__in=device_ids, state=Device.State.ENROLLED).order_by("pk")
    shown = list(devices.select_for_update(no_key=True).only(*_COUNTERS))
    troubled = Installation.objects.filter(
        enrollment__device__in=device_ids, enrollment__state=EnrollmentState.ENROLLED
    )
    rows: dict[int, list[tuple[str, datetime, str]]] = defaultdict(list)
    facts = troubled.filter(state__in=[*OPEN, LadderState.FAILED]).order_by("created_at", "pk")
    names = ("enrollment__device_id", "state", "created_at", "reason")
    for device_id, state, created_at, reason in facts.values_list(*names):
        rows[device_id].append((state, created_at, reason))
    changed = []
    for device in shown:
        before = tuple(getattr(device, name) for name in _COUNTERS)
        waiting = [created_at for state, created_at, _ in rows[device.pk] if state != LadderState.FAILED]
        device.waiting_count, device.failed_count = len(waiting), len(rows[device.pk]) - len(waiting)
        device.oldest_waiting_at = waiting[0] if waiting else None
        device.state_reason = next((reason for _, _, reason in rows[device.pk] if reason), "")
        if before != tuple(getattr(device, name) for name in _COUNTERS):
            changed.append(device)
    Device.objects.bulk_update(changed, _COUNTERS)


def _cancel_needless(rows: Iterable[Installation], now: datetime) -> None:
    """A proved row needs its repeated InstallProfile no more."""
    uuids = [row.command_uuid for row in rows if row.state == LadderState.INSTALLED and row.command_uuid]
    if uuids:
        cancel(Command.objects.filter(uuid__in=uuids), now=now, reason="The device's own list proves it already.")


def _rows() -> "QuerySet[Installation]":
    return Installation.objects.with_commands().defer("profile__content", "profile__signed")


def _row_of(command: Command) -> Installation | None:
    """The ladder row that a command was queued for, under its enrollment's lock."""
    try:
        pk: PlistValue | None = params_of(command).get("Installation")
    except PlistError:
        return None
    if not isinstance(pk, int) or isinstance(pk, bool):
        return None
    _lock(command.enrollment_id)
    return Installation.objects.filter(pk=pk, enrollment=command.enrollment_id).first()


def _lock(*enrollment_ids: int) -> None:
    """Close the race with a plan that reads the same rows and writes them back (see profiles.assignment)."""
    rows = Enrollment.objects.filter(pk__in=enrollment_ids).order_by("pk")
    list(rows.select_for_update(no_key=True).values_list("pk", flat=True))


def _save(row: Installation, now: datetime) -> None:
    row.save(update_fields=[name.removesuffix("_id") for name in _MUTABLE])
    devices = Enrollment.objects.filter(pk=row.enrollment_id).values_list("device_id", flat=True)
    refresh_counters(list(devices), now)


def _save_and_ask(row: Installation, now: datetime) -> None:
    _save(row, now)
    _ask_for_list(row.enrollment_id, now)


def _ask_for_list(enrollment_id: int, now: datetime) -> None:
    enqueue_once([enrollment_id], "ProfileList", origin="proof of an installation", now=now, priority=LIST_PRIORITY)
