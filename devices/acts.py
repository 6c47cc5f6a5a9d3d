"""What people do to devices: each act asks the queue, tells which devices refused and why, and leaves an audit event.

The admin's actions and the device page are doors to these functions. What devices do by themselves is not here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import QuerySet

from certificates.models import IssuedCertificate
from devices import commands, groups, identities, invitations, push, sending
from devices.errors import CommandRefused
from devices.models import Command, Device, DeviceGroup, Enrollment, InventoryKind, Invitation
from operations import audit
from operations.audit import Actor

# Apple's keys for the values a confirmation page asks for.
KEYS = {"message": "Message", "phone_number": "PhoneNumber", "pin": "PIN"}
SECRET_KEYS = frozenset({"PIN"})
REFRESHED = (InventoryKind.DEVICE_INFORMATION, InventoryKind.SECURITY_INFO, InventoryKind.PROFILE_LIST)


@dataclass(frozen=True, slots=True)
class ActOutcome:
    """How many of how many devices the act reached, and a sentence for each that it did not."""

    total: int
    sent: int
    refused: tuple[str, ...]


def full_name(device: Device) -> str:
    """A name that no other device has: people give the same one to several."""
    identity = device.serial_number or device.udid or f"number {device.pk}"
    return f"{device} ({identity})"


def channels(devices: QuerySet[Device]) -> QuerySet[Enrollment]:
    """The device channels in force of a set of devices."""
    return Enrollment.objects.enrolled().device_channel().filter(device__in=devices).select_related("device")


def send_to_devices(
    devices: QuerySet[Device], request_type: str, *, values: Mapping[str, Any], reason: str, actor: Actor, now: datetime
) -> ActOutcome:
    """Queue one command per device; a device that cannot take it is named and stops none of the others."""
    params = {KEYS[name]: value for name, value in values.items() if value}
    shown = {key: "(kept secret)" if key in SECRET_KEYS else value for key, value in params.items()}
    reached = {enrollment.device_id: enrollment for enrollment in channels(devices)}
    sent, refused = 0, []
    for device in devices:
        if device.pk not in reached:
            refused.append(f"{full_name(device)} is not enrolled.")
            continue
        try:
            with transaction.atomic():
                command = sending.send(reached[device.pk], request_type, params, origin=_origin(actor, reason), now=now)
                audit.record(
                    actor,
                    f"command.{request_type}",
                    subject=device,
                    now=now,
                    reason=reason,
                    details={"uuid": command.uuid, **shown},
                )
            sent += 1
        except CommandRefused as error:
            refused.append(f"{full_name(device)}: {error.reason}")
    return ActOutcome(total=sent + len(refused), sent=sent, refused=tuple(refused))


def _origin(actor: Actor, reason: str) -> str:
    name = actor.get_username() if actor is not None else "command line"
    return f"{name}: {reason}"[:255] if reason else name


def push_now(devices: QuerySet[Device], *, actor: Actor, now: datetime) -> int:
    """Push to every channel of the devices at once; how many channels."""
    pks = list(Enrollment.objects.enrolled().filter(device__in=devices).values_list("pk", flat=True))
    push.push_soon(pks, now)
    _record_each(devices, "device.push", actor=actor, now=now)
    return len(pks)


def refresh_inventory(devices: QuerySet[Device], *, actor: Actor, now: datetime) -> int:
    """Ask the devices for their facts again; questions already open are not asked twice."""
    pks = list(channels(devices).values_list("pk", flat=True))
    asked = sum(len(commands.enqueue_once(pks, kind, origin=_origin(actor, ""), now=now)) for kind in REFRESHED)
    _record_each(devices, "device.refresh", actor=actor, now=now)
    return asked


def confirm_memberships(devices: QuerySet[Device], *, reason: str, actor: Actor, now: datetime) -> int:
    """Let the suspended group memberships of re-enrolled devices count again."""
    count = 0
    for device in devices:
        with transaction.atomic():
            count += groups.confirm_memberships(device)
            audit.record(actor, "device.confirm_memberships", subject=device, now=now, reason=reason)
    return count


def change_group(
    group: DeviceGroup, *, added: Iterable[Device], removed: Iterable[Device], actor: Actor, now: datetime
) -> None:
    """Put devices into a static group and take others out."""
    added, removed = list(added), list(removed)
    with transaction.atomic():
        groups.add_devices(group, added, now=now)
        groups.remove_devices(group, removed)
        details = {"added": [str(device) for device in added], "removed": [str(device) for device in removed]}
        audit.record(actor, "group.change", subject=group, now=now, details=details)


def cancel_commands(queryset: QuerySet[Command], *, reason: str, actor: Actor, now: datetime) -> int:
    """Take back commands that were not answered yet; how many."""
    with transaction.atomic():
        for command in queryset.filter(pk__in=queryset):
            audit.record(actor, "command.cancel", subject=command, now=now, reason=reason)
        return commands.cancel(queryset, now=now, reason=reason)


def invite(
    *, groups: Iterable[DeviceGroup], uses: int, lifetime: timedelta, serial_number: str, note: str,
    actor: Actor, now: datetime,
) -> tuple[Invitation, str]:  # fmt: skip
    """Make an invitation; the token of its link is returned this once. Raises InvitationRefused."""
    groups = list(groups)
    created_by = actor if isinstance(actor, AbstractBaseUser) else None
    with transaction.atomic():
        invitation, token = invitations.invite(
            groups=groups,
            uses=uses,
            lifetime=lifetime,
            now=now,
            created_by=created_by,
            serial_number=serial_number,
            note=note,
        )
        details = {
            "uses": uses,
            "expires_at": invitation.expires_at.isoformat(),
            "groups": [group.name for group in groups],
            "serial_number": invitation.serial_number,
        }
        audit.record(actor, "invitation.create", subject=invitation, now=now, details=details)
    return invitation, token


def revoke_certificates(certificates: QuerySet[IssuedCertificate], *, reason: str, actor: Actor, now: datetime) -> int:
    """Let device identities speak for nobody any more, with all that renewed them; how many were revoked."""
    count = 0
    for certificate in certificates.filter(purpose=IssuedCertificate.Purpose.IDENTITY, revoked_at=None):
        with transaction.atomic():
            count += identities.revoke(certificate, now)
            audit.record(actor, "certificate.revoke", subject=certificate, now=now, reason=reason)
    return count


def revoke_invitations(queryset: QuerySet[Invitation], *, reason: str, actor: Actor, now: datetime) -> int:
    """Make links stop working; devices that enrolled by them stay."""
    count = 0
    for invitation in queryset.filter(revoked_at=None):
        with transaction.atomic():
            invitations.revoke(invitation, now=now)
            audit.record(actor, "invitation.revoke", subject=invitation, now=now, reason=reason)
        count += 1
    return count


def _record_each(devices: Iterable[Device], action: str, *, actor: Actor, now: datetime) -> None:
    for device in devices:
        audit.record(actor, action, subject=device, now=now)
