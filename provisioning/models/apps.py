"""Enterprise apps: uploaded .ipa files, the bundles in them, and the profiles those were signed under."""

from django.conf import settings
from django.db import models

from provisioning.models.lineage import Lineage, ProvisioningProfile


class EnterpriseApp(models.Model):
    """An app that is not in the App Store."""

    name = models.CharField(max_length=255)
    bundle_identifier = models.CharField(max_length=255, unique=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class AppVersion(models.Model):
    """One .ipa file; the bytes lie in PORTAL_DATA_DIR (or wherever the default storage puts them)."""

    app = models.ForeignKey(EnterpriseApp, on_delete=models.CASCADE, related_name="versions")
    version = models.CharField(max_length=64)
    short_version = models.CharField(max_length=64, blank=True)
    file = models.FileField(upload_to="apps/", max_length=255)
    size = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64, unique=True)
    uploaded_at = models.DateTimeField()
    uploaded_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["app", "-uploaded_at"]

    def __str__(self) -> str:
        return f"{self.app} {self.short_version or self.version}"


class AppBundle(models.Model):
    """The app, an extension or a watch app of one version, each with a profile of its own."""

    version = models.ForeignKey(AppVersion, on_delete=models.CASCADE, related_name="bundles")
    path = models.CharField(max_length=500)
    bundle_identifier = models.CharField(max_length=255)
    profile = models.ForeignKey(ProvisioningProfile, on_delete=models.PROTECT, related_name="app_bundles")
    lineage = models.ForeignKey(Lineage, on_delete=models.PROTECT, related_name="app_bundles")

    class Meta:
        ordering = ["version", "path"]

    def __str__(self) -> str:
        return self.bundle_identifier
