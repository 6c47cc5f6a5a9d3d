"""Base class of admin pages that people may change: what Django logs as an entry is also an audit event.

The entry names the fields that were changed, never their values, so that no secret gets into the log.
"""

from typing import Any

from django.contrib.admin.models import LogEntry
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from operations import audit
from portal_ui.admin import PortalAdmin


class AuditedAdmin(PortalAdmin):
    """Every add, change and delete is recorded; the stock bulk delete is gone, for it tells no numbers."""

    actions: Any = []

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return {name: action for name, action in super().get_actions(request).items() if name != "delete_selected"}

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> LogEntry:
        self._record(request, obj, what="add", message=message)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> LogEntry:
        self._record(request, obj, what="change", message=message)
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        for obj in queryset:
            self._record(request, obj, what="delete", message=[])
        return super().log_deletions(request, queryset)

    def _record(self, request: HttpRequest, obj: Model, *, what: str, message: Any) -> None:
        action = f"{self.opts.model_name}.{what}"
        audit.record(request.user, action, subject=obj, now=timezone.now(), details={"what": message})
