"""Where provisioning profiles stand on devices: the ladder's rows, and what devices list."""

from django.db import models

from devices.models import Delivery, DeliveryQuerySet, Enrollment
from provisioning.models.lineage import Lineage, ProvisioningProfile


class ProvisioningInstallationQuerySet(DeliveryQuerySet["ProvisioningInstallation"]):
    """The ladder's rows of provisioning profiles."""


class ProvisioningInstallation(Delivery):
    """One provisioning profile on one enrollment: wanted and how far it got, or no longer wanted and going."""

    lineage = models.ForeignKey(Lineage, on_delete=models.CASCADE, related_name="installations")
    profile = models.ForeignKey(ProvisioningProfile, on_delete=models.PROTECT, related_name="installations")
    # In which wave of its renewal the device is woken for it; 0: at once.
    wave = models.PositiveIntegerField(default=0)

    objects = ProvisioningInstallationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["enrollment", "profile"], name="one_row_per_enrollment_and_profile")
        ]
        indexes = [
            models.Index(fields=["profile", "state"], name="provisioning_profile_state"),
            models.Index(fields=["lineage", "state"], name="provisioning_lineage_state"),
        ]

    def __str__(self) -> str:
        return f"{self.profile} on {self.enrollment}"


class ListedProvisioningProfile(models.Model):
    """A fact, no state: one line of an enrollment's last ProvisioningProfileList, ours or not."""

    enrollment = models.ForeignKey(Enrollment, on_delete=models.CASCADE, related_name="+")
    # As the device wrote it (removal must send exactly that), and for comparing.
    uuid = models.CharField(max_length=64)
    uuid_key = models.CharField(max_length=64, db_index=True)
    name = models.CharField(max_length=255, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    # When the list was asked for, and when it came.
    asked_at = models.DateTimeField()
    reported_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["enrollment", "uuid_key"], name="one_line_per_enrollment_and_uuid")
        ]

    def __str__(self) -> str:
        return f"{self.name or self.uuid} on {self.enrollment}"
