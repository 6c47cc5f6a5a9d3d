"""Enrollments (what devices did: read-only) and invitations (what people hand out)."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from devices import acts
from devices.models import Enrollment, Invitation
from operations.confirmation import ask
from portal_ui.admin import ReadOnlyAdmin, Tools, moment_column


@admin.register(Enrollment)
class EnrollmentAdmin(ReadOnlyAdmin):
    """The push token and magic are credentials for waking a device: they are not shown."""

    list_display = ["enrollment_id", "device", "kind", "state", "push_state", "seen", "pushed"]
    list_select_related = ["device"]
    list_filter = ["state", "kind", "push_state"]
    search_fields = ["enrollment_id", "device__serial_number"]
    exclude = ["token", "push_magic"]

    seen = moment_column("last_seen_at", "last seen")
    pushed = moment_column("last_push_at", "last push")


@admin.register(Invitation)
class InvitationAdmin(ReadOnlyAdmin):
    """Invitations are made on their own page, which shows the link once; here they are read and revoked."""

    list_display = ["__str__", "used_count", "uses", "ends", "revoked", "created_by"]
    list_select_related = ["created_by"]
    exclude = ["token_sha256"]
    actions = ["revoke"]
    row_actions = ["revoke"]
    dangerous_actions = ["revoke"]
    empty_words = "No invitations yet. An invitation is a link and a QR code by which somebody enrolls a device."

    def list_tools(self, request: HttpRequest) -> Tools:
        # The page lives above this app: linked by name, never imported.
        return [("Invite devices", reverse("invite"))] if request.user.has_perm("devices.add_invitation") else []

    ends = moment_column("expires_at", "ends")
    revoked = moment_column("revoked_at", "revoked")

    @admin.action(description="Revoke…", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Invitation]) -> HttpResponse | None:
        sentence = "Nobody can enroll by these links any more. Devices that already did stay enrolled."
        answer = ask(self, request, queryset=queryset, action="revoke", title="Revoke invitations", sentence=sentence)
        if isinstance(answer, HttpResponse):
            return answer
        count = acts.revoke_invitations(queryset, reason=answer.reason, actor=request.user, now=timezone.now())
        messages.success(request, f"{count} invitations revoked.")
        return None

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("devices.change_invitation")
