"""Admin pages of audit events, operations and alerts: read, search, watch, resolve."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from operations import alerts, audit
from operations.models import Alert, AuditEvent, Operation
from portal_ui.admin import ReadOnlyAdmin, moment, moment_column

FAILURES_SHOWN = 100
# Seconds between two looks at an operation that is still running.
WATCH_INTERVAL = 5
# Where an operation's subjects are shown, by the first word of its kind: above this room, so by name.
SUBJECT_PAGES = {"command": "device_page"}


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ["when", "actor_name", "action", "object_label", "reason"]
    list_filter = ["action", "actor_name"]
    search_fields = ["object_label", "object_id", "reason", "actor_name"]
    actions = ["check_chain"]

    when = moment_column("at", "when")

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
    """Whoever started an operation may watch it, also without the right to see everybody's."""

    list_display = ["title", "standing", "done", "failed", "total", "created_by", "when"]
    list_select_related = ["created_by"]
    list_filter = ["state", "kind"]
    search_fields = ["title"]
    empty_words = "No operations yet. What is asked of many devices at once is followed here."
    fields = ["standing", "progress", "created_by", "when", "until"]
    change_form_template = "operations/operation_change_form.html"

    @admin.display(description="state", ordering="state")
    def standing(self, operation: Operation) -> SafeString:
        pill = '<span class="portal-pill portal-{}">{}</span>'
        return format_html(pill, operation.state, operation.get_state_display().capitalize())

    @admin.display(description="progress")
    def progress(self, operation: Operation) -> SafeString:
        settled = operation.done + operation.failed
        return format_html(
            '<progress class="portal-progress" max="{}" value="{}">{} of {}</progress> '
            "{} done, {} failed, {} waiting, of {}",
            operation.total or 1,
            settled if operation.total else 1,
            settled,
            operation.total,
            operation.done,
            operation.failed,
            operation.total - settled,
            operation.total,
        )

    when = moment_column("created_at", "started")

    @admin.display(description="finished")
    def until(self, operation: Operation) -> SafeString | str:
        return moment(operation.finished_at) if operation.finished_at else "not yet"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        own = obj is not None and obj.created_by_id is not None and obj.created_by_id == request.user.pk
        return own or super().has_view_permission(request, obj)

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        operation: Operation | None = kwargs.get("obj")
        if operation is not None:
            page = SUBJECT_PAGES.get(operation.kind.partition(".")[0])
            failed = operation.items.failed()[:FAILURES_SHOWN]
            context["failures"] = [(item, reverse(page, args=[item.subject_id]) if page else "") for item in failed]
            context["more_failures"] = max(operation.failed - FAILURES_SHOWN, 0)
        answer: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        if operation is not None and operation.finished_at is None:
            answer["Refresh"] = str(WATCH_INTERVAL)
        return answer


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    list_display = ["title", "standing", "raised", "delivered", "resolved"]
    list_filter = ["severity", ("resolved_at", admin.EmptyFieldListFilter)]
    search_fields = ["title", "text", "key"]
    actions = ["resolve"]
    row_actions = ["resolve"]
    list_tabs = [("All", ""), ("Open", "resolved_at__isempty=1"), ("Resolved", "resolved_at__isempty=0")]
    empty_words = "All quiet: nothing has needed anybody's attention yet."

    @admin.display(description="severity", ordering="severity")
    def standing(self, alert: Alert) -> SafeString:
        tone = "note" if alert.resolved_at else "bad" if alert.severity == Alert.Severity.CRITICAL else "warn"
        pill = '<span class="portal-pill portal-{}">{}</span>'
        return format_html(pill, tone, alert.get_severity_display().capitalize())

    raised = moment_column("raised_at", "raised")
    delivered = moment_column("delivered_at", "told")
    resolved = moment_column("resolved_at", "resolved")

    @admin.action(description="Mark as resolved")
    def resolve(self, request: HttpRequest, queryset: QuerySet[Alert]) -> None:
        now = timezone.now()
        for alert in queryset.filter(resolved_at=None):
            alerts.resolve(alert.key, now=now)
            audit.record(request.user, "alert.resolve", subject=alert, now=now)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        # Reading alerts is everybody's; closing one needs the right to change it.
        return super().get_actions(request) if request.user.has_perm("operations.change_alert") else {}
