"""Commands, inventory, verdicts and reports that matched nothing: records to read.

Parameters and answers may hold secrets and are encrypted at rest: they are not shown here.
"""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from devices import acts
from devices.models import Command, Inventory, InventoryKind, UnmatchedReport, Verdict
from operations.confirmation import ask
from portal_ui.admin import ReadOnlyAdmin, moment_column


class RequestTypeFilter(admin.SimpleListFilter):
    """The request types that the portal sends; asking the table would read every command ever sent."""

    title = "request type"
    parameter_name = "request_type"
    TYPES = (
        *("InstallProfile", "RemoveProfile", *InventoryKind.values, "DeviceConfigured"),
        *("DeviceLock", "ClearPasscode", "RestartDevice", "EraseDevice"),
    )

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in self.TYPES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Command]) -> QuerySet[Command]:
        return queryset.filter(request_type=self.value()) if self.value() else queryset


@admin.register(Command)
class CommandAdmin(ReadOnlyAdmin):
    list_display = ["request_type", "enrollment", "state", "attempts", "created", "sent", "completed", "origin"]
    list_select_related = ["enrollment"]
    list_filter = ["state", RequestTypeFilter]
    search_fields = ["uuid", "enrollment__enrollment_id", "enrollment__device__serial_number"]
    actions = ["cancel"]

    created = moment_column("created_at", "created")
    sent = moment_column("sent_at", "handed out", ordered=False)
    completed = moment_column("completed_at", "answered", ordered=False)

    @admin.action(description="Cancel…", permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Command]) -> HttpResponse | None:
        waiting = Command.objects.filter(pk__in=queryset.values("pk")).open()
        if not waiting.exists():
            messages.warning(request, "Every one of these commands is answered or over. There is nothing to cancel.")
            return None
        sentence = "Commands that a device has not answered yet are taken back. One that it is running now may still take effect."
        answer = ask(self, request, queryset=waiting, action="cancel", title="Cancel commands", sentence=sentence)
        if isinstance(answer, HttpResponse):
            return answer
        count = acts.cancel_commands(waiting, reason=answer.reason, actor=request.user, now=timezone.now())
        messages.success(request, f"{count} commands cancelled.")
        return None

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("devices.change_command")


@admin.register(Inventory)
class InventoryAdmin(ReadOnlyAdmin):
    list_display = ["kind", "enrollment", "asked", "reported"]
    list_select_related = ["enrollment"]
    list_filter = ["kind"]
    search_fields = ["enrollment__enrollment_id", "enrollment__device__serial_number"]

    asked = moment_column("asked_at", "asked")
    reported = moment_column("reported_at", "answered")


@admin.register(Verdict)
class VerdictAdmin(ReadOnlyAdmin):
    list_display = ["enrollment", "requirement_key", "state", "why", "proved", "next_poll"]
    list_select_related = ["enrollment"]
    list_filter = ["state"]
    search_fields = ["enrollment__enrollment_id", "enrollment__device__serial_number", "requirement_key"]

    @admin.display(description="why")
    def why(self, verdict: Verdict) -> str:
        return "; ".join(verdict.reasons)

    proved = moment_column("proved_at", "proved")
    next_poll = moment_column("next_poll_at", "asked again")


@admin.register(UnmatchedReport)
class UnmatchedReportAdmin(ReadOnlyAdmin):
    list_display = ["reason", "enrollment", "command_uuid", "received"]
    list_select_related = ["enrollment"]
    search_fields = ["reason", "command_uuid", "enrollment__enrollment_id"]

    received = moment_column("received_at", "received")
