"""Static groups: who is in them, and whose membership waits for a human.

`all` holds every enrolled device and has no membership rows. After a re-enrollment by a new certificate a device's
memberships are suspended until an operator confirms them or an invitation names its serial (architecture 4).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db.models import FilteredRelation, Q, QuerySet

from devices.errors import GroupNotFound
from devices.models import Device, DeviceGroup, Membership


def ensure_all_group(now: datetime) -> DeviceGroup:
    """The group `all`, made at the first call."""
    group, _ = DeviceGroup.objects.get_or_create(
        name=DeviceGroup.ALL, defaults={"description": "Every enrolled device.", "created_at": now}
    )
    return group


def get_group(name: str) -> DeviceGroup:
    """The group with this name. Raises GroupNotFound."""
    group = DeviceGroup.objects.filter(name=name).first()
    if group is None:
        raise GroupNotFound(f'There is no group "{name}".')
    return group


def add_devices(group: DeviceGroup, devices: Iterable[Device], *, now: datetime) -> None:
    """Put devices into a group; one that was suspended there counts again. `all` needs no rows and gets none."""
    if group.is_all:
        return
    rows = [Membership(group=group, device=device, added_at=now) for device in devices]
    Membership.objects.bulk_create(rows, batch_size=500, ignore_conflicts=True)
    _resume(Membership.objects.filter(group=group, device__in=[row.device_id for row in rows]))


def remove_devices(group: DeviceGroup, devices: Iterable[Device]) -> int:
    """Take devices out of a group; how many were in it."""
    return Membership.objects.filter(group=group, device__in=[device.pk for device in devices]).delete()[0]


def join(device: Device, groups: Iterable[DeviceGroup], *, now: datetime) -> None:
    """Put one device into several groups."""
    for group in groups:
        add_devices(group, [device], now=now)


def suspend_memberships(device: Device, now: datetime) -> int:
    """Make all memberships of a device wait for a human; how many now wait that did not."""
    return Membership.objects.filter(device=device, suspended_at=None).update(suspended_at=now)


def confirm_memberships(devices: Iterable[Device]) -> int:
    """Somebody vouches that these still are the devices they were: their memberships count again. How many did not."""
    return _resume(Membership.objects.filter(device__in=devices))


def group_ids_by_device(device_ids: Sequence[int]) -> dict[int, set[int]]:
    """Groups that count for each device, `all` among them for enrolled ones. Two statements, whatever the number."""
    everyone = DeviceGroup.objects.filter(name=DeviceGroup.ALL).values_list("pk", flat=True).first()
    active = FilteredRelation("memberships", condition=Q(memberships__suspended_at=None))
    rows = (
        Device.objects.filter(pk__in=device_ids)
        .annotate(active=active)
        .order_by()
        .values_list("pk", "state", "active__group_id")
    )
    groups: dict[int, set[int]] = defaultdict(set)
    for device_id, state, group_id in rows:
        groups[device_id].update({group_id} - {None})
        if state == Device.State.ENROLLED and everyone is not None:
            groups[device_id].add(everyone)
    return dict(groups)


def _resume(memberships: QuerySet[Membership]) -> int:
    return memberships.exclude(suspended_at=None).update(suspended_at=None)
