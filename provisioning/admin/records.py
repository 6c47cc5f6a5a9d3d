"""Provisioning's plain records: teams, files, assignments, the ladder's rows, and what devices list."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from operations.confirmation import ask
from portal_ui.admin import ReadOnlyAdmin, moment, moment_column
from provisioning import acts, lineages
from provisioning.admin.frame import CHANGE, end_pill
from provisioning.assignment import devices_reached
from provisioning.errors import UnreadableProfile
from provisioning.models import (
    DeveloperTeam,
    Lineage,
    LineageAssignment,
    ListedProvisioningProfile,
    ProvisioningInstallation,
    ProvisioningProfile,
)


@admin.register(DeveloperTeam)
class DeveloperTeamAdmin(ReadOnlyAdmin):
    list_display = ["__str__", "identifier"]
    search_fields = ["name", "identifier"]


@admin.register(ProvisioningProfile)
class ProvisioningProfileAdmin(ReadOnlyAdmin):
    """The files themselves. Devices in them are counted, never listed."""

    list_title = "Profile files"
    list_display = ["name", "lineage", "uuid", "made", "ends", "source"]
    list_select_related = ["lineage"]
    list_filter = ["source", "lineage"]
    search_fields = ["name", "uuid_key", "lineage__name"]
    ordering = ["-created_at"]
    readonly_fields = [
        "name", "lineage", "uuid", "sha256", "created_at", "expires_at", "effective_end", "certificates_in_words",
        "entitlements", "device_count", "has_der_form", "is_xcode_managed", "source", "apple_id", "added_at", "added_by",
    ]  # fmt: skip

    made = moment_column("created_at", "made")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.readonly_fields

    @admin.display(description="apps run until", ordering="effective_end")
    def ends(self, profile: ProvisioningProfile) -> SafeString | str:
        return end_pill(profile.effective_end, timezone.now())

    @admin.display(description="certificates")
    def certificates_in_words(self, profile: ProvisioningProfile) -> SafeString:
        names = ("common_name", "serial_number", "not_after")
        rows = ([str(row.get(name, "")) for name in names] for row in profile.certificates)
        return format_html_join("", "<p>{}, serial number {}, ends {}</p>", rows)

    @admin.display(description="entitlements")
    def entitlements(self, profile: ProvisioningProfile) -> SafeString | str:
        try:
            file = lineages.read(ProvisioningProfile.objects.get(pk=profile.pk))
        except UnreadableProfile as error:
            return error.reason
        rows = ((key, _words(value)) for key, value in sorted(file.entitlements.items()))
        return format_html_join("", "<p>{}: {}</p>", rows)


def _words(value: Any) -> str:
    return ", ".join(str(one) for one in value) if isinstance(value, list) else str(value)


@admin.register(LineageAssignment)
class LineageAssignmentAdmin(ReadOnlyAdmin):
    """Made from the lineage's page, which says how many devices one reaches; taken back here."""

    list_title = "Lineage assignments"
    list_display = ["lineage", "group", "excluded", "since"]
    list_select_related = ["lineage", "group"]
    list_filter = ["lineage", "group", "excluded"]
    ordering = ["lineage__name", "group__name"]
    actions = ["unassign"]

    since = moment_column("created_at", "since")

    @admin.action(description="Take back…", permissions=["unassign"])
    def unassign(self, request: HttpRequest, queryset: QuerySet[LineageAssignment]) -> HttpResponse | None:
        rows = list(queryset.select_related("lineage", "group"))
        sentence = f"{_effect(rows)} What devices have stays on them until it ends."
        answer = ask(
            self, request, queryset=queryset, action="unassign", title="Take assignments back", sentence=sentence
        )
        if isinstance(answer, HttpResponse):
            return answer
        count = acts.unassign(rows, reason=answer.reason, actor=request.user, now=timezone.now())
        messages.success(request, f"{count} assignments taken back.")
        return None

    def has_unassign_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(CHANGE)


def _effect(rows: list[LineageAssignment]) -> str:
    """What taking these back does, lineage by lineage, in numbers of devices."""
    sentences = []
    for lineage in Lineage.objects.filter(pk__in={row.lineage_id for row in rows}):
        present = list(lineage.assignments.select_related("group"))
        before = devices_reached(present)
        after = devices_reached([row for row in present if row not in rows])
        lost = before.exclude(pk__in=after.values("pk")).count()
        gained = after.exclude(pk__in=before.values("pk")).count()
        sentences.append(f"{lineage}: {lost} devices leave it, {gained} join it.")
    return " ".join(sentences)


@admin.register(ProvisioningInstallation)
class ProvisioningInstallationAdmin(ReadOnlyAdmin):
    list_title = "Provisioning installations"
    list_display = ["lineage", "profile", "device", "state", "reason", "attempts", "changed", "next_try"]
    list_select_related = ["lineage", "profile", "enrollment__device"]
    list_filter = ["state", "lineage", "wave"]
    search_fields = ["enrollment__device__serial_number", "enrollment__device__name", "profile__uuid_key"]
    ordering = ["-pk"]

    changed = moment_column("changed_at", "since")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("profile__data")

    @admin.display(description="device")
    def device(self, row: ProvisioningInstallation) -> str:
        return str(row.enrollment.device)

    @admin.display(description="next", ordering="next_at")
    def next_try(self, row: ProvisioningInstallation) -> SafeString | str:
        return moment(row.next_at) if row.next_at else ""


@admin.register(ListedProvisioningProfile)
class ListedProvisioningProfileAdmin(ReadOnlyAdmin):
    """What devices say they hold, ours or not."""

    list_title = "Profiles on devices"
    list_display = ["name", "uuid", "device", "ends", "reported"]
    list_select_related = ["enrollment__device"]
    search_fields = ["uuid_key", "name", "enrollment__device__serial_number"]
    ordering = ["-pk"]

    reported = moment_column("reported_at", "listed")

    @admin.display(description="ends", ordering="expires_at")
    def ends(self, row: ListedProvisioningProfile) -> SafeString | str:
        return end_pill(row.expires_at, timezone.now())

    @admin.display(description="device")
    def device(self, row: ListedProvisioningProfile) -> str:
        return str(row.enrollment.device)
