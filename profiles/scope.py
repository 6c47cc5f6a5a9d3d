"""Which devices an assignment reaches, as a query: what a confirmation page says before somebody agrees.

The same rules as `profiles.wishes`, asked for one bundle over the whole fleet instead of for one device.
"""

from collections.abc import Iterable

from django.db.models import Exists, OuterRef, QuerySet

from devices.models import Device, DeviceGroup, Membership
from profiles.models import Assignment, Bundle


def devices_in_scope(bundle: Bundle) -> QuerySet[Device]:
    """The enrolled devices on which the bundle is wanted (once it is published)."""
    return devices_reached(bundle.assignments.select_related("group"))


def devices_reached(assignments: Iterable[Assignment]) -> QuerySet[Device]:
    """The enrolled devices that these assignments of one bundle reach; they need not be saved."""
    included = [row.group for row in assignments if not row.excluded]
    excluded = [row.group for row in assignments if row.excluded]
    return _members(included).exclude(pk__in=_members(excluded).values("pk"))


def _members(groups: list[DeviceGroup]) -> QuerySet[Device]:
    enrolled = Device.objects.filter(state=Device.State.ENROLLED)
    if any(group.is_all for group in groups):
        return enrolled
    if not groups:
        return enrolled.none()
    # A membership that waits for a human counts neither way.
    active = Membership.objects.filter(device=OuterRef("pk"), group__in=groups, suspended_at=None)
    return enrolled.filter(Exists(active))
