"""What people do to devices: each act is done by the queue or another use case and leaves an audit event.

The admin's actions and the device page are doors to these functions. Commands to many devices are `devices.bulk`;
what devices do by themselves is not here.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import QuerySet

from certificates.models import IssuedCertificate
from devices import commands, groups, identities, invitations, push
from devices.models import Command, Device, DeviceGroup, Enrollment, InventoryKind, Invitation
from operations import audit
from operations.audit import Actor

REFRESHED = (InventoryKind.DEVICE_INFORMATION, InventoryKind.SECURITY_INFO, InventoryKind.PROFILE_LIST)


def full_name(device: Device) -> str:
    """A name that no other device has: people give the same one to several."""
    identity = device.serial_number or device.udid or f"number {device.pk}"
    return f"{device} ({identity})"


def channels(devices: QuerySet[Device]) -> QuerySet[Enrollment]:
    """The device channels in force of a set of devices."""
    return Enrollment.objects.enrolled().device_channel().filter(device__in=devices).select_related("device")


def origin(actor: Actor, reason: str) -> str:
    """Who asked for a command, and why, as its own page shows it."""
    name = actor.get_username() if actor is not None else "command line"
    return f"{name}: {reason}"[:255] if reason else name


def push_now(devices: QuerySet[Device], *, actor: Actor, now: datetime) -> int:
    """Push to every channel of the devices at once; how many channels."""
    pks = list(Enrollment.objects.enrolled().filter(device__in=devices).values_list("pk", flat=True))
    push.push_soon(pks, now)
    audit.record_each(actor, "device.push", subjects=devices, now=now)
    return len(pks)


def refresh_inventory(devices: QuerySet[Device], *, actor: Actor, now: datetime) -> int:
    """Ask the devices for their facts again; questions already open are not asked twice."""
    pks = list(channels(devices).values_list("pk", flat=True))
    asked = sum(len(commands.enqueue_once(pks, kind, origin=origin(actor, ""), now=now)) for kind in REFRESHED)
    audit.record_each(actor, "device.refresh", subjects=devices, now=now)
    return asked


def confirm_memberships(devices: QuerySet[Device], *, reason: str, actor: Actor, now: datetime) -> int:
    """Let the suspended group memberships of re-enrolled devices count again."""
    with transaction.atomic():
        count = groups.confirm_memberships(devices)
        audit.record_each(actor, "device.confirm_memberships", subjects=devices, now=now, reason=reason)
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
