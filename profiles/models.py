"""Bundles, payloads, revisions with the configuration profiles they produce, assignments and installations."""

from django.conf import settings
from django.db import models

from certificates.encryption import EncryptedField
from devices.models import Delivery, DeliveryQuerySet, DeviceGroup


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


class Scope(models.TextChoices):
    SYSTEM = "System", "the device"
    USER = "User", "the user (macOS user channel)"


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
    # What the user of a device reads: empty means that the portal writes it (profiles.pairing).
    requirement_name = models.CharField(max_length=100, blank=True)
    requirement_description = models.CharField(max_length=1000, blank=True)
    capability_name = models.CharField(max_length=100, blank=True)
    capability_description = models.CharField(max_length=1000, blank=True)
    # Top-level keys of its profiles (Apple's TopLevel.yaml). Scope and identifier never change once published.
    scope = models.CharField(max_length=8, choices=Scope.choices, default=Scope.SYSTEM)
    removal_disallowed = models.BooleanField(
        default=False, help_text="On supervised devices the user cannot remove the profile."
    )
    consent_text = models.TextField(
        max_length=4000, blank=True, help_text="Shown only when somebody installs the profile by hand, never by MDM."
    )
    encrypt_to_device = models.BooleanField(
        default=False,
        verbose_name="encrypt to each device",
        help_text="Profiles with secrets are encrypted to the identity certificate of the device that gets them.",
    )
    # A signed file that devices get byte for byte; the bundle then has no payloads of its own.
    original = EncryptedField(default=b"", blank=True)
    # Counts the changes of the draft: who saves from an older number is shown what the other changed.
    draft_version = models.PositiveIntegerField(default=1)
    draft_changed_at = models.DateTimeField(null=True, blank=True)
    draft_changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    current_revision = models.OneToOneField(
        "Revision", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class DraftSnapshot(models.Model):
    """The draft as one save left it: what a later save of somebody who had opened that version is merged from."""

    bundle = models.ForeignKey(Bundle, on_delete=models.CASCADE, related_name="snapshots")
    version = models.PositiveIntegerField()
    draft = EncryptedField()
    saved_at = models.DateTimeField()

    class Meta:
        ordering = ["bundle", "-version"]
        constraints = [models.UniqueConstraint(fields=["bundle", "version"], name="one_snapshot_per_version")]

    def __str__(self) -> str:
        return f"{self.bundle} draft {self.version}"


class HeldValue(models.Model):
    """A file or secret in a form that came back, so that nobody has to give it again. Kept for a day, for its owner."""

    token = models.CharField(max_length=64, unique=True)
    value = EncryptedField()
    file_name = models.CharField(max_length=255, blank=True)
    held_at = models.DateTimeField(db_index=True)
    held_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")

    def __str__(self) -> str:
        return f"held since {self.held_at}"


class Payload(models.Model):
    """One payload of a bundle's draft. `content` is its dictionary as an XML plist, common keys included."""

    bundle = models.ForeignKey(Bundle, on_delete=models.CASCADE, related_name="payloads")
    position = models.PositiveIntegerField(default=0)
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.NEUTRAL)
    name = models.CharField(max_length=255)
    payload_type = models.CharField(max_length=255)
    # The file of Apple's schema that describes it (protocol.schema); empty for a type Apple does not document.
    variant = models.CharField(max_length=255, blank=True)
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
    # The whole draft as it was published, as a plist (profiles.revisions): to compare and to restore from.
    draft = EncryptedField(default=b"", blank=True)
    reason = models.CharField(max_length=1000, blank=True)
    published_at = models.DateTimeField()
    published_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["bundle", "-number"]
        constraints = [models.UniqueConstraint(fields=["bundle", "number"], name="one_revision_per_number")]

    def __str__(self) -> str:
        return f"{self.bundle} v{self.number}"


class Profile(models.Model):
    """One configuration profile of a revision, signed once when it was published unless it has `variables`.

    With variables the content holds their names, the UUID is the stem of each device's own, and `signed` is empty.
    """

    revision = models.ForeignKey(Revision, on_delete=models.CASCADE, related_name="profiles")
    part = models.CharField(max_length=16, choices=Part.choices)
    identifier = models.CharField(max_length=255, db_index=True)
    # New for every different content: it is what proof compares.
    uuid = models.CharField(max_length=64, db_index=True)
    display_name = models.CharField(max_length=255)
    payload_types = models.JSONField(default=list)
    # Names of what is filled in for each device: "device.serial_number", "secret.office-wifi".
    variables = models.JSONField(default=list, blank=True)
    encrypt_to_device = models.BooleanField(default=False)
    content = EncryptedField()
    signed = EncryptedField()

    class Meta:
        ordering = ["revision", "part"]
        constraints = [models.UniqueConstraint(fields=["revision", "part"], name="one_profile_per_part")]

    def __str__(self) -> str:
        return f"{self.revision} ({self.part})"


class Secret(models.Model):
    """A password or key that payloads name as `{{ secret.NAME }}`; its value leaves the database for a device only."""

    name = models.SlugField(max_length=100, unique=True)
    value = EncryptedField()
    # Counts the values it had: a new one means new content on every device that holds it.
    version = models.PositiveIntegerField(default=1)
    length = models.PositiveIntegerField(default=0)
    note = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class SchemaRelease(models.Model):
    """A release of Apple's schema that was loaded at run time. The newest active one counts, else the packaged one."""

    name = models.CharField(max_length=255)
    # Compressed JSON: the compact form of protocol.schema, and Apple's titles and help.
    facts = models.BinaryField()
    texts = models.BinaryField()
    # What it adds, removes and changes against the one that counted before, as lists of sentences by kind.
    changes = models.JSONField(default=dict)
    activated_at = models.DateTimeField(null=True, blank=True)
    loaded_at = models.DateTimeField()
    loaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.name


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
    """The ladder's rows of configuration profiles."""


class Installation(Delivery):
    """One part of a bundle on one enrollment: which profile is wanted, and how far it got."""

    bundle = models.ForeignKey(Bundle, on_delete=models.CASCADE, related_name="installations")
    part = models.CharField(max_length=16, choices=Part.choices)
    profile = models.ForeignKey(Profile, on_delete=models.PROTECT, related_name="installations")
    # The top-level PayloadUUID that proof must find (the profile's, or its per-device variant's).
    payload_uuid = models.CharField(max_length=64)

    objects = InstallationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["enrollment", "bundle", "part"], name="one_installation_per_part"),
        ]
        indexes = [models.Index(fields=["bundle", "part", "state"])]

    def __str__(self) -> str:
        return f"{self.bundle} ({self.part}) on {self.enrollment}"
