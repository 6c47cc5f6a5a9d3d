"""Bundles, payloads, revisions with the configuration profiles they produce, assignments and installations."""

from typing import Self

from django.conf import settings
from django.db import models

from certificates.encryption import EncryptedField
from devices.models import Command, Delivery, DeliveryQuerySet, DeviceGroup


class DeliveryRule(models.TextChoices):
    TOGETHER = "together", "both in one profile"
    AFTER_COMPLIANCE = "after_compliance", "the capability once the device has proved the requirement"


class Role(models.TextChoices):
    REQUIREMENT = "requirement"
    CAPABILITY = "capability"
    NEUTRAL = "neutral"


class Part(models.TextChoices):
    WHOLE = "whole"
    REQUIREMENT = "requirement"
    CAPABILITY = "capability"


class Bundle(models.Model):
    """What IT staff composes: ordered payloads and a delivery rule. Publishing makes a Revision of it."""

    name = models.CharField(max_length=100, unique=True)
    # Stem of the PayloadIdentifiers of its profiles; never changes.
    identifier = models.CharField(max_length=150, unique=True)
    description = models.CharField(max_length=255, blank=True)
    delivery_rule = models.CharField(max_length=20, choices=DeliveryRule.choices, default=DeliveryRule.AFTER_COMPLIANCE)
    withdraw_on_regression = models.BooleanField(
        default=True, help_text="Take the capability away while the device does not comply."
    )
    silent_days = models.PositiveIntegerField(
        default=14, help_text="Alert when a device has not proved compliance for this many days."
    )
    current_revision = models.OneToOneField(
        "Revision", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Payload(models.Model):
    """One payload of a bundle's draft. `content` is its dictionary as an XML plist, common keys included."""

    bundle = models.ForeignKey(Bundle, on_delete=models.CASCADE, related_name="payloads")
    position = models.PositiveIntegerField(default=0)
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.NEUTRAL)
    name = models.CharField(max_length=255)
    payload_type = models.CharField(max_length=255)
    payload_identifier = models.CharField(max_length=255)
    payload_uuid = models.CharField(max_length=64)
    content = EncryptedField()

    class Meta:
        ordering = ["bundle", "position", "pk"]

    def __str__(self) -> str:
        return self.name


class Revision(models.Model):
    """An immutable published state of a bundle."""

    bundle = models.ForeignKey(Bundle, on_delete=models.CASCADE, related_name="revisions")
    number = models.PositiveIntegerField()
    delivery_rule = models.CharField(max_length=20, choices=DeliveryRule.choices)
    withdraw_on_regression = models.BooleanField(default=True)
    silent_days = models.PositiveIntegerField(default=14)
    published_at = models.DateTimeField()
    published_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["bundle", "-number"]
        constraints = [models.UniqueConstraint(fields=["bundle", "number"], name="one_revision_per_number")]

    def __str__(self) -> str:
        return f"{self.bundle} v{self.number}"


class Profile(models.Model):
    """One configuration profile of a revision, rendered and signed once when it was published."""

    revision = models.ForeignKey(Revision, on_delete=models.CASCADE, related_name="profiles")
    part = models.CharField(max_length=16, choices=Part.choices)
    identifier = models.CharField(max_length=255, db_index=True)
    # New for every different content: it is what proof compares.
    uuid = models.CharField(max_length=64, db_index=True)
    display_name = models.CharField(max_length=255)
    payload_types = models.JSONField(default=list)
    content = EncryptedField()
    signed = EncryptedField()

    class Meta:
        ordering = ["revision", "part"]
        constraints = [models.UniqueConstraint(fields=["revision", "part"], name="one_profile_per_part")]

    def __str__(self) -> str:
        return f"{self.revision} ({self.part})"


class Assignment(models.Model):
    """Bundle x group, included or excluded. An exclusion beats any inclusion."""

    bundle = models.ForeignKey(Bundle, on_delete=models.CASCADE, related_name="assignments")
    group = models.ForeignKey(DeviceGroup, on_delete=models.CASCADE, related_name="assignments")
    excluded = models.BooleanField(default=False)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["bundle", "group"], name="one_assignment_per_bundle_and_group")]

    def __str__(self) -> str:
        return f"{self.bundle} {'not for' if self.excluded else 'for'} {self.group}"


class InstallationQuerySet(DeliveryQuerySet["Installation"]):
    def with_commands(self) -> Self:
        """Each row with the state and type of its last command, which the queue moves without telling us."""
        command = Command.objects.filter(uuid=models.OuterRef("command_uuid"))
        return self.annotate(
            command_state=models.Subquery(command.values("state")[:1]),
            command_type=models.Subquery(command.values("request_type")[:1]),
        )


class Installation(Delivery):
    """One part of a bundle on one enrollment: which profile is wanted, and how far it got."""

    bundle = models.ForeignKey(Bundle, on_delete=models.CASCADE, related_name="installations")
    part = models.CharField(max_length=16, choices=Part.choices)
    profile = models.ForeignKey(Profile, on_delete=models.PROTECT, related_name="installations")
    # The top-level PayloadUUID that proof must find (the profile's, or its per-device variant's).
    payload_uuid = models.CharField(max_length=64)

    # Set by `with_commands()` only.
    command_state: int | None
    command_type: str | None

    objects = InstallationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["enrollment", "bundle", "part"], name="one_installation_per_part"),
        ]
        indexes = [models.Index(fields=["bundle", "part", "state"])]

    def __str__(self) -> str:
        return f"{self.bundle} ({self.part}) on {self.enrollment}"
