"""Enterprise apps and their files: what is in each, until when it can be installed, and putting it on a group."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Max, Min, OuterRef, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.defaultfilters import filesizeformat
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from devices.acts import full_name
from devices.models import Device, DeviceGroup, Enrollment
from operations.confirmation import ask
from portal_ui.admin import PortalAdmin, ReadOnlyAdmin, Tools, moment_column
from provisioning import enterprise_apps
from provisioning.admin.frame import UPLOAD, end_pill, look_only, render
from provisioning.assignment import members
from provisioning.errors import ProvisioningRefused
from provisioning.models import AppBundle, AppVersion, EnterpriseApp

CHANGE, DELETE = "provisioning.change_enterpriseapp", "provisioning.delete_appversion"


class InstallForm(forms.Form):
    """Which version goes to whom. The next page says how many devices that is."""

    version = forms.ModelChoiceField(queryset=AppVersion.objects.none())
    group = forms.ModelChoiceField(queryset=DeviceGroup.objects.all())

    def __init__(self, *args: Any, app: EnterpriseApp, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        versions: Any = self.fields["version"]
        versions.queryset = app.versions.select_related("app").order_by("-uploaded_at")
        versions.initial = versions.queryset.first()


class GroupForm(forms.Form):
    group = forms.ModelChoiceField(queryset=DeviceGroup.objects.all())


@admin.register(EnterpriseApp)
class EnterpriseAppAdmin(PortalAdmin):
    """Made by uploading an .ipa."""

    list_title = "Enterprise apps"
    list_display = ["title", "bundle_identifier", "files", "installable", "uploaded"]
    list_display_links = None
    search_fields = ["name", "bundle_identifier"]
    ordering = ["name"]
    actions: Any = []
    empty_words = (
        "No enterprise apps yet. Upload an .ipa: the portal keeps it, follows every provisioning profile in it, and "
        "installs it on groups of devices."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[EnterpriseApp]:
        rows: QuerySet[EnterpriseApp] = super().get_queryset(request)
        newest = AppVersion.objects.filter(app=OuterRef("pk")).order_by("-uploaded_at").values("pk")[:1]
        inside = AppBundle.objects.filter(version=OuterRef("newest")).order_by("profile__effective_end")
        return rows.annotate(
            number=Count("versions"), last=Max("versions__uploaded_at"), newest=Subquery(newest),
            until=Subquery(inside.values("profile__effective_end")[:1]),
        )  # fmt: skip

    @admin.display(description="app", ordering="name")
    def title(self, app: EnterpriseApp) -> SafeString:
        return format_html(
            '<a href="{}">{}</a>', reverse("admin:provisioning_enterpriseapp_change", args=[app.pk]), app
        )

    @admin.display(description="versions")
    def files(self, app: EnterpriseApp) -> str:
        return str(getattr(app, "number", ""))

    @admin.display(description="newest installs until")
    def installable(self, app: EnterpriseApp) -> SafeString | str:
        return end_pill(getattr(app, "until", None), timezone.now())

    uploaded = moment_column("last", "uploaded", ordered=False)

    def list_tools(self, request: HttpRequest) -> Tools:
        tools = [("Upload an .ipa", reverse("admin:provisioning_lineage_upload"))]
        return tools if request.user.has_perm(UPLOAD) else []

    def get_urls(self) -> list[URLPattern]:
        wrap, base = self.admin_site.admin_view, "provisioning_enterpriseapp"
        own = [
            path("<int:pk>/install/", wrap(self.install_page), name=f"{base}_install"),
            path("<int:pk>/validate/", wrap(self.validate_page), name=f"{base}_validate"),
            path("<int:pk>/versions/<int:version_pk>/delete/", wrap(self.delete_page), name=f"{base}_delete_version"),
        ]
        return own + super().get_urls()

    def _app(self, request: HttpRequest, pk: int, *, right: str = "") -> EnterpriseApp:
        if not (request.user.has_perm(right) if right else self.has_view_permission(request)):
            raise PermissionDenied
        app = EnterpriseApp.objects.filter(pk=pk).first()
        if app is None:
            raise Http404
        return app

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        look_only(request)
        app = self._app(request, int(object_id) if object_id.isdecimal() else 0)
        now = timezone.now()
        versions = app.versions.annotate(until=Min("bundles__profile__effective_end")).select_related("uploaded_by")
        rows = [
            (row, filesizeformat(row.size), end_pill(row.until, now)) for row in versions.order_by("-uploaded_at")[:50]
        ]
        newest = rows[0][0] if rows else None
        bundles = AppBundle.objects.filter(version=newest).select_related("profile", "lineage").defer("profile__data")
        return render(
            self, request, "app.html", title=str(app), app=app, rows=rows, now=now,
            bundles=[(bundle, end_pill(bundle.profile.effective_end, now)) for bundle in bundles],
            may_install=request.user.has_perm(CHANGE), may_delete=request.user.has_perm(DELETE),
        )  # fmt: skip

    # --- acts -------------------------------------------------------------------------------------------------------

    def install_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET asks what and where, GET with both says how many devices, POST queues it."""
        app = self._app(request, pk, right=CHANGE)
        form = InstallForm(request.GET if "group" in request.GET else None, app=app)
        if not form.is_valid():
            return self._form(request, app, form=form, title="Install")
        version, group = form.cleaned_data["version"], form.cleaned_data["group"]
        enrollments = enterprise_apps.installable_on(Enrollment.objects.filter(device__in=members([group])))
        devices = Device.objects.filter(pk__in=enrollments.values("device"))
        sentence = (
            f"Devices of {group} install {version} as soon as they check in. On devices that are not supervised the user "
            "is asked first. Macs are left out."
        )
        answer = ask(
            self, request, queryset=devices, action="install", title=f"Install {version}", sentence=sentence,
            describe=full_name,
        )  # fmt: skip
        if isinstance(answer, HttpResponse):
            return answer
        try:
            count = enterprise_apps.install(
                version, enrollments, reason=answer.reason, actor=request.user, now=timezone.now()
            )
        except ProvisioningRefused as error:
            messages.error(request, error.reason)
        else:
            messages.success(request, f"{version} is queued for {count} devices.")
        return redirect("admin:provisioning_enterpriseapp_change", pk)

    def validate_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET asks where, GET with a group says how many devices, POST has them ask Apple."""
        app = self._app(request, pk, right=CHANGE)
        form = GroupForm(request.GET if "group" in request.GET else None, label_suffix="")
        if not form.is_valid():
            return self._form(request, app, form=form, title="Validate")
        group = form.cleaned_data["group"]
        enrollments = enterprise_apps.installable_on(Enrollment.objects.filter(device__in=members([group])))
        sentence = (
            "Each device asks Apple (ppq.apple.com) again whether the app may run. Nothing is installed or removed."
        )
        answer = ask(
            self, request, queryset=Device.objects.filter(pk__in=enrollments.values("device")), action="validate",
            title=f"Validate {app}", sentence=sentence, describe=full_name,
        )  # fmt: skip
        if isinstance(answer, HttpResponse):
            return answer
        count = enterprise_apps.validate(app, enrollments, reason=answer.reason, actor=request.user, now=timezone.now())
        messages.success(request, f"{count} devices are asked to validate {app}.")
        return redirect("admin:provisioning_enterpriseapp_change", pk)

    def _form(self, request: HttpRequest, app: EnterpriseApp, *, form: forms.Form, title: str) -> HttpResponse:
        return render(
            self, request, "form.html", title=title, status=400 if form.errors else 200, form=form, method="get",
            sentence="The next page says how many devices this reaches.", list_title=self.list_title,
            list_url=reverse("admin:provisioning_enterpriseapp_changelist"), parent=app,
            parent_url=reverse("admin:provisioning_enterpriseapp_change", args=[app.pk]),
        )  # fmt: skip

    def delete_page(self, request: HttpRequest, pk: int, version_pk: int) -> HttpResponse:
        """GET asks, POST deletes a file."""
        app = self._app(request, pk, right=DELETE)
        version = app.versions.select_related("app").filter(pk=version_pk).first()
        if version is None:
            raise Http404
        answer = ask(
            self, request, queryset=AppVersion.objects.filter(pk=version_pk).select_related("app"), action="delete",
            title=f"Delete {version}",
            sentence="Devices that have it keep it; nobody can install it any more. Installs that wait for it fail.",
        )  # fmt: skip
        if isinstance(answer, HttpResponse):
            return answer
        enterprise_apps.delete_version(version, reason=answer.reason, actor=request.user, now=timezone.now())
        messages.success(request, "The file is deleted.")
        return redirect("admin:provisioning_enterpriseapp_change", pk)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("provisioning.view_enterpriseapp")


@admin.register(AppVersion)
class AppVersionAdmin(ReadOnlyAdmin):
    """The files of all apps; acts are on the app's page."""

    list_title = "App files"
    list_display = ["__str__", "version", "uploaded"]
    list_select_related = ["app"]
    search_fields = ["app__name", "app__bundle_identifier", "sha256"]
    # The file goes out by signed links only; Django's own field would link to it.
    fields = ["app", "version", "short_version", "size", "sha256", "uploaded_at", "uploaded_by"]

    uploaded = moment_column("uploaded_at", "uploaded")
