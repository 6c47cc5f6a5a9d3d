"""Admin pages of audit events, operations and alerts: read, search, resolve."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from operations import alerts, audit
from operations.models import Alert, AuditEvent, Operation
from portal_ui.admin import ReadOnlyAdmin, moment


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ["when", "actor_name", "action", "object_label", "reason"]
    list_filter = ["action", "actor_name"]
    search_fields = ["object_label", "object_id", "reason", "actor_name"]
    actions = ["check_chain"]

    @admin.display(description="when", ordering="at")
    def when(self, event: AuditEvent) -> SafeString | str:
        return moment(event.at)

    @admin.action(description="Check the chain of all events")
    def check_chain(self, request: HttpRequest, queryset: QuerySet[AuditEvent]) -> None:
        broken = audit.first_broken()
        if broken is None:
            messages.success(request, "The chain is whole: no event was changed or removed.")
        else:
            messages.error(
                request, f"The chain breaks at event {broken.pk}: it or the one before was changed or removed."
            )


@admin.register(Operation)
class OperationAdmin(ReadOnlyAdmin):
    list_display = ["title", "kind", "state", "total", "done", "failed", "when"]
    list_filter = ["state", "kind"]

    @admin.display(description="started", ordering="created_at")
    def when(self, operation: Operation) -> SafeString | str:
        return moment(operation.created_at)


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    list_display = ["title", "severity", "raised", "delivered", "resolved"]
    list_filter = ["severity", ("resolved_at", admin.EmptyFieldListFilter)]
    search_fields = ["title", "text", "key"]
    actions = ["resolve"]

    @admin.display(description="raised", ordering="raised_at")
    def raised(self, alert: Alert) -> SafeString | str:
        return moment(alert.raised_at)

    @admin.display(description="told", ordering="delivered_at")
    def delivered(self, alert: Alert) -> SafeString | str:
        return moment(alert.delivered_at)

    @admin.display(description="resolved", ordering="resolved_at")
    def resolved(self, alert: Alert) -> SafeString | str:
        return moment(alert.resolved_at)

    @admin.action(description="Mark as resolved")
    def resolve(self, request: HttpRequest, queryset: QuerySet[Alert]) -> None:
        now = timezone.now()
        for alert in queryset.filter(resolved_at=None):
            alerts.resolve(alert.key, now=now)
            audit.record(request.user, "alert.resolve", subject=alert, now=now)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        # Reading alerts is everybody's; closing one needs the right to change it.
        return super().get_actions(request) if request.user.has_perm("operations.change_alert") else {}
