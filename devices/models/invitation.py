"""Invitations to enroll. The link's token is stored hashed; a use is counted at the first TokenUpdate."""

from datetime import datetime

from django.conf import settings
from django.db import models

from certificates.models import Challenge
from devices.models.device import DeviceGroup


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def usable(self, now: datetime) -> "InvitationQuerySet":
        return self.filter(expires_at__gt=now, revoked_at=None, used_count__lt=models.F("uses"))

    def expiring(self, before: datetime) -> "InvitationQuerySet":
        return self.filter(expires_at__lt=before, revoked_at=None)


class Invitation(models.Model):
    """A link that lets `uses` devices enroll until `expires_at` and puts them into groups."""

    token_sha256 = models.BinaryField(max_length=32, unique=True)
    note = models.CharField(max_length=255, blank=True)
    # When set, only this serial may use it, and its group memberships come back by themselves.
    serial_number = models.CharField(max_length=64, blank=True)
    groups = models.ManyToManyField(DeviceGroup, blank=True, related_name="invitations")
    uses = models.PositiveIntegerField(default=1)
    used_count = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.note or f"invitation {self.pk}"


class InvitationDownload(models.Model):
    """One enrollment profile handed out: which challenge belongs to which invitation (or to which renewal)."""

    invitation = models.ForeignKey(Invitation, null=True, on_delete=models.CASCADE, related_name="downloads")
    # Set instead of the invitation when the profile renews an existing enrollment's identity.
    renews = models.ForeignKey("devices.Enrollment", null=True, on_delete=models.CASCADE, related_name="renewals")
    challenge = models.OneToOneField(Challenge, on_delete=models.CASCADE, related_name="download")
    downloaded_at = models.DateTimeField()
    counted_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"download {self.pk} of {self.invitation}"
