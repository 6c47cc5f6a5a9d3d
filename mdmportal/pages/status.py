"""Where each device stands, over all apps: the content of `manage.py status`.

Set-based: a fixed number of statements per batch of devices. Nothing secret is in it, so it can be posted to a ticket.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from django.db.models import F, Q, QuerySet, Window
from django.db.models.functions import RowNumber

from devices.models import Command, CommandState, Device, Enrollment, EnrollmentState
from profiles.models import Installation

BATCH = 500
COMMANDS_SHOWN = 100


class DeviceNotFound(Exception):  # noqa: N818 (says what happened in the words of the trade)
    """No device has that enrollment id or serial number."""


def find_device(name: str) -> Device:
    """The device with this enrollment id (of any of its channels) or serial number. Raises DeviceNotFound."""
    wanted = name.strip()
    spellings = {wanted, wanted.upper()}
    rows = Enrollment.objects.filter(enrollment_id__in=spellings).select_related("device").order_by("pk")
    newest = max(rows, key=_in_force, default=None)
    if newest is not None:
        return newest.device
    device = Device.objects.filter(Q(serial_number__in=spellings) | Q(udid__in=spellings)).order_by("-pk").first()
    if device is None or not wanted:
        raise DeviceNotFound(f"No device has the enrollment id or serial number {wanted!r}.")
    return device


def find_enrollment(name: str) -> Enrollment:
    """The channel to send to: the one with this enrollment id, else the device channel of this serial number."""
    wanted = name.strip()
    enrolled = Enrollment.objects.enrolled().select_related("device")
    exact = enrolled.filter(enrollment_id__in={wanted, wanted.upper()}).first()
    if exact is not None:
        return exact
    device = find_device(name)
    channel = enrolled.device_channel().filter(device=device).order_by("-pk").first()
    if channel is None:
        raise DeviceNotFound(f"{device} is not enrolled.")
    return channel


def overview(devices: QuerySet[Device]) -> Iterator[dict[str, Any]]:
    """One dictionary per device, JSON-ready, in the order of the primary key."""
    last = 0
    while batch := list(devices.filter(pk__gt=last).order_by("pk")[:BATCH]):
        yield from _batch(batch)
        last = batch[-1].pk


def _batch(devices: Sequence[Device]) -> Iterator[dict[str, Any]]:
    enrollments = _current_enrollments(devices)
    channels = {row.pk: device_pk for device_pk, row in enrollments.items()}
    children = Enrollment.objects.filter(parent__in=channels).values_list("pk", "parent_id")
    channels.update({pk: channels[parent] for pk, parent in children if parent is not None})
    installations, commands = _installations(channels), _commands(channels)
    for device in devices:
        enrollment = enrollments.get(device.pk)
        yield {
            "enrollment_id": enrollment.enrollment_id if enrollment else None,
            "serial": device.serial_number or None,
            "name": device.name or None,
            "state": device.state,
            "state_reason": device.state_reason,
            "last_seen_at": _text(device.last_seen_at),
            "installations": installations[device.pk],
            "commands": commands[device.pk],
        }


def _current_enrollments(devices: Sequence[Device]) -> dict[int, Enrollment]:
    """The device channel in force of each device, else its newest one."""
    rows = Enrollment.objects.device_channel().filter(device__in=devices).order_by("pk")
    return {row.device_id: row for row in sorted(rows, key=_in_force)}


def _in_force(row: Enrollment) -> tuple[bool, int]:
    return row.state == EnrollmentState.ENROLLED, row.pk


def _installations(channels: dict[int, int]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    rows = Installation.objects.filter(enrollment__in=channels).select_related("bundle").defer("bundle__original")
    for row in rows.order_by("bundle__name", "-part"):
        found[channels[row.enrollment_id]].append({
            "bundle": row.bundle.name,
            "part": row.part,
            "state": row.state,
            "reason": row.reason,
            "next_at": _text(row.next_at),
        })  # fmt: skip
    return found


def _commands(channels: dict[int, int]) -> dict[int, list[dict[str, Any]]]:
    """The newest ones of each channel."""
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    rank = Window(RowNumber(), partition_by=[F("enrollment_id")], order_by=[F("pk").desc()])
    rows = Command.objects.filter(enrollment__in=channels).annotate(rank=rank).filter(rank__lte=COMMANDS_SHOWN)
    for row in rows.order_by("-pk").values("uuid", "request_type", "state", "enrollment_id"):
        state = CommandState(row["state"]).name.lower()
        found[channels[row["enrollment_id"]]].append(
            {"uuid": row["uuid"], "request_type": row["request_type"], "state": state}
        )
    return found


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
