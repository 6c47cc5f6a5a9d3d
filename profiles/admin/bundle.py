"""The list of bundles, and the addresses of every page of one bundle. The pages are modules beside this one.

What a device needs next is never decided here.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from operations.audited import AuditedAdmin
from portal_ui.admin import Tools, moment
from profiles import editing
from profiles.admin import (
    assign_page,
    catalogue_page,
    composer,
    import_page,
    merge_page,
    payload_page,
    preview_page,
    publish_page,
    revisions_page,
)
from profiles.admin.frame import CHANGE, get_bundle, render
from profiles.errors import ImportRefused
from profiles.models import Bundle, DeliveryRule, Scope
from profiles.standing import Standing, standings
from profiles.starters import STARTERS


class BundleList(ChangeList):
    """One page of bundles, each with how far it got: one statement for all of them."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        found = standings([bundle.pk for bundle in self.result_list])
        for bundle in self.result_list:
            bundle.standing = found.get(bundle.pk, Standing())


class NewBundleForm(forms.Form):
    """A name is enough; everything else can follow."""

    name = forms.CharField(max_length=100, label="Name", help_text="Your word for it, for example Corporate VPN.")
    starter = forms.ChoiceField(
        label="Start from",
        required=False,
        widget=forms.RadioSelect,
        choices=[("", "An empty draft"), *((one.name, one.title) for one in STARTERS.values())],
    )
    delivery_rule = forms.ChoiceField(
        label="How devices get it", required=False, choices=[("", "as the start proposes it"), *DeliveryRule.choices]
    )
    scope = forms.ChoiceField(label="For", choices=Scope.choices, initial=Scope.SYSTEM)

    @property
    def starters(self) -> list[tuple[Any, str]]:
        """The radio buttons of what to start from, each with its sentence."""
        words = {name: starter.summary for name, starter in STARTERS.items()}
        return [(radio, words.get(radio.data["value"], "You add every payload yourself.")) for radio in self["starter"]]


class CopyForm(forms.Form):
    name = forms.CharField(max_length=100, label="Name of the copy")


@admin.register(Bundle)
class BundleAdmin(AuditedAdmin):
    list_display = ["name", "published", "payload_count", "assigned", "devices", "delivery_rule", "draft"]
    list_filter = ["delivery_rule", "scope"]
    search_fields = ["name", "description", "identifier"]
    actions = ["publish", "assign"]
    row_actions = ["publish", "assign"]
    empty_words = "No bundles yet. A bundle is a set of payloads such as Passcode or Wi-Fi, with the rule by which devices get them."

    # --- the list -------------------------------------------------------------------------------------------------

    def list_tools(self, request: HttpRequest) -> Tools:
        address = _import_address(request)
        return [("Import .mobileconfig…", address)] if address else []

    def get_queryset(self, request: HttpRequest) -> QuerySet[Bundle]:
        rows: QuerySet[Bundle] = super().get_queryset(request).select_related("current_revision", "draft_changed_by")
        return rows.defer("current_revision__draft").annotate(
            payloads_in_draft=Count("payloads", distinct=True), groups_assigned=Count("assignments", distinct=True)
        )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return BundleList

    @admin.display(description="published", ordering="current_revision__number")
    def published(self, bundle: Bundle) -> SafeString:
        if bundle.current_revision is None:
            return format_html('<span class="portal-pill portal-note">{}</span>', "draft only")
        number = bundle.current_revision.number
        if composer.is_changed(bundle):
            return format_html('<span class="portal-pill portal-warn">changed since v{}</span>', number)
        return format_html('<span class="portal-pill portal-good">v{}</span>', number)

    @admin.display(description="payloads", ordering="payloads_in_draft")
    def payload_count(self, bundle: Bundle) -> str:
        return str(getattr(bundle, "payloads_in_draft", ""))

    @admin.display(description="assigned", ordering="groups_assigned")
    def assigned(self, bundle: Bundle) -> str:
        count = getattr(bundle, "groups_assigned", 0)
        return f"{count} group{'' if count == 1 else 's'}" if count else "nobody"

    @admin.display(description="devices")
    def devices(self, bundle: Bundle) -> SafeString | str:
        standing: Standing = getattr(bundle, "standing", Standing())
        shown = [("good", standing.installed, "installed"), ("warn", standing.waiting, "waiting"),
                 ("bad", standing.failed, "failed")]  # fmt: skip
        return format_html(
            " ".join(["{}"] * len(shown)),
            *(format_html('<span class="portal-pill portal-{}">{} {}</span>', *row) if row[1] else "" for row in shown),
        )

    @admin.display(description="draft", ordering="draft_changed_at")
    def draft(self, bundle: Bundle) -> SafeString | str:
        when = moment(bundle.draft_changed_at or bundle.created_at)
        return format_html("{} by {}", when, bundle.draft_changed_by) if bundle.draft_changed_by else when

    @admin.action(description="Publish…", permissions=["change"])
    def publish(self, request: HttpRequest, queryset: QuerySet[Bundle]) -> HttpResponse | None:
        return _one(request, queryset, page="publish")

    @admin.action(description="Assign…", permissions=["change"])
    def assign(self, request: HttpRequest, queryset: QuerySet[Bundle]) -> HttpResponse | None:
        return _one(request, queryset, page="assign")

    # --- the pages of one bundle ------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        def page(address: str, view: Callable[..., HttpResponse], name: str, *, post_only: bool = False) -> URLPattern:
            # No cache keeps what a page shows, no error report what somebody typed: both may hold secrets.
            shown = never_cache(sensitive_post_parameters()(partial(view, self)))
            wrapped = self.admin_site.admin_view(shown)
            return path(address, require_POST(wrapped) if post_only else wrapped, name=f"profiles_bundle_{name}")

        payloads = "<int:pk>/payloads/"
        own = [
            page("<int:pk>/assign/", assign_page.assign_page, "assign"),
            page("<int:pk>/check/", composer.check_page, "check"),
            page("import/", import_page.import_new_page, "import_new"),
            page("<int:pk>/import/", import_page.import_page, "import"),
            page("<int:pk>/publish/", publish_page.publish_page, "publish"),
            page("<int:pk>/revisions/", revisions_page.revisions_page, "revisions"),
            page("<int:pk>/compare/", revisions_page.compare_page, "compare"),
            page("<int:pk>/restore/<int:number>/", revisions_page.restore_page, "restore"),
            page("<int:pk>/export/", revisions_page.export, "export", post_only=True),
            page("<int:pk>/merge/", merge_page.merge_page, "merge", post_only=True),
            page("<int:pk>/preview/", preview_page.preview_page, "preview"),
            page("<int:pk>/duplicate/", duplicate_page, "duplicate"),
            page(payloads + "add/", catalogue_page.catalogue_page, "payload_add"),
            page(payloads + "add/other/", payload_page.new_payload_page, "payload_other"),
            page(payloads + "add/<path:variant>/", payload_page.new_payload_page, "payload_new"),
            page(payloads + "<int:payload_pk>/", payload_page.payload_page, "payload"),
            page(payloads + "<int:payload_pk>/act/", composer.payload_act, "payload_act", post_only=True),
            page(payloads + "<int:payload_pk>/remove/", composer.remove_page, "payload_remove"),
        ]
        return own + super().get_urls()

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        return new_bundle_page(self, request)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return composer.composer_page(self, request, int(object_id) if object_id.isdecimal() else 0)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # What was published may be on devices, where only the ladder can follow it: unassign it instead.
        is_draft = obj is not None and obj.current_revision_id is None and not obj.assignments.exists()
        return is_draft and super().has_delete_permission(request, obj)


def new_bundle_page(model_admin: BundleAdmin, request: HttpRequest) -> HttpResponse:
    """GET asks for a name and what to start from, POST makes the draft and opens it."""
    form = NewBundleForm(request.POST if request.method == "POST" else None, label_suffix="")
    if form.is_valid():
        said = form.cleaned_data
        starter = STARTERS.get(said["starter"])
        rule = said["delivery_rule"] or (starter.rule if starter else DeliveryRule.AFTER_COMPLIANCE)
        try:
            bundle = editing.create_bundle(
                said["name"], rule=rule, scope=said["scope"], starter=starter, actor=request.user, now=timezone.now()
            )
        except ImportRefused as error:
            form.add_error("name", str(error))
        else:
            messages.success(request, f"{bundle} is a draft now. Nothing goes out before it is published and assigned.")
            return redirect("admin:profiles_bundle_change", bundle.pk)
    context = {"form": form, "import_url": _import_address(request)}
    status = 400 if form.errors else 200
    return render(model_admin, request, "new_bundle.html", bundle=None, title="New bundle", status=status, **context)


def duplicate_page(model_admin: BundleAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """GET asks for a name, POST makes a draft like this one."""
    bundle = get_bundle(model_admin, request, pk)
    if not request.user.has_perm("profiles.add_bundle"):
        raise PermissionDenied
    initial = {"name": f"{bundle.name} (copy)"[:100]}
    form = CopyForm(request.POST if request.method == "POST" else None, initial=initial, label_suffix="")
    if form.is_valid():
        try:
            twin = editing.duplicate_bundle(bundle, form.cleaned_data["name"], actor=request.user, now=timezone.now())
        except ImportRefused as error:
            form.add_error("name", str(error))
        else:
            messages.success(request, f"{twin} is a draft now.")
            return redirect("admin:profiles_bundle_change", twin.pk)
    context = {"form": form, "method": "post", "sentence": "The copy starts as a draft, assigned to nobody."}
    status = 400 if form.errors else 200
    return render(
        model_admin, request, "bundle_form.html", bundle=bundle, title=f"Duplicate {bundle}", status=status, **context
    )


def _import_address(request: HttpRequest) -> str:
    """Where a file becomes a new bundle, for those who may make one."""
    may = request.user.has_perms([CHANGE, "profiles.add_bundle"])
    return reverse("admin:profiles_bundle_import_new") if may else ""


def _one(request: HttpRequest, queryset: QuerySet[Bundle], *, page: str) -> HttpResponse | None:
    chosen = list(queryset[:2])
    if len(chosen) != 1:
        messages.warning(request, "Choose one bundle: each reaches devices of its own.")
        return None
    return redirect(f"admin:profiles_bundle_{page}", chosen[0].pk)
