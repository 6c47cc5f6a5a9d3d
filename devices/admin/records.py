"""Commands, inventory, verdicts and reports that matched nothing: records to read.

Parameters and answers may hold secrets and are encrypted at rest: they are not shown here.
"""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from devices import acts
from devices.models import Command, Inventory, InventoryKind, UnmatchedReport, Verdict
from devices.words import COMMAND_TONES, COMMAND_WORDS, command_sentence, sentence
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
    list_display = ["request_type", "device", "standing", "created", "sent", "completed", "origin"]
    list_select_related = ["enrollment__device"]
    list_filter = ["state", RequestTypeFilter]
    search_fields = ["uuid", "enrollment__enrollment_id", "enrollment__device__serial_number"]
    search_help_text = "Serial number, enrollment id or UUID"
    actions = ["cancel"]
    row_actions = ["cancel"]
    list_tabs = [
        ("All", ""),
        ("Waiting", "state__in=0,1,2"),
        ("Failed", "state__in=4,5,6,8"),
        ("Done", "state__exact=3"),
    ]
    empty_words = "No commands yet. The portal queues them by itself, and for what people ask of a device."

    @admin.display(description="device")
    def device(self, command: Command) -> SafeString:
        device = command.enrollment.device
        return format_html('<a href="{}">{}</a>', reverse("device_page", args=[device.pk]), str(device))

    @admin.display(description="state", ordering="state")
    def standing(self, command: Command) -> SafeString:
        tone = COMMAND_TONES.get(command.state, "note")
        pill = '<span class="portal-pill portal-{}">{}</span> <span class="portal-quietly">{}</span>'
        words = COMMAND_WORDS.get(command.state, str(command.state))
        return format_html(pill, tone, words, sentence(command_sentence(command, now=timezone.now())))

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
    list_display = ["enrollment", "requirement_key", "standing", "why", "proved", "next_poll"]
    list_select_related = ["enrollment"]
    list_filter = ["state"]
    search_fields = ["enrollment__enrollment_id", "enrollment__device__serial_number", "requirement_key"]

    @admin.display(description="state", ordering="state")
    def standing(self, verdict: Verdict) -> SafeString:
        pill = '<span class="portal-pill portal-{}">{}</span>'
        return format_html(pill, verdict.state, verdict.get_state_display().capitalize())

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
