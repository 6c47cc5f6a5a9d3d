"""What devices said last (Inventory) and what follows from it (Verdict)."""

from datetime import datetime

from django.db import models

from certificates.encryption import EncryptedField
from devices.models.enrollment import Enrollment


class InventoryKind(models.TextChoices):
    """RequestTypes whose last answer is kept."""

    DEVICE_INFORMATION = "DeviceInformation"
    SECURITY_INFO = "SecurityInfo"
    PROFILE_LIST = "ProfileList"
    PROVISIONING_PROFILE_LIST = "ProvisioningProfileList"
    CERTIFICATE_LIST = "CertificateList"
    INSTALLED_APPLICATION_LIST = "InstalledApplicationList"


class Inventory(models.Model):
    """The last answer per enrollment and kind; `content` is the answer's property list (XML)."""

    enrollment = models.ForeignKey(Enrollment, on_delete=models.CASCADE, related_name="inventory")
    kind = models.CharField(max_length=64, choices=InventoryKind.choices)
    content = EncryptedField()
    # When the command behind the answer was first handed out since its last NotNow, and when the answer came.
    asked_at = models.DateTimeField()
    reported_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "inventory"
        constraints = [models.UniqueConstraint(fields=["enrollment", "kind"], name="one_inventory_per_kind")]

    def __str__(self) -> str:
        return f"{self.kind} of {self.enrollment}"


class VerdictState(models.TextChoices):
    UNKNOWN = "unknown", "not known yet"
    COMPLIANT = "compliant"
    NOT_COMPLIANT = "not_compliant", "not compliant"
    UNPROVABLE = "unprovable", "this platform cannot tell"


class VerdictQuerySet(models.QuerySet["Verdict"]):
    def due(self, now: datetime) -> "VerdictQuerySet":
        return self.filter(next_poll_at__lte=now)


class Verdict(models.Model):
    """Does this enrollment meet this requirement? `requirement_key` names it (profiles: "bundle:<id>")."""

    enrollment = models.ForeignKey(Enrollment, on_delete=models.CASCADE, related_name="verdicts")
    requirement_key = models.CharField(max_length=100, db_index=True)
    state = models.CharField(max_length=16, choices=VerdictState.choices, default=VerdictState.UNKNOWN)
    reasons = models.JSONField(default=list)
    # The newest proof that it holds, whatever the state is now ("unproved since").
    proved_at = models.DateTimeField(null=True, blank=True)
    judged_at = models.DateTimeField(null=True, blank=True)
    # When waiting for proof began (the requirement was acknowledged): the polling schedule counts from here.
    waiting_since = models.DateTimeField(null=True, blank=True)
    next_poll_at = models.DateTimeField(null=True, blank=True)
    deadline = models.DateTimeField(null=True, blank=True)
    alerted_at = models.DateTimeField(null=True, blank=True)

    objects = VerdictQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["enrollment", "requirement_key"], name="one_verdict_per_requirement")
        ]
        indexes = [
            models.Index(
                fields=["next_poll_at"], condition=models.Q(next_poll_at__isnull=False), name="verdict_poll_due"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.requirement_key}: {self.state}"
