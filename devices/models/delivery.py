"""The ladder: one abstract row for anything that is wanted on a device, with one set of transitions.

waiting -> queued -> sent -> acknowledged -> installed (proved by the device's own list); failed, drifted; removing -> removed.
Every open row answers "why is this waiting, and until when".
"""

from datetime import datetime
from typing import Self, TypeVar

from django.db import models

from devices.models.enrollment import Enrollment


class LadderState(models.TextChoices):
    WAITING = "waiting"
    QUEUED = "queued"
    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"
    INSTALLED = "installed"
    FAILED = "failed"
    DRIFTED = "drifted"
    REMOVING = "removing"
    REMOVED = "removed"


Row = TypeVar("Row", bound="Delivery")


class DeliveryQuerySet(models.QuerySet[Row]):
    def due(self, now: datetime) -> Self:
        """Rows whose next act has come."""
        return self.filter(next_at__lte=now)


class Delivery(models.Model):
    """Where one wanted thing stands on one enrollment, and why."""

    enrollment = models.ForeignKey(Enrollment, on_delete=models.CASCADE, related_name="+")
    state = models.CharField(max_length=16, choices=LadderState.choices, default=LadderState.WAITING, db_index=True)
    reason = models.CharField(max_length=255, blank=True)
    # False once it is no longer wanted: the row then goes down the ladder (removing, removed).
    wanted = models.BooleanField(default=True)
    next_at = models.DateTimeField(null=True, blank=True, db_index=True)
    attempts = models.PositiveIntegerField(default=0)
    command_uuid = models.CharField(max_length=64, blank=True, db_index=True)
    error_chain = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    # First sight in the device's own list of exactly what is wanted; cleared when it is no longer there.
    proved_at = models.DateTimeField(null=True, blank=True)
    removed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True
