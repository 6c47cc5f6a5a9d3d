"""The ladder: one abstract row for anything that is wanted on a device, with one set of transitions.

waiting -> queued -> sent -> acknowledged -> installed (proved by the device's own list); failed, drifted; removing -> removed.
Every open row answers "why is this waiting, and until when".
"""

from datetime import datetime
from typing import Self, TypeVar

from django.db import models

from devices.models.command import Command
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

    def with_commands(self) -> Self:
        """Each row with the state and type of its last command, which the queue moves without telling us."""
        command = Command.objects.filter(uuid=models.OuterRef("command_uuid"))
        return self.annotate(
            command_state=models.Subquery(command.values("state")[:1]),
            command_type=models.Subquery(command.values("request_type")[:1]),
        )


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

    # Set by `with_commands()` only.
    command_state: int | None
    command_type: str | None

    class Meta:
        abstract = True
