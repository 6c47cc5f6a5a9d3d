"""Developer teams with their API keys, lineages, and the provisioning profiles that succeed each other in them."""

from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models

from certificates.encryption import EncryptedField
from devices.models import DeviceGroup
from protocol.mobileprovision import Kind


class Program(models.TextChoices):
    """Apple's two programs: two hosts, two audiences, and no way to tell from a key which one it belongs to."""

    ENTERPRISE = "enterprise", "Apple Developer Enterprise Program"
    DEVELOPER = "developer", "Apple Developer Program"


class Policy(models.TextChoices):
    AUTO = "auto", "renew by itself"
    PROPOSE = "propose", "propose, and wait for approval"
    MANUAL = "manual", "somebody uploads the new file"


class KeyState(models.TextChoices):
    UNCHECKED = "unchecked", "not tried yet"
    WORKING = "working"
    FAILING = "failing"


class Source(models.TextChoices):
    UPLOAD = "upload", "uploaded"
    API = "api", "from Apple's API"
    IPA = "ipa", "inside an app"


class DeveloperTeam(models.Model):
    """A team at Apple; its identifier has ten characters."""

    identifier = models.CharField(max_length=32, unique=True)
    name = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["name", "identifier"]

    def __str__(self) -> str:
        return self.name or self.identifier


class ApiKey(models.Model):
    """A team key of one of Apple's two APIs (AuthKey_….p8)."""

    team = models.ForeignKey(DeveloperTeam, on_delete=models.CASCADE, related_name="api_keys")
    program = models.CharField(max_length=16, choices=Program.choices)
    key_id = models.CharField(max_length=32, unique=True)
    issuer_id = models.CharField(max_length=64)
    private_key = EncryptedField()
    state = models.CharField(max_length=16, choices=KeyState.choices, default=KeyState.UNCHECKED)
    # Kind (provisioning.appstoreconnect.errors) and words of the last refusal; empty while it works.
    error_kind = models.CharField(max_length=32, blank=True)
    error = models.CharField(max_length=500, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    last_ok_at = models.DateTimeField(null=True, blank=True)
    rate_limit = models.PositiveIntegerField(null=True, blank=True)
    rate_remaining = models.PositiveIntegerField(null=True, blank=True)
    added_at = models.DateTimeField()
    added_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["key_id"]
        verbose_name, verbose_name_plural = "API key", "API keys"

    def __str__(self) -> str:
        return f"{self.key_id} ({self.team})"


class LineageQuerySet(models.QuerySet["Lineage"]):
    def active(self) -> Self:
        """Those that somebody still needs."""
        return self.filter(retired_at=None)

    def due(self, now: datetime) -> Self:
        """Active ones whose next renewal should have begun."""
        return self.active().filter(renew_at__lte=now)

    def expiring(self, before: datetime) -> Self:
        """Active ones whose current profile ends before this moment."""
        return self.active().filter(effective_end__lt=before)


class Lineage(models.Model):
    """Team + App ID + kind + platform: the line of provisioning profiles that succeed each other."""

    team = models.ForeignKey(DeveloperTeam, on_delete=models.PROTECT, related_name="lineages")
    application_identifier = models.CharField(max_length=255)
    kind = models.CharField(max_length=16, choices=[(kind.value, kind.value.replace("_", " ")) for kind in Kind])
    # "iOS" (with its relatives), "tvOS" or "macOS"
    platform = models.CharField(max_length=16)
    name = models.CharField(max_length=255)
    policy = models.CharField(max_length=16, choices=Policy.choices, default=Policy.PROPOSE)
    lead_days = models.PositiveIntegerField(
        null=True, blank=True, help_text="How many days before its end a profile is renewed; empty: 45."
    )
    canary_group = models.ForeignKey(
        DeviceGroup, null=True, blank=True, on_delete=models.SET_NULL, related_name="+",
        help_text="These devices get a new profile first; empty: one in a hundred.",
    )  # fmt: skip
    api_key = models.ForeignKey(ApiKey, null=True, blank=True, on_delete=models.SET_NULL, related_name="lineages")
    delete_at_apple = models.BooleanField(
        default=False, help_text="Delete the old profile in Apple's portal once every device has the new one."
    )
    current = models.ForeignKey(
        "ProvisioningProfile", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    # Of `current`, kept here for lists and the scan: when apps may stop, and when renewing should begin.
    effective_end = models.DateTimeField(null=True, blank=True, db_index=True)
    renew_at = models.DateTimeField(null=True, blank=True, db_index=True)
    created_at = models.DateTimeField()
    retired_at = models.DateTimeField(null=True, blank=True)

    objects = LineageQuerySet.as_manager()

    class Meta:
        ordering = ["effective_end", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["team", "application_identifier", "kind", "platform"], name="one_lineage_per_app_id_and_kind"
            )
        ]

    def __str__(self) -> str:
        return self.name


class ProvisioningProfile(models.Model):
    """One file as Apple signed it; never changed, never deleted while anything refers to it."""

    lineage = models.ForeignKey(Lineage, on_delete=models.PROTECT, related_name="profiles")
    # As Apple wrote it, and for comparing.
    uuid = models.CharField(max_length=64)
    uuid_key = models.CharField(max_length=64, unique=True)
    name = models.CharField(max_length=255)
    sha256 = models.CharField(max_length=64, unique=True)
    # The whole CMS file. It may list devices, so it rests encrypted.
    data = EncryptedField()
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    effective_end = models.DateTimeField()
    # A list of objects: sha256, serial_number, common_name, not_after.
    certificates = models.JSONField(default=list)
    device_count = models.PositiveIntegerField(default=0)
    has_der_form = models.BooleanField(default=True)
    is_xcode_managed = models.BooleanField(default=False)
    source = models.CharField(max_length=16, choices=Source.choices)
    # Its resource at Apple; empty when it did not come from the API.
    apple_id = models.CharField(max_length=64, blank=True)
    added_at = models.DateTimeField()
    added_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["lineage", "-created_at"]

    def __str__(self) -> str:
        return f"{self.name} (to {self.effective_end:%Y-%m-%d})"


class LineageAssignment(models.Model):
    """Lineage x group, included or excluded. An exclusion beats any inclusion."""

    lineage = models.ForeignKey(Lineage, on_delete=models.CASCADE, related_name="assignments")
    group = models.ForeignKey(DeviceGroup, on_delete=models.CASCADE, related_name="lineage_assignments")
    excluded = models.BooleanField(default=False)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["lineage", "group"], name="one_assignment_per_lineage_and_group")
        ]

    def __str__(self) -> str:
        return f"{self.lineage} {'not for' if self.excluded else 'for'} {self.group}"
