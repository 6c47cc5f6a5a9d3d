"""Asking devices for their provisioning profiles once in a while: what proves coverage, and finds who needs what.

A device that no wave has woken yet for a new profile is left asleep; when it comes by itself it is planned anyway.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet

from devices.commands import enqueue_once
from devices.models import Command, Enrollment, Inventory, InventoryKind
from devices.models.enrollment import EnrollmentQuerySet
from provisioning import rollout
from provisioning.models import ROLLING_STATES, ProvisioningInstallation, Renewal

PRIORITY = 200
_BATCH = 500
# More than that is found by the next run.
_MOST = 20_000


def poll_lists(now: datetime) -> int:
    """Ask the enrolled devices whose last list is older than PROVISIONING_LIST_INTERVAL; how many were asked."""
    if not rollout.has_lineages():
        return 0
    ids = list(_due(now).order_by("pk").values_list("pk", flat=True)[:_MOST])
    asked = 0
    for start in range(0, len(ids), _BATCH):
        commands = enqueue_once(
            ids[start : start + _BATCH],
            InventoryKind.PROVISIONING_PROFILE_LIST.value,
            origin="daily look at provisioning profiles",
            now=now,
            priority=PRIORITY,
        )
        asked += len(commands)
    return asked


def _due(now: datetime) -> EnrollmentQuerySet:
    interval: timedelta = settings.PROVISIONING_LIST_INTERVAL
    kind = InventoryKind.PROVISIONING_PROFILE_LIST
    fresh = Inventory.objects.filter(enrollment=OuterRef("pk"), kind=kind, reported_at__gt=now - interval)
    asked = Command.objects.open().filter(enrollment=OuterRef("pk"), request_type=kind)
    asleep = ProvisioningInstallation.objects.filter(
        enrollment=OuterRef("pk"),
        wanted=True,
        profile__in=_rolling().values("new_profile"),
        wave__gt=_rolling().filter(new_profile=OuterRef("profile")).values("wave")[:1],
    )
    channels = Enrollment.objects.enrolled().device_channel()
    return channels.exclude(Exists(fresh)).exclude(Exists(asked)).exclude(Exists(asleep))


def _rolling() -> "QuerySet[Renewal]":
    return Renewal.objects.filter(state__in=ROLLING_STATES)
