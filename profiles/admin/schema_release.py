"""Apple's schema: which release counts, and taking in a newer one in two steps, with what it changes shown between."""

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
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from operations.confirmation import ask
from portal_ui.admin import ReadOnlyAdmin, Tools, moment_column
from profiles import catalogue, schema_releases
from profiles.models import SchemaRelease
from protocol.errors import SchemaError
from protocol.schema.archive import read_zip

# Apple's repository as a ZIP file has 1 MB.
LARGEST_FILE = 32 * 1024 * 1024
MAY_LOAD = "profiles.add_schemarelease"


class LoadForm(forms.Form):
    """A ZIP file of Apple's repository."""

    file = forms.FileField(
        label="ZIP file",
        help_text="Apple's device-management repository as GitHub packs it (Code, Download ZIP). Nothing counts yet: "
        "the next page shows what would change.",
    )
    name = forms.CharField(max_length=255, required=False, help_text="Empty: the systems it speaks of.")

    def clean_file(self) -> dict[str, bytes]:
        upload: UploadedFile[Any] = self.cleaned_data["file"]
        if (upload.size or 0) > LARGEST_FILE:
            raise forms.ValidationError("The file is larger than Apple's schema ever was.")
        try:
            return read_zip(upload.read())
        except SchemaError as error:
            raise forms.ValidationError(str(error)) from None


@admin.register(SchemaRelease)
class SchemaReleaseAdmin(ReadOnlyAdmin):
    list_display = ["name", "standing", "loaded", "loaded_by"]
    list_select_related = ["loaded_by"]
    fields = ["name", "standing", "loaded_at", "loaded_by", "added", "removed", "changed"]
    readonly_fields = ["standing", "added", "removed", "changed"]
    actions = ["activate", "deactivate"]

    loaded = moment_column("loaded_at", "loaded")

    @admin.display(description="counts")
    def standing(self, release: SchemaRelease) -> str:
        return f"since {release.activated_at:%Y-%m-%d %H:%M} UTC" if release.activated_at else "no"

    @admin.display(description="adds")
    def added(self, release: SchemaRelease) -> SafeString:
        return _list(release, "added")

    @admin.display(description="removes")
    def removed(self, release: SchemaRelease) -> SafeString:
        return _list(release, "removed")

    @admin.display(description="changes")
    def changed(self, release: SchemaRelease) -> SafeString:
        return _list(release, "changed")

    def get_urls(self) -> list[URLPattern]:
        load = self.admin_site.admin_view(self.load_page)
        return [path("load/", load, name="profiles_schemarelease_load"), *super().get_urls()]

    def list_tools(self, request: HttpRequest) -> Tools:
        if not request.user.has_perm(MAY_LOAD):
            return []
        return [("Load a newer release…", reverse("admin:profiles_schemarelease_load"))]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        newest = catalogue.current().newest
        said = ", ".join(f"{platform} {version}" for platform, version in newest.items())
        return super().changelist_view(request, {**(extra_context or {}), "title": f"Apple's schema: up to {said}"})

    def load_page(self, request: HttpRequest) -> HttpResponse:
        """GET and POST: take a ZIP file in; it counts only once it is activated."""
        if not request.user.has_perm(MAY_LOAD):
            raise PermissionDenied
        form = LoadForm(request.POST, request.FILES) if request.method == "POST" else LoadForm()
        if form.is_valid():
            try:
                said = form.cleaned_data
                release = schema_releases.load(said["file"], name=said["name"], actor=request.user, now=timezone.now())
            except SchemaError as error:
                form.add_error("file", str(error))
            else:
                messages.success(request, f"{release} is loaded. Look at what it changes, then activate it.")
                return redirect("admin:profiles_schemarelease_change", release.pk)
        context = {**self.admin_site.each_context(request), "opts": self.opts, "form": form, "title": "Load a release"}
        return TemplateResponse(
            request, "profiles/schema_release_load.html", context, status=400 if form.errors else 200
        )

    @admin.action(description="Activate…", permissions=["load"])
    def activate(self, request: HttpRequest, queryset: QuerySet[SchemaRelease]) -> HttpResponse | None:
        chosen = queryset.order_by("-pk")[:1]
        sentence = "From now on forms and checks follow this release. What was published stays as it is."
        answer = ask(self, request, queryset=chosen, action="activate", title="Activate a release", sentence=sentence)
        if isinstance(answer, HttpResponse):
            return answer
        for release in chosen:
            schema_releases.activate(release, reason=answer.reason, actor=request.user, now=timezone.now())
            messages.success(request, f"{release} counts now.")
        return None

    @admin.action(description="Go back to the release before…", permissions=["load"])
    def deactivate(self, request: HttpRequest, queryset: QuerySet[SchemaRelease]) -> HttpResponse | None:
        chosen = queryset.exclude(activated_at=None)
        sentence = "Forms and checks follow the release that counted before. What was published stays as it is."
        answer = ask(self, request, queryset=chosen, action="deactivate", title="Go back", sentence=sentence)
        if isinstance(answer, HttpResponse):
            return answer
        for release in chosen:
            schema_releases.deactivate(release, reason=answer.reason, actor=request.user, now=timezone.now())
            messages.success(request, f"{release} counts no more.")
        return None

    def has_load_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(MAY_LOAD)


def _list(release: SchemaRelease, kind: str) -> SafeString:
    sentences = release.changes.get(kind, [])
    if not sentences:
        return format_html("nothing")
    items = format_html_join("", "<li>{}</li>", ((sentence,) for sentence in sentences))
    return format_html("<details><summary>{}</summary><ul>{}</ul></details>", len(sentences), items)
