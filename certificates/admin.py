"""Admin pages of certificates: facts to read. Private keys have no page, and challenges are nobody's business."""

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString

from certificates.models import CertificateAuthority, IssuedCertificate, PushCertificate
from portal_ui.admin import ReadOnlyAdmin, Tools, moment


@admin.register(CertificateAuthority)
class CertificateAuthorityAdmin(ReadOnlyAdmin):
    list_display = ["name", "ends", "created"]
    exclude = ["certificate_der", "private_key_pem"]

    @admin.display(description="ends", ordering="not_after")
    def ends(self, authority: CertificateAuthority) -> SafeString | str:
        return moment(authority.not_after)

    @admin.display(description="made", ordering="created_at")
    def created(self, authority: CertificateAuthority) -> SafeString | str:
        return moment(authority.created_at)


class IssuedCertificateAdmin(ReadOnlyAdmin):
    """Registered by the room above, which knows what devices lose when a certificate is revoked."""

    list_display = ["subject", "purpose", "serial_number", "issued", "ends", "revoked"]
    list_filter = ["purpose", ("revoked_at", admin.EmptyFieldListFilter)]
    search_fields = ["subject", "serial_number"]
    ordering = ["-pk"]
    exclude = ["certificate_der", "private_key_pem", "sha256", "public_key_sha256"]

    @admin.display(description="issued", ordering="issued_at")
    def issued(self, certificate: IssuedCertificate) -> SafeString | str:
        return moment(certificate.issued_at)

    @admin.display(description="ends", ordering="not_after")
    def ends(self, certificate: IssuedCertificate) -> SafeString | str:
        return moment(certificate.not_after)

    @admin.display(description="revoked", ordering="revoked_at")
    def revoked(self, certificate: IssuedCertificate) -> SafeString | str:
        return moment(certificate.revoked_at)


@admin.register(PushCertificate)
class PushCertificateAdmin(ReadOnlyAdmin):
    """Uploading is a page of its own above this app, for it must know how many devices depend on the topic."""

    list_display = ["topic", "ends", "uploaded", "replaced", "stopped_reason"]
    list_filter = [("replaced_at", admin.EmptyFieldListFilter)]
    ordering = ["-pk"]
    exclude = ["private_key_pem", "sha256"]

    def list_tools(self, request: HttpRequest) -> Tools:
        may_upload = request.user.has_perm("certificates.add_pushcertificate")
        return [("Upload a certificate", reverse("push_certificate"))] if may_upload else []

    @admin.display(description="ends", ordering="not_after")
    def ends(self, certificate: PushCertificate) -> SafeString | str:
        return moment(certificate.not_after)

    @admin.display(description="uploaded", ordering="uploaded_at")
    def uploaded(self, certificate: PushCertificate) -> SafeString | str:
        return moment(certificate.uploaded_at)

    @admin.display(description="replaced", ordering="replaced_at")
    def replaced(self, certificate: PushCertificate) -> SafeString | str:
        return moment(certificate.replaced_at)
