"""Enrollments, one per channel; the identities that may speak for them; what they entrusted to us."""

from datetime import datetime

from django.db import models

from certificates.encryption import EncryptedField
from certificates.models import IssuedCertificate
from devices.models.device import Device
from protocol.identity import EnrollmentKind


class EnrollmentState(models.TextChoices):
    PENDING = "pending", "authenticated, no TokenUpdate yet"
    ENROLLED = "enrolled"
    CHECKED_OUT = "checked_out", "left by CheckOut"
    ARCHIVED = "archived", "replaced by a newer enrollment"


class PushState(models.TextChoices):
    OK = "ok"
    NO_TOKEN = "no_token", "no push token yet"
    DEAD = "dead", "Apple refused the token"


class EnrollmentQuerySet(models.QuerySet["Enrollment"]):
    def enrolled(self) -> "EnrollmentQuerySet":
        return self.filter(state=EnrollmentState.ENROLLED)

    def device_channel(self) -> "EnrollmentQuerySet":
        return self.filter(parent=None)

    def push_due(self, now: datetime) -> "EnrollmentQuerySet":
        """Reachable enrollments whose next push is due (set on enqueue, cleared when the device has nothing open)."""
        return self.enrolled().filter(push_state=PushState.OK, next_push_at__lte=now)


class Enrollment(models.Model):
    """One channel of one device. `enrollment_id` is normalised by `protocol.identity` (Apple 1.2 channel keys)."""

    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="enrollments")
    # The device channel of a user channel; null on the device channel itself.
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE, related_name="user_channels")
    invitation = models.ForeignKey(
        "devices.Invitation", null=True, blank=True, on_delete=models.SET_NULL, related_name="enrollments"
    )
    kind = models.CharField(max_length=32, choices=[(kind.value, kind.value) for kind in EnrollmentKind])
    enrollment_id = models.CharField(max_length=400, db_index=True)
    user_short_name = models.CharField(max_length=255, blank=True)
    user_long_name = models.CharField(max_length=255, blank=True)
    topic = models.CharField(max_length=255, blank=True)
    push_magic = models.CharField(max_length=255, blank=True)
    token = models.BinaryField(blank=True, default=b"")
    state = models.CharField(
        max_length=16, choices=EnrollmentState.choices, default=EnrollmentState.PENDING, db_index=True
    )
    awaiting_configuration = models.BooleanField(default=False)
    ring = models.CharField(max_length=32, blank=True)
    authenticated_at = models.DateTimeField()
    enrolled_at = models.DateTimeField(null=True, blank=True)
    token_updated_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    last_seen_at = models.DateTimeField(null=True, blank=True)
    push_state = models.CharField(max_length=16, choices=PushState.choices, default=PushState.NO_TOKEN)
    push_reason = models.CharField(max_length=255, blank=True)
    last_push_at = models.DateTimeField(null=True, blank=True)
    next_push_at = models.DateTimeField(null=True, blank=True)
    push_attempts = models.PositiveIntegerField(default=0)

    objects = EnrollmentQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["enrollment_id"],
                condition=models.Q(state="enrolled"),
                name="one_enrolled_row_per_enrollment_id",
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_push_at"], condition=models.Q(next_push_at__isnull=False), name="enrollment_push_due"
            ),
        ]

    def __str__(self) -> str:
        return self.enrollment_id

    @property
    def channel(self) -> "Enrollment":
        """The device channel this enrollment belongs to: itself or its parent."""
        return self.parent or self


class Identity(models.Model):
    """A certificate that may speak for a device channel (and its user channels). `sha256` is of the DER."""

    enrollment = models.ForeignKey(Enrollment, on_delete=models.CASCADE, related_name="identities")
    certificate = models.ForeignKey(IssuedCertificate, on_delete=models.PROTECT, related_name="identities")
    sha256 = models.BinaryField(max_length=32, unique=True)
    not_after = models.DateTimeField(db_index=True)
    bound_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "identities"

    def __str__(self) -> str:
        return bytes(self.sha256).hex()


class EscrowedSecret(models.Model):
    """A secret a device entrusted to us, versioned; absence never clears it, a new enrollment never gets it."""

    class Kind(models.TextChoices):
        UNLOCK_TOKEN = "unlock_token"
        BOOTSTRAP_TOKEN = "bootstrap_token"
        PIN = "pin"
        RECOVERY_KEY = "recovery_key"

    enrollment = models.ForeignKey(Enrollment, on_delete=models.PROTECT, related_name="secrets")
    kind = models.CharField(max_length=32, choices=Kind.choices)
    version = models.PositiveIntegerField()
    value = EncryptedField()
    stored_at = models.DateTimeField()
    # A SetBootstrapToken with no data asks us to forget; the row stays for the audit, the value is overwritten.
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["enrollment", "kind", "version"], name="one_row_per_secret_version")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.version} of {self.enrollment}"
