"""The command queue's table. The hot statements on it are in `devices/queue/`, one text per database.

A command holds small parameters that refer to content; bytes are rendered when the device asks.
"""

from datetime import datetime

from django.db import models

from certificates.encryption import EncryptedField
from devices.models.enrollment import Enrollment


class CommandState(models.IntegerChoices):
    """Ordered so that "open" is one range: everything below ACKNOWLEDGED may still be handed out."""

    QUEUED = 0, "queued"
    SENT = 1, "sent"
    NOT_NOW = 2, "not now"
    ACKNOWLEDGED = 3, "acknowledged"
    ERROR = 4, "error"
    FORMAT_ERROR = 5, "command format error"
    UNRENDERABLE = 6, "could not be rendered"
    CANCELLED = 7, "cancelled"
    EXPIRED = 8, "expired"


OPEN_BELOW = CommandState.ACKNOWLEDGED.value


class CommandQuerySet(models.QuerySet["Command"]):
    def open(self) -> "CommandQuerySet":
        return self.filter(state__lt=OPEN_BELOW)

    def unhandled(self, before: datetime) -> "CommandQuerySet":
        """Answers stored before `before` whose handler has not run: what a crash left."""
        answered = [CommandState.ACKNOWLEDGED, CommandState.ERROR, CommandState.FORMAT_ERROR]
        return self.filter(state__in=answered, handled_at=None, completed_at__lt=before)

    def expired(self, now: datetime) -> "CommandQuerySet":
        return self.open().filter(expires_at__lte=now)


class Command(models.Model):
    """One command for one enrollment. `params` is an XML plist of small values and references (b"" when none)."""

    uuid = models.CharField(max_length=64, unique=True)
    enrollment = models.ForeignKey(Enrollment, on_delete=models.CASCADE, related_name="commands")
    request_type = models.CharField(max_length=64)
    params = EncryptedField(default=b"")
    state = models.PositiveSmallIntegerField(choices=CommandState.choices, default=CommandState.QUEUED)
    priority = models.SmallIntegerField(default=100)
    not_before = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField()
    # The moment it was first handed out since its last NotNow: how old an answer can be at most (the gate's clock).
    sent_at = models.DateTimeField(null=True, blank=True)
    not_now_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    error_chain = models.JSONField(default=list, blank=True)
    result = EncryptedField(null=True)
    handled_at = models.DateTimeField(null=True, blank=True)
    handle_attempts = models.PositiveSmallIntegerField(default=0)
    # Who or what asked, and why; shown to IT staff.
    origin = models.CharField(max_length=255, blank=True)

    objects = CommandQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["enrollment", "priority", "id"], condition=models.Q(state__lt=3), name="command_open"),
            models.Index(
                fields=["completed_at"],
                condition=models.Q(state__in=[3, 4, 5], handled_at=None),
                name="command_unhandled",
            ),
            models.Index(fields=["enrollment", "-id"], name="command_of_enrollment"),
        ]

    def __str__(self) -> str:
        return f"{self.request_type} {self.uuid}"


class UnmatchedReport(models.Model):
    """What an authenticated device said that we could not read or match; kept raw so that nothing is lost."""

    received_at = models.DateTimeField()
    enrollment = models.ForeignKey(Enrollment, null=True, on_delete=models.CASCADE, related_name="unmatched_reports")
    reason = models.CharField(max_length=255)
    command_uuid = models.CharField(max_length=255, blank=True)
    raw = EncryptedField()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.reason
