"""A device as IT sees it, and static groups of devices. Facts shown in lists are stored, never computed per row."""

from django.db import models


class Platform(models.TextChoices):
    IOS = "iOS", "iOS"
    IPADOS = "iPadOS", "iPadOS"
    MACOS = "macOS", "macOS"
    TVOS = "tvOS", "tvOS"
    WATCHOS = "watchOS", "watchOS"
    VISIONOS = "visionOS", "visionOS"
    UNKNOWN = "", "not known yet"


class Device(models.Model):
    """One piece of hardware (or, in User Enrollment, one enrollment: Apple hides the hardware there)."""

    class State(models.TextChoices):
        PENDING = "pending"
        ENROLLED = "enrolled"
        UNENROLLED = "unenrolled"

    udid = models.CharField(max_length=64, null=True, blank=True, unique=True)
    serial_number = models.CharField(max_length=64, blank=True, db_index=True)
    name = models.CharField(max_length=255, blank=True)
    model = models.CharField(max_length=255, blank=True)
    model_name = models.CharField(max_length=255, blank=True)
    product_name = models.CharField(max_length=255, blank=True)
    platform = models.CharField(max_length=16, blank=True, choices=Platform.choices, default=Platform.UNKNOWN)
    os_version = models.CharField(max_length=64, blank=True)
    build_version = models.CharField(max_length=64, blank=True)
    imei = models.CharField(max_length=64, blank=True)
    meid = models.CharField(max_length=64, blank=True)
    is_supervised = models.BooleanField(null=True)
    # Who uses it and what IT calls it; people say so here, and payloads may name it ({{ user.email }}).
    user_name = models.CharField(max_length=150, blank=True, help_text="The user's account name.")
    user_full_name = models.CharField(max_length=150, blank=True)
    user_email = models.EmailField(blank=True)
    asset_tag = models.CharField(max_length=100, blank=True)
    # The last SecurityInfo's words; null means the device did not say (platform, rights or User Enrollment).
    passcode_present = models.BooleanField(null=True)
    passcode_compliant = models.BooleanField(null=True)
    passcode_compliant_with_profiles = models.BooleanField(null=True)
    created_at = models.DateTimeField()
    # Shown in lists; refreshed set-based for the ids that changed.
    state = models.CharField(max_length=16, choices=State.choices, default=State.PENDING, db_index=True)
    state_reason = models.CharField(max_length=255, blank=True)
    waiting_count = models.PositiveIntegerField(default=0)
    failed_count = models.PositiveIntegerField(default=0)
    oldest_waiting_at = models.DateTimeField(null=True, blank=True)
    last_seen_at = models.DateTimeField(null=True, blank=True)
    identity_expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["pk"]
        # Each act has a right of its own, so that a help desk may restart without being able to erase.
        permissions = [
            ("push_device", "Can push to and refresh devices"),
            ("lock_device", "Can lock devices"),
            ("restart_device", "Can restart devices"),
            ("clear_passcode", "Can clear passcodes"),
            ("erase_device", "Can erase devices"),
        ]

    def __str__(self) -> str:
        return self.name or self.serial_number or self.udid or f"device {self.pk}"


class DeviceGroup(models.Model):
    """A static group. `all` always exists and holds every enrolled device without membership rows."""

    ALL = "all"

    name = models.CharField(max_length=100, unique=True)
    description = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField()
    devices = models.ManyToManyField(Device, through="Membership", related_name="groups")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def is_all(self) -> bool:
        return self.name == self.ALL


class Membership(models.Model):
    """A device in a group. After a re-enrollment by a new certificate it waits for a human before it counts."""

    group = models.ForeignKey(DeviceGroup, on_delete=models.CASCADE, related_name="memberships")
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="memberships")
    suspended_at = models.DateTimeField(null=True, blank=True)
    added_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["group", "device"], name="one_membership_per_device_and_group")]

    def __str__(self) -> str:
        return f"{self.device} in {self.group}"
