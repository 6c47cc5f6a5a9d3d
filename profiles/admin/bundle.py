"""Bundles: composed, imported, published and assigned here. What a device needs next is never decided here."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from devices.acts import full_name
from devices.models import DeviceGroup
from operations.audited import AuditedAdmin
from operations.confirmation import ask
from portal_ui.admin import ReadOnlyInline, StackedInline, Tools
from profiles import acts, importing
from profiles.admin.payload import PayloadForm, PayloadFormSet
from profiles.errors import ImportRefused, PublishError
from profiles.models import Assignment, Bundle, Payload, Revision, Role
from profiles.scope import devices_in_scope, devices_reached
from protocol.errors import MobileconfigError
from protocol.mobileconfig import Mobileconfig, parse_mobileconfig

CHANGE = "profiles.change_bundle"


class PayloadInline(StackedInline):
    """The draft. Its content may hold passwords: it is shown to those who may change the bundle only."""

    model = Payload
    form = PayloadForm
    formset = PayloadFormSet
    fields = ["position", "role", "name", "text"]
    extra = 1
    ordering = ["position", "pk"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        shown = ["position", "role", "name"]
        return [*shown, "text"] if self.has_change_permission(request, obj) else [*shown, "payload_type"]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_change_permission(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(CHANGE if obj else "profiles.add_bundle")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_change_permission(request, obj)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_change_permission(request, obj) or request.user.has_perm("profiles.view_bundle")


class AssignmentInline(ReadOnlyInline):
    model = Assignment
    fields = ["group", "excluded", "created_at"]


class RevisionInline(ReadOnlyInline):
    model = Revision
    fields = ["number", "delivery_rule", "published_at", "published_by"]
    ordering = ["-number"]


class ImportForm(forms.Form):
    """A configuration profile, and what its payloads are."""

    file = forms.FileField(label="Configuration profile", help_text="An unsigned .mobileconfig file.")
    role = forms.ChoiceField(
        choices=[("", "the usual one of each payload's type"), *Role.choices], required=False, label="Role"
    )

    def clean_file(self) -> Mobileconfig:
        upload: UploadedFile[Any] = self.cleaned_data["file"]
        try:
            return parse_mobileconfig(upload.read())
        except MobileconfigError as error:
            raise forms.ValidationError(str(error)) from None


class AssignForm(forms.Form):
    """Step one of assigning: to whom. Step two says how many devices that is."""

    group = forms.ModelChoiceField(queryset=DeviceGroup.objects.all())
    excluded = forms.BooleanField(
        required=False,
        label="Exclude",
        help_text="Devices of this group never get the bundle, whatever else they are in.",
    )


@admin.register(Bundle)
class BundleAdmin(AuditedAdmin):
    list_display = ["name", "description", "delivery_rule", "revision"]
    list_select_related = ["current_revision"]
    list_filter = ["delivery_rule"]
    search_fields = ["name", "description", "identifier"]
    fields = ["name", "description", "delivery_rule", "withdraw_on_regression", "silent_days"]
    inlines = [PayloadInline, AssignmentInline, RevisionInline]
    actions = ["publish", "assign"]

    @admin.display(description="published", ordering="current_revision__number")
    def revision(self, bundle: Bundle) -> str:
        return f"v{bundle.current_revision.number}" if bundle.current_revision else "not yet"

    def get_inlines(self, request: HttpRequest, obj: Bundle | None) -> Any:
        return self.inlines if obj else self.inlines[:1]

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("<int:pk>/import/", wrap(self.import_page), name="profiles_bundle_import"),
            path("<int:pk>/assign/", wrap(self.assign_page), name="profiles_bundle_assign"),
            path("<int:pk>/publish/", wrap(self.publish_page), name="profiles_bundle_publish"),
        ]
        return own + super().get_urls()

    def object_tools(self, request: HttpRequest, obj: Bundle) -> Tools:
        if not request.user.has_perm(CHANGE):
            return []
        words = [("Import .mobileconfig…", "import"), ("Assign…", "assign"), ("Publish…", "publish")]
        return [(label, reverse(f"admin:profiles_bundle_{name}", args=[obj.pk])) for label, name in words]

    def save_model(self, request: HttpRequest, obj: Bundle, form: Any, change: bool) -> None:  # noqa: FBT001
        if not change:
            made = importing.new_bundle(obj.name, now=timezone.now())
            obj.pk, obj.identifier, obj.created_at = made.pk, made.identifier, made.created_at
        obj.save(force_update=True)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # What was published may be on devices, where only the ladder can follow it: unassign it instead.
        is_draft = obj is not None and obj.current_revision_id is None and not obj.assignments.exists()
        return is_draft and super().has_delete_permission(request, obj)

    def _bundle(self, request: HttpRequest, pk: int) -> Bundle:
        bundle: Bundle | None = self.get_object(request, str(pk))
        if not request.user.has_perm(CHANGE) or bundle is None:
            raise PermissionDenied
        return bundle

    def _page(self, request: HttpRequest, bundle: Bundle, **context: Any) -> TemplateResponse:
        base = {**self.admin_site.each_context(request), "opts": self.opts, "bundle": bundle}
        status = 400 if context["form"].errors else 200
        return TemplateResponse(request, "profiles/bundle_form.html", {**base, **context}, status=status)

    def import_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET and POST: bring the payloads of a file into the draft; nothing is published."""
        bundle = self._bundle(request, pk)
        form = ImportForm(request.POST, request.FILES) if request.method == "POST" else ImportForm()
        if form.is_valid():
            said = form.cleaned_data
            try:
                imported = acts.import_payloads(
                    bundle, said["file"], role=said["role"] or None, actor=request.user, now=timezone.now()
                )
            except ImportRefused as error:
                form.add_error("file", str(error))
            else:
                messages.success(request, f"{len(imported)} payloads are in the draft. Publish it to send them.")
                return redirect("admin:profiles_bundle_change", pk)
        sentence = (
            "A payload with an identifier that the draft already has replaces that one. Nothing is published yet."
        )
        return self._page(request, bundle, form=form, title="Import .mobileconfig", sentence=sentence, method="post")

    def assign_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET asks for the group, GET with a group says how many devices that is, POST does it."""
        bundle = self._bundle(request, pk)
        form = AssignForm(request.GET if "group" in request.GET else None)
        if not form.is_valid():
            sentence = "The next page says how many devices this reaches."
            return self._page(request, bundle, form=form, title="Assign", sentence=sentence, method="get")
        group, excluded = form.cleaned_data["group"], form.cleaned_data["excluded"]
        devices, sentence = _effect(bundle, group, excluded=excluded)
        answer = ask(
            self,
            request,
            queryset=devices,
            action="assign",
            title=f"Assign {bundle}",
            sentence=sentence,
            describe=full_name,
        )
        if isinstance(answer, HttpResponse):
            return answer
        acts.assign(bundle, group, excluded=excluded, reason=answer.reason, actor=request.user, now=timezone.now())
        messages.success(request, f"{bundle} is {'never' if excluded else 'now'} wanted on the devices of {group}.")
        return redirect("admin:profiles_bundle_change", pk)

    def publish_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET says what publishing does, POST does it."""
        bundle = self._bundle(request, pk)
        number = (bundle.revisions.values_list("number", flat=True).order_by("-number").first() or 0) + 1
        devices = devices_in_scope(bundle)
        sentence = (
            f"The draft with its {bundle.payloads.count()} payloads becomes version {number} and goes to the "
            f"{devices.count()} enrolled devices it is assigned to. A part whose content is unchanged is not sent again."
        )
        title = f"Publish {bundle} v{number}"
        answer = ask(
            self, request, queryset=devices, action="publish", title=title, sentence=sentence, describe=full_name
        )
        if isinstance(answer, HttpResponse):
            return answer
        try:
            revision = acts.publish(bundle, reason=answer.reason, actor=request.user, now=timezone.now())
        except PublishError as error:
            for problem in error.problems:
                messages.error(request, problem)
        else:
            messages.success(request, f"{revision} is published.")
        return redirect("admin:profiles_bundle_change", pk)

    @admin.action(description="Publish…", permissions=["change"])
    def publish(self, request: HttpRequest, queryset: QuerySet[Bundle]) -> HttpResponse | None:
        return self._one(request, queryset, page="publish")

    @admin.action(description="Assign…", permissions=["change"])
    def assign(self, request: HttpRequest, queryset: QuerySet[Bundle]) -> HttpResponse | None:
        return self._one(request, queryset, page="assign")

    def _one(self, request: HttpRequest, queryset: QuerySet[Bundle], *, page: str) -> HttpResponse | None:
        chosen = list(queryset[:2])
        if len(chosen) != 1:
            messages.warning(request, "Choose one bundle: each reaches devices of its own.")
            return None
        return redirect(f"admin:profiles_bundle_{page}", chosen[0].pk)


def _effect(bundle: Bundle, group: DeviceGroup, *, excluded: bool) -> tuple[QuerySet[Any], str]:
    """The devices that get or lose the bundle by one more assignment, and what happens to them in words."""
    present = list(bundle.assignments.select_related("group"))
    others = [row for row in present if row.group_id != group.pk]
    before = devices_reached(present)
    after = devices_reached([*others, Assignment(bundle=bundle, group=group, excluded=excluded)])
    lost, gained = before.exclude(pk__in=after.values("pk")), after.exclude(pk__in=before.values("pk"))
    when = "" if bundle.current_revision_id else " It is not published yet: they get it once it is."
    if excluded:
        return lost, f"{lost.count()} devices of {group} lose {bundle}; {after.count()} keep it."
    return gained, f"{gained.count()} more devices get {bundle} by {group}; it then is on {after.count()}.{when}"
