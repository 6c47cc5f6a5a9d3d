"""Base classes of every app's admin pages: read-only records, and text that a device sent shown safely.

Where a device or a job is the source of a fact, people read it; what they may do is an action with a confirmation.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.timesince import timesince

if TYPE_CHECKING:
    # Generic in the stubs only.
    ModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
    StackedInline = admin.StackedInline[Any, Any]
else:
    ModelAdmin, TabularInline, StackedInline = admin.ModelAdmin, admin.TabularInline, admin.StackedInline


# What is shown at the top right of a list or an object: a label and where it leads.
Tools: TypeAlias = Sequence[tuple[str, str]]


class PortalAdmin(ModelAdmin):
    """Lists that stay small, links at the top right, and no secret read from the database only to be left out."""

    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    # After the rows they are for, also for those who go through the page by keyboard.
    actions_on_top, actions_on_bottom = False, True
    # Names of actions that each row offers in a menu of its own, and which of them are marked as dangerous.
    row_actions: Sequence[str] = ()
    dangerous_actions: Sequence[str] = ()
    # Saved filters above the list: label and query string; the first is the whole list.
    list_tabs: Sequence[tuple[str, str]] = ()
    # What people call these things, where it is not the model's own plural.
    list_title = ""
    # What an empty list says: what these things are, and how the first one comes about.
    empty_words = ""
    change_list_template = "portal/change_list.html"
    change_form_template = "portal/change_form.html"

    @property
    def media(self) -> forms.Media:
        """Django's scripts without those that make slugs out of titles: 50 KB that no page of ours uses."""
        vendor = "vendor/jquery/jquery.js" if settings.DEBUG else "vendor/jquery/jquery.min.js"
        names = (vendor, "jquery.init.js", "core.js", "admin/RelatedObjectLookups.js", "actions.js")
        return forms.Media(js=[f"admin/js/{name}" for name in names])

    def list_tools(self, request: HttpRequest) -> Tools:
        """Links at the top right of the list, for those who may follow them."""
        return []

    def object_tools(self, request: HttpRequest, obj: Any) -> Tools:
        """Links at the top right of one object, for those who may follow them."""
        return []

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        # Bytes are never a column: keys and answers would be decrypted for every row of a list.
        related = self.list_select_related if isinstance(self.list_select_related, list | tuple) else ()
        unread = [*_bytes_of(self.model), *(name for path in related for name in _bytes_along(self.model, path))]
        return super().get_queryset(request).defer(*unread)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Refuse filters on what no page shows: `?push_magic__startswith=` would let a reader guess it letter by letter."""
        if not super().lookup_allowed(lookup, value, request):  # type: ignore[arg-type]
            return False
        model: Any = self.model
        for part in lookup.split("__"):
            shown = self.admin_site._registry.get(model)  # noqa: SLF001 (Django has no public look-up by model)
            if shown is not None and part in (shown.exclude or ()):
                return False
            try:
                field = model._meta.get_field(part)  # noqa: SLF001 (Django's public Meta API)
            except FieldDoesNotExist:
                return True  # a transform or comparison of a field that was looked at already
            if isinstance(field, models.BinaryField):
                return False
            if field.related_model is None:
                return True
            model = field.related_model
        return True

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method == "POST" and ROW_ACTION in request.POST:
            _choose_row(request)
        plural = str(self.opts.verbose_name_plural)
        return super().changelist_view(request, {
            # "Devices" instead of Django's "Select device to view".
            "title": self.list_title or capfirst(plural),
            **(extra_context or {}),
            "tools": self.list_tools(request),
            "tabs": self._tabs(request),
            "row_menus": bool(self._row_menu(request)),
            "empty_words": self.empty_words or f"No {plural} yet.",
        })  # fmt: skip

    def _tabs(self, request: HttpRequest) -> list[dict[str, Any]]:
        here = request.GET.urlencode(safe=",")
        return [{"label": label, "url": f"?{query}", "current": here == query} for label, query in self.list_tabs]

    def get_list_display(self, request: HttpRequest) -> Any:
        columns, menu = list(super().get_list_display(request)), self._row_menu(request)
        return [*columns, _row_menu_column(menu, self.dangerous_actions)] if menu else columns

    def _row_menu(self, request: HttpRequest) -> list[tuple[str, str]]:
        """Name and label of the row actions that this person may use."""
        if not self.row_actions:
            return []
        offered: dict[str, Any] = self.get_actions(request)
        return [(name, str(offered[name][2])) for name in self.row_actions if name in offered]

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        obj = kwargs.get("obj")
        context["tools"] = [] if obj is None else self.object_tools(request, obj)
        context["list_title"] = self.list_title or capfirst(str(self.opts.verbose_name_plural))
        return super().render_change_form(request, context, *args, **kwargs)


def _bytes_of(model: type[models.Model]) -> list[str]:
    return [field.name for field in model._meta.concrete_fields if isinstance(field, models.BinaryField)]  # noqa: SLF001


def _bytes_along(model: Any, path: str) -> list[str]:
    """The columns with bytes of every model on the way of a `select_related`, by their lookups."""
    found, way = [], ""
    for step in path.split("__"):
        model, way = model._meta.get_field(step).related_model, f"{way}{step}__"  # noqa: SLF001 (public Meta API)
        found += [way + name for name in _bytes_of(model)]
    return found


ROW_ACTION = "row_action"
_KEY_DIGITS = 18


def _choose_row(request: HttpRequest) -> None:
    """A row's menu sends `lock:12`: for Django that is the action `lock` on the selection of row 12 alone."""
    chosen = request.POST.copy()
    name, _, pk = str(chosen.pop(ROW_ACTION)[-1]).partition(":")
    chosen["action"], chosen["select_across"] = name, "0"
    # Anything but a key chooses nothing, which Django then says; more digits than a key has would not fit the database.
    chosen.setlist(ACTION_CHECKBOX_NAME, [pk] if pk.isdecimal() and len(pk) <= _KEY_DIGITS else [])
    request.POST = chosen  # type: ignore[assignment]  # as the request's own property does


def _row_menu_column(menu: Sequence[tuple[str, str]], dangerous: Sequence[str]) -> Callable[[Any], SafeString]:
    """A column with each row's acts; the buttons belong to a form of their own beside the list's."""
    heading = format_html('<span class="{}">{}</span>', "visually-hidden", "Acts")

    @admin.display(description=heading)
    def row_menu(row: Any) -> SafeString:
        buttons = format_html_join(
            "",
            '<button form="portal-row" name="{}" value="{}:{}"{}>{}</button>',
            (
                (ROW_ACTION, name, row.pk, SafeString(' class="portal-dangerous"') if name in dangerous else "", label)
                for name, label in menu
            ),
        )
        return format_html(
            '<button type="button" class="portal-tool portal-row-open" popovertarget="portal-row-{}" aria-label="Acts on {}">⋯</button>'
            '<div class="portal-menu-items portal-row-menu" id="portal-row-{}" popover>{}</div>',
            row.pk,
            str(row),
            row.pk,
            buttons,
        )

    return row_menu


class RelatedFilter(admin.RelatedFieldListFilter):
    """Django's filter by a related row, which reads the rows' names without their bytes."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: ModelAdmin) -> list[Any]:
        rows = field.related_model._default_manager.defer(*_bytes_of(field.related_model))  # noqa: SLF001 (public API)
        ordering = self.field_admin_ordering(field, request, model_admin)
        return [(row.pk, str(row)) for row in (rows.order_by(*ordering) if ordering else rows)]


class ReadOnlyAdmin(PortalAdmin):
    """Browse only: no add, no change, no delete, whatever the account's permissions."""

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
    if abs(value - now) < timedelta(minutes=1):
        words = "just now" if value <= now else "within a minute"
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', value.isoformat(), f"{value:%Y-%m-%d %H:%M:%S} UTC", words
    )


def moment_column(field: str, description: str, *, ordered: bool = True) -> Callable[[Any, Any], SafeString | str]:
    """A column of a list that shows a row's date by `moment`; `ordered` lets people sort by it."""

    @admin.display(description=description, ordering=field if ordered else None)
    def column(_admin: Any, row: Any) -> SafeString | str:
        return moment(getattr(row, field))

    return column
