"""Admin pages of devices: what the device says is read-only, what people may do is an action."""

from devices.admin.device import DeviceAdmin, DeviceGroupAdmin
from devices.admin.enrollment import EnrollmentAdmin, InvitationAdmin
from devices.admin.records import CommandAdmin, InventoryAdmin, UnmatchedReportAdmin, VerdictAdmin

__all__ = [
    "CommandAdmin",
    "DeviceAdmin",
    "DeviceGroupAdmin",
    "EnrollmentAdmin",
    "InventoryAdmin",
    "InvitationAdmin",
    "UnmatchedReportAdmin",
    "VerdictAdmin",
]
