"""The list of lineages with its lanes, and the addresses of every page of one lineage. The pages are modules beside this.

What a device needs next, and when a lineage is renewed, is never decided here.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from portal_ui.admin import PortalAdmin, Tools, moment
from portal_ui.charts import Bar, Lane, lanes
from provisioning.admin import assign_page, calendar_page, dry_run_page, lineage_page, settings_page, upload_page
from provisioning.admin.frame import UPLOAD, end_pill, state_pill, tone
from provisioning.models import FINAL_STATES, Lineage, ProvisioningProfile, Renewal, RenewalState

_LANES = 40


class OpenFilter(admin.SimpleListFilter):
    """Lineages that are used, or the retired ones."""

    title = "use"
    parameter_name = "use"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("renewing", "being renewed"), ("problem", "needs somebody"), ("retired", "retired")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Lineage]) -> QuerySet[Lineage]:
        if self.value() == "retired":
            return queryset.exclude(retired_at=None)
        if self.value() == "renewing":
            return queryset.filter(renewals__in=Renewal.objects.open())
        if self.value() == "problem":
            needs = [RenewalState.BLOCKED, RenewalState.DUE]
            return queryset.filter(renewals__in=Renewal.objects.filter(state__in=needs))
        return queryset.filter(retired_at=None)


@admin.register(Lineage)
class LineageAdmin(PortalAdmin):
    """Made by the first file or profile of its App ID; changed on its own pages, which record it."""

    list_title = "Provisioning profiles"
    list_display = ["title", "team", "kind_of", "ends", "renewal", "policy_of", "assigned"]
    list_display_links = None
    list_filter = [OpenFilter, "kind", "policy", "team"]
    search_fields = ["name", "application_identifier", "team__name", "team__identifier"]
    search_help_text = "Name, App ID or team"
    ordering = ["effective_end", "pk"]
    actions: Any = []
    list_tabs = [
        ("All", ""),
        ("Being renewed", "use=renewing"),
        ("Needs somebody", "use=problem"),
        ("Retired", "use=retired"),
    ]
    empty_words = (
        "No provisioning profiles yet. An app that is not from the App Store launches only while its provisioning profile "
        "is valid. Upload one (.mobileprovision), or the app with all of its profiles (.ipa); the portal then renews it."
    )
    change_list_template = "provisioning/lineage_list.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Lineage]:
        rows: QuerySet[Lineage] = super().get_queryset(request).select_related("team")
        return rows.annotate(
            groups_assigned=Count("assignments", filter=Q(assignments__excluded=False), distinct=True)
        ).prefetch_related("renewals")

    # --- columns ----------------------------------------------------------------------------------------------------

    @admin.display(description="lineage", ordering="name")
    def title(self, lineage: Lineage) -> SafeString:
        address = reverse("admin:provisioning_lineage_change", args=[lineage.pk])
        return format_html(
            '<a href="{}">{}</a><br><span class="portal-quietly">{}</span>',
            address, lineage.name, lineage.application_identifier,
        )  # fmt: skip

    @admin.display(description="kind", ordering="kind")
    def kind_of(self, lineage: Lineage) -> str:
        return f"{lineage.get_kind_display()}, {lineage.platform}"

    @admin.display(description="apps run until", ordering="effective_end")
    def ends(self, lineage: Lineage) -> SafeString | str:
        return end_pill(lineage.effective_end, timezone.now())

    @admin.display(description="renewal")
    def renewal(self, lineage: Lineage) -> SafeString | str:
        newest = max(lineage.renewals.all(), key=lambda row: row.pk, default=None)
        if newest is not None and newest.state not in FINAL_STATES:
            address = reverse("admin:provisioning_renewal_change", args=[newest.pk])
            return format_html('<a href="{}">{}</a>', address, state_pill(newest))
        return format_html("begins {}", moment(lineage.renew_at)) if lineage.renew_at else ""

    @admin.display(description="policy", ordering="policy")
    def policy_of(self, lineage: Lineage) -> str:
        return str(lineage.get_policy_display())

    @admin.display(description="assigned", ordering="groups_assigned")
    def assigned(self, lineage: Lineage) -> str:
        count = getattr(lineage, "groups_assigned", 0)
        return f"{count} group{'' if count == 1 else 's'}" if count else "where it is listed"

    # --- pages ------------------------------------------------------------------------------------------------------

    def list_tools(self, request: HttpRequest) -> Tools:
        tools = [("Upload a file", reverse("admin:provisioning_lineage_upload"))]
        return [
            *(tools if request.user.has_perm(UPLOAD) else []),
            ("Calendar", reverse("admin:provisioning_lineage_calendar")),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        chart = lane_chart(Lineage.objects.active(), timezone.now())
        return super().changelist_view(request, {**(extra_context or {}), "chart": chart})

    def get_urls(self) -> list[URLPattern]:
        def page(
            address: str, view: Callable[..., HttpResponseBase], name: str, *, post_only: bool = False
        ) -> URLPattern:
            wrapped = self.admin_site.admin_view(never_cache(partial(view, self)))
            return path(address, require_POST(wrapped) if post_only else wrapped, name=f"provisioning_lineage_{name}")

        own = [
            page("upload/", upload_page.upload_page, "upload"),
            page("calendar/", calendar_page.calendar_page, "calendar"),
            page("<int:pk>/assign/", assign_page.assign_page, "assign"),
            page("<int:pk>/settings/", settings_page.settings_page, "settings"),
            page("<int:pk>/retire/", settings_page.retire_page, "retire"),
            page("<int:pk>/revive/", settings_page.revive, "revive", post_only=True),
            page("<int:pk>/renew/", lineage_page.renew_page, "renew"),
            page("<int:pk>/dry-run/", dry_run_page.dry_run_page, "dry_run"),
            page("<int:pk>/stragglers.csv", lineage_page.stragglers_csv, "stragglers"),
        ]
        return own + super().get_urls()

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return lineage_page.lineage_page(self, request, int(object_id) if object_id.isdecimal() else 0)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("provisioning.view_lineage")


def lane_chart(lineages: QuerySet[Lineage], now: datetime) -> SafeString | str:
    """The lanes of the lineages that end first, in two statements; nothing where there is none."""
    rows = list(lineages.exclude(current=None).order_by("effective_end", "pk")[:_LANES])
    fields = ("lineage_id", "name", "created_at", "expires_at", "effective_end", "certificates")
    profiles: dict[int, list[ProvisioningProfile]] = {row.pk: [] for row in rows}
    for profile in ProvisioningProfile.objects.filter(lineage__in=rows).only(*fields).order_by("created_at"):
        profiles[profile.lineage_id].append(profile)
    if not rows:
        return ""
    title = "When the provisioning profiles end"
    return lanes([_lane(row, profiles[row.pk], now) for row in rows], title=title, now=now)


def _lane(lineage: Lineage, profiles: Iterable[ProvisioningProfile], now: datetime) -> Lane:
    drawn = [
        Bar(
            profile.created_at, profile.expires_at,
            f"{profile.name}: {profile.created_at:%Y-%m-%d} to {profile.expires_at:%Y-%m-%d}",
            tone(profile.effective_end, now) if profile.pk == lineage.current_id else "note",
        )
        for profile in profiles
    ]  # fmt: skip
    current = next((profile for profile in profiles if profile.pk == lineage.current_id), None)
    marks = certificate_ends(current) if current is not None else []
    ends = f"{lineage.effective_end:%Y-%m-%d}" if lineage.effective_end else "?"
    said = "".join(f"; {words}" for _, words in marks)
    address = reverse("admin:provisioning_lineage_change", args=[lineage.pk])
    return Lane(lineage.name, f"to {ends}{said}", drawn, marks, url=address)


def certificate_ends(profile: ProvisioningProfile) -> list[tuple[datetime, str]]:
    """When the certificates of a profile end."""
    ends = {datetime.fromisoformat(str(row["not_after"])) for row in profile.certificates}
    return [(end, f"certificate ends {end:%Y-%m-%d}") for end in sorted(ends)[:4]]
