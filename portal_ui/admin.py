"""Base classes of every app's admin pages: read-only records, and text that a device sent shown safely.

Where a device or a job is the source of a fact, people read it; what they may do is an action with a confirmation.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

if TYPE_CHECKING:
    # Generic in the stubs only.
    ModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
else:
    ModelAdmin, TabularInline = admin.ModelAdmin, admin.TabularInline


class ReadOnlyAdmin(ModelAdmin):
    """Browse only: no add, no change, no delete, whatever the account's permissions."""

    list_per_page = 50
    show_full_result_count = False
    # The stock bulk delete would go round has_delete_permission's meaning for readers of the list.
    actions: Any = []

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        options = self.opts
        return request.user.has_perm(f"{options.app_label}.view_{options.model_name}")


class ReadOnlyInline(TabularInline):
    """Rows of a parent, shown only."""

    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def moment(value: datetime | None, *, now: datetime | None = None) -> SafeString | str:
    """A point in time as words ("3 minutes ago", "in 2 hours") with the exact UTC time in the title."""
    if value is None:
        return "never"
    now = now or timezone.now()
    words = f"{timesince(value, now, depth=1)} ago" if value <= now else f"in {timesince(now, value, depth=1)}"
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', value.isoformat(), f"{value:%Y-%m-%d %H:%M:%S} UTC", words
    )
