"""Commands, inventory, verdicts and reports that matched nothing: records to read.

Parameters and answers may hold secrets and are encrypted at rest: they are not shown here.
"""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString

from devices import acts
from devices.models import Command, Inventory, InventoryKind, UnmatchedReport, Verdict
from operations.confirmation import ask
from portal_ui.admin import ReadOnlyAdmin, moment


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

    @admin.display(description="created", ordering="created_at")
    def created(self, command: Command) -> SafeString | str:
        return moment(command.created_at)

    @admin.display(description="handed out")
    def sent(self, command: Command) -> SafeString | str:
        return moment(command.sent_at)

    @admin.display(description="answered")
    def completed(self, command: Command) -> SafeString | str:
        return moment(command.completed_at)

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

    @admin.display(description="asked", ordering="asked_at")
    def asked(self, inventory: Inventory) -> SafeString | str:
        return moment(inventory.asked_at)

    @admin.display(description="answered", ordering="reported_at")
    def reported(self, inventory: Inventory) -> SafeString | str:
        return moment(inventory.reported_at)


@admin.register(Verdict)
class VerdictAdmin(ReadOnlyAdmin):
    list_display = ["enrollment", "requirement_key", "state", "why", "proved", "next_poll"]
    list_select_related = ["enrollment"]
    list_filter = ["state"]
    search_fields = ["enrollment__enrollment_id", "enrollment__device__serial_number", "requirement_key"]

    @admin.display(description="why")
    def why(self, verdict: Verdict) -> str:
        return "; ".join(verdict.reasons)

    @admin.display(description="proved", ordering="proved_at")
    def proved(self, verdict: Verdict) -> SafeString | str:
        return moment(verdict.proved_at)

    @admin.display(description="asked again", ordering="next_poll_at")
    def next_poll(self, verdict: Verdict) -> SafeString | str:
        return moment(verdict.next_poll_at)


@admin.register(UnmatchedReport)
class UnmatchedReportAdmin(ReadOnlyAdmin):
    list_display = ["reason", "enrollment", "command_uuid", "received"]
    list_select_related = ["enrollment"]
    search_fields = ["reason", "command_uuid", "enrollment__enrollment_id"]

    @admin.display(description="received", ordering="received_at")
    def received(self, report: UnmatchedReport) -> SafeString | str:
        return moment(report.received_at)
