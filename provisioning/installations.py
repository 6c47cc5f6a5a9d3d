"""What devices answer about provisioning profiles: acknowledgements, refusals, and the lists that prove what is there.

Every function tolerates an answer that comes twice, late, or for a command that was replaced. What happens next is
planned by `provisioning.rollout`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from django.db import transaction

from devices import ladder, refusals
from devices.commands import cancel, enqueue_once, params_of
from devices.inventory import latest
from devices.models import Command, Enrollment, Inventory, InventoryKind, LadderState
from protocol.errors import PlistError
from protocol.plist import PlistValue, loads_dict
from protocol.reports import Report, Status
from provisioning.models import ListedProvisioningProfile, ProvisioningInstallation

LIST_PRIORITY = 50
_ROWS_PER_STATEMENT = 500
# More than any honest device holds.
_MOST_LISTED = 500
_LONGEST_UUID = 64
# Devices and files may round differently.
_SAME_MOMENT = timedelta(seconds=2)
_NOT_THERE = ("MCProvisioningProfileErrorDomain", 25002)
_MUTABLE = (
    "state", "reason", "wanted", "next_at", "attempts", "command_uuid", "error_chain", "changed_at", "acknowledged_at",
    "proved_at", "removed_at",
)  # fmt: skip


def snapshot(row: ProvisioningInstallation) -> tuple[object, ...]:
    """Everything about a row that a transition may change, to tell whether one did."""
    return tuple(list(value) if isinstance(value := getattr(row, name), list) else value for name in _MUTABLE)


def save_rows(rows: Sequence[ProvisioningInstallation]) -> None:
    """Write new and changed rows: one INSERT and one upsert per five hundred."""
    new, known = [row for row in rows if row.pk is None], [row for row in rows if row.pk is not None]
    ProvisioningInstallation.objects.bulk_create(new, _ROWS_PER_STATEMENT)
    ProvisioningInstallation.objects.bulk_create(
        known, _ROWS_PER_STATEMENT, update_conflicts=True, unique_fields=["id"], update_fields=list(_MUTABLE)
    )


@transaction.atomic
def on_install_answer(command: Command, report: Report, now: datetime) -> None:
    """The device answered an InstallProvisioningProfile: acknowledged (ask for the list at once), or refused."""
    row = _row_of(command)
    if row is None or row.command_uuid != command.uuid or row.state not in ladder.ON_THE_WAY:
        return
    if report.status is Status.ACKNOWLEDGED:
        ladder.acknowledge(row, at=command.completed_at or now, now=now)
        save_rows([row])
        _ask_for_list(row.enrollment_id, now)
    elif report.status in {Status.ERROR, Status.COMMAND_FORMAT_ERROR}:
        malformed = report.status is Status.COMMAND_FORMAT_ERROR
        ladder.fail(row, report.error_chain, now=now, malformed=malformed)
        save_rows([row])


@transaction.atomic
def on_remove_answer(command: Command, report: Report, now: datetime) -> None:
    """The device answered a RemoveProvisioningProfile. One that it cannot remove stays: an old profile is harmless."""
    row = _row_of(command)
    if row is None or row.command_uuid != command.uuid or row.state != LadderState.REMOVING:
        return
    if report.status is Status.ACKNOWLEDGED:
        ladder.removal_acknowledged(row, at=command.completed_at or now, now=now)
        save_rows([row])
        _ask_for_list(row.enrollment_id, now)
    elif report.status in {Status.ERROR, Status.COMMAND_FORMAT_ERROR}:
        if any((item.domain, item.code) == _NOT_THERE for item in report.error_chain):
            row.error_chain, row.command_uuid = refusals.as_json(report.error_chain), ""
            reason = "The device cannot remove it (an app brought it); it does no harm"
            ladder.move(row, LadderState.FAILED, reason, now=now)
        else:
            malformed = report.status is Status.COMMAND_FORMAT_ERROR
            ladder.fail(row, report.error_chain, now=now, malformed=malformed)
        save_rows([row])


@transaction.atomic
def on_list(enrollment: Enrollment, now: datetime) -> None:
    """Keep the device's newest ProvisioningProfileList as facts, and compare it with what is wanted on it."""
    _lock(enrollment.pk)
    inventory = latest([enrollment.pk], InventoryKind.PROVISIONING_PROFILE_LIST).get(enrollment.pk)
    listed = _entries(inventory) if inventory is not None else None
    if inventory is None or listed is None:
        return
    _keep(enrollment.pk, listed.values(), inventory)
    rows = list(
        ProvisioningInstallation.objects.with_commands()
        .filter(enrollment=enrollment)
        .select_related("profile")
        .defer("profile__data")
    )
    before, ask_again = {row.pk: snapshot(row) for row in rows}, False
    for row in rows:
        entry = listed.get(row.profile.uuid_key)
        ask_again |= ladder.compare(
            row,
            is_listed=entry is not None and _same_end(entry, row.profile.expires_at),
            is_there=entry is not None,
            asked_at=inventory.asked_at,
            reported_at=inventory.reported_at,
            now=now,
        )
    changed = [row for row in rows if snapshot(row) != before[row.pk]]
    needless = [row.command_uuid for row in changed if row.state == LadderState.INSTALLED and row.command_uuid]
    if needless:
        commands = Command.objects.filter(uuid__in=needless)
        cancel(commands, now=now, reason="The device's own list proves it already.")
    save_rows(changed)
    if ask_again:
        _ask_for_list(enrollment.pk, now)


def _entries(inventory: Inventory) -> dict[str, ListedProvisioningProfile] | None:
    """The list's lines by UUID key; None when the answer holds no list. Devices are hostile until shown otherwise."""
    try:
        items = loads_dict(bytes(inventory.content)).get("ProvisioningProfileList")
    except PlistError:
        return None
    if not isinstance(items, list):
        return None
    found = {}
    for item in items[:_MOST_LISTED]:
        line = _line(item, inventory) if isinstance(item, dict) else None
        if line is not None:
            found[line.uuid_key] = line
    return found


def _line(item: Mapping[str, PlistValue], inventory: Inventory) -> ListedProvisioningProfile | None:
    uuid, name, ends = item.get("UUID"), item.get("Name"), item.get("ExpiryDate")
    # Removal sends it back as it came. Beyond ASCII the key to compare by may be longer than its column ("ß" is "ss").
    if not isinstance(uuid, str) or not uuid.strip() or len(uuid) > _LONGEST_UUID or not uuid.isascii():
        return None
    return ListedProvisioningProfile(
        enrollment_id=inventory.enrollment_id,
        uuid=uuid,
        uuid_key=uuid.strip().casefold(),
        name=name[:255] if isinstance(name, str) else "",
        expires_at=ends.replace(tzinfo=UTC) if isinstance(ends, datetime) else None,
        asked_at=inventory.asked_at,
        reported_at=inventory.reported_at,
    )


def _keep(enrollment_pk: int, lines: Iterable[ListedProvisioningProfile], inventory: Inventory) -> None:
    kept = list(lines)
    rows = ListedProvisioningProfile.objects.filter(enrollment=enrollment_pk)
    if rows.filter(asked_at__gt=inventory.asked_at).exists():
        return
    rows.exclude(uuid_key__in=[line.uuid_key for line in kept]).delete()
    ListedProvisioningProfile.objects.bulk_create(
        kept,
        _ROWS_PER_STATEMENT,
        update_conflicts=True,
        unique_fields=["enrollment", "uuid_key"],
        update_fields=["uuid", "name", "expires_at", "asked_at", "reported_at"],
    )


def _same_end(entry: ListedProvisioningProfile, expires_at: datetime) -> bool:
    return entry.expires_at is None or abs(entry.expires_at - expires_at) <= _SAME_MOMENT


def _row_of(command: Command) -> ProvisioningInstallation | None:
    """The ladder row that a command was queued for, under its enrollment's lock."""
    try:
        pk = params_of(command).get("Installation")
    except PlistError:
        return None
    if not isinstance(pk, int) or isinstance(pk, bool):
        return None
    _lock(command.enrollment_id)
    rows = ProvisioningInstallation.objects.with_commands()
    return rows.filter(pk=pk, enrollment=command.enrollment_id).first()


def _lock(enrollment_pk: int) -> None:
    """Close the race with a plan that reads the same rows and writes them back (see provisioning.rollout)."""
    list(Enrollment.objects.filter(pk=enrollment_pk).select_for_update(no_key=True).values_list("pk", flat=True))


def _ask_for_list(enrollment_pk: int, now: datetime) -> None:
    enqueue_once(
        [enrollment_pk],
        "ProvisioningProfileList",
        origin="proof of a provisioning profile",
        now=now,
        priority=LIST_PRIORITY,
    )
