"""What devices answer about themselves: the last answer per kind, and its main facts on Device.

An answer is as old as the moment its command was first handed out, for devices deliver cached ones days later: an
older one never replaces a newer. What follows from it (verdicts, proof of profiles) is decided above.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db import transaction

from devices.hardware import keep_facts
from devices.models import Command, Device, Enrollment, Inventory, InventoryKind
from protocol.plist import PlistValue, dumps
from protocol.reports import Report, Status

_PASSCODE_COLUMNS = {
    "PasscodePresent": "passcode_present",
    "PasscodeCompliant": "passcode_compliant",
    "PasscodeCompliantWithProfiles": "passcode_compliant_with_profiles",
}


def store(command: Command, report: Report, *, now: datetime) -> Inventory | None:
    """Keep an acknowledged answer; the same twice is the same row.

    None when there is nothing to keep: another Status, another request type, or a newer answer is here already.
    """
    if report.status is not Status.ACKNOWLEDGED or command.request_type not in InventoryKind.values:
        return None
    asked_at = command.sent_at or command.created_at
    with transaction.atomic():
        # Locked before its device, as everywhere; it also closes the race of two answers of one kind.
        Enrollment.objects.select_for_update(no_key=True).get(pk=command.enrollment_id)
        Inventory.objects.bulk_create(
            [
                Inventory(
                    enrollment_id=command.enrollment_id,
                    kind=command.request_type,
                    content=b"",
                    asked_at=asked_at,
                    reported_at=asked_at,
                )
            ],
            ignore_conflicts=True,
        )
        inventory = Inventory.objects.get(enrollment=command.enrollment_id, kind=command.request_type)
        if inventory.asked_at > asked_at:
            return None
        inventory.content = dumps(report.body)
        inventory.asked_at = asked_at
        inventory.reported_at = command.completed_at or now
        inventory.save(update_fields=["content", "asked_at", "reported_at"])
        _lift(command, report.body)
    return inventory


def latest(enrollment_ids: Sequence[int], kind: InventoryKind) -> dict[int, Inventory]:
    """The last answer of one kind by enrollment; one statement."""
    return {row.enrollment_id: row for row in Inventory.objects.filter(enrollment__in=enrollment_ids, kind=kind)}


def _lift(command: Command, body: Mapping[str, PlistValue]) -> None:
    """Show the answer's main facts on the device; a user channel speaks for its user, not for the device."""
    if command.enrollment.parent_id is not None:
        return
    device = Device.objects.select_for_update(no_key=True).get(pk=command.enrollment.device_id)
    changed: list[str] = []
    if command.request_type == InventoryKind.DEVICE_INFORMATION:
        changed = _lift_information(device, _dictionary(body, "QueryResponses"))
    elif command.request_type == InventoryKind.SECURITY_INFO:
        changed = _lift_security(device, _dictionary(body, "SecurityInfo"))
    if changed:
        device.save(update_fields=changed)


def _lift_information(device: Device, answers: Mapping[str, PlistValue]) -> list[str]:
    changed = keep_facts(device, answers)
    supervised = answers.get("IsSupervised")
    if isinstance(supervised, bool):
        device.is_supervised = supervised
        changed.append("is_supervised")
    return changed


def _lift_security(device: Device, answers: Mapping[str, PlistValue]) -> list[str]:
    """A flag the device does not send is not known: what it said before may no longer be true."""
    for key, column in _PASSCODE_COLUMNS.items():
        flag = answers.get(key)
        setattr(device, column, flag if isinstance(flag, bool) else None)
    return list(_PASSCODE_COLUMNS.values())


def _dictionary(body: Mapping[str, PlistValue], key: str) -> Mapping[str, PlistValue]:
    value = body.get(key)
    return value if isinstance(value, dict) else {}
