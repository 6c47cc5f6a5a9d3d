"""Admin pages of certificates: facts to read. Private keys have no page, and challenges are nobody's business."""

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse

from certificates.models import CertificateAuthority, PushCertificate
from portal_ui.admin import ReadOnlyAdmin, Tools, moment_column


@admin.register(CertificateAuthority)
class CertificateAuthorityAdmin(ReadOnlyAdmin):
    list_display = ["name", "ends", "created"]
    exclude = ["certificate_der", "private_key_pem"]

    ends = moment_column("not_after", "ends")
    created = moment_column("created_at", "made")


class IssuedCertificateAdmin(ReadOnlyAdmin):
    """Registered by the room above, which knows what devices lose when a certificate is revoked."""

    list_display = ["subject", "purpose", "serial_number", "issued", "ends", "revoked"]
    list_filter = ["purpose", ("revoked_at", admin.EmptyFieldListFilter)]
    search_fields = ["subject", "serial_number"]
    ordering = ["-pk"]
    exclude = ["certificate_der", "private_key_pem", "sha256", "public_key_sha256"]

    issued = moment_column("issued_at", "issued")
    ends = moment_column("not_after", "ends")
    revoked = moment_column("revoked_at", "revoked")


@admin.register(PushCertificate)
class PushCertificateAdmin(ReadOnlyAdmin):
    """Uploading is a page of its own above this app, for it must know how many devices depend on the topic."""

    empty_words = "No push certificate yet: without one devices cannot be woken, and new ones cannot enroll."
    list_display = ["topic", "ends", "uploaded", "replaced", "stopped_reason"]
    list_filter = [("replaced_at", admin.EmptyFieldListFilter)]
    ordering = ["-pk"]
    exclude = ["private_key_pem", "sha256"]

    def list_tools(self, request: HttpRequest) -> Tools:
        may_upload = request.user.has_perm("certificates.add_pushcertificate")
        return [("Upload a certificate", reverse("push_certificate"))] if may_upload else []

    ends = moment_column("not_after", "ends")
    uploaded = moment_column("uploaded_at", "uploaded")
    replaced = moment_column("replaced_at", "replaced")
