"""Tables of the devices app, one module a theme; everything is imported from here."""

from devices.models.bulk import BulkCommand
from devices.models.command import OPEN_BELOW, Command, CommandState, UnmatchedReport
from devices.models.delivery import Delivery, DeliveryQuerySet, LadderState
from devices.models.device import Device, DeviceGroup, Membership, Platform
from devices.models.enrollment import Enrollment, EnrollmentState, EscrowedSecret, Identity, PushState
from devices.models.facts import Inventory, InventoryKind, Verdict, VerdictState
from devices.models.invitation import Invitation, InvitationDownload

__all__ = [
    "OPEN_BELOW",
    "BulkCommand",
    "Command",
    "CommandState",
    "Delivery",
    "DeliveryQuerySet",
    "Device",
    "DeviceGroup",
    "Enrollment",
    "EnrollmentState",
    "EscrowedSecret",
    "Identity",
    "Inventory",
    "InventoryKind",
    "Invitation",
    "InvitationDownload",
    "LadderState",
    "Membership",
    "Platform",
    "PushState",
    "UnmatchedReport",
    "Verdict",
    "VerdictState",
]
