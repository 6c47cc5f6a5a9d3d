"""Revisions and their configuration profiles: what was published, to read, and to download as devices get it."""

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.text import slugify
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from portal_ui.admin import ReadOnlyAdmin, ReadOnlyInline, RelatedFilter, moment_column
from profiles import acts, catalogue, revisions
from profiles.models import Profile, Revision


class ProfileInline(ReadOnlyInline):
    model = Profile
    fields = ["part", "display_name", "identifier", "uuid", "payload_types"]
    readonly_fields = ["part", "display_name", "identifier", "uuid", "payload_types"]


@admin.register(Revision)
class RevisionAdmin(ReadOnlyAdmin):
    list_display = ["__str__", "delivery_rule", "published", "published_by"]
    list_select_related = ["bundle", "published_by"]
    list_filter = [("bundle", RelatedFilter)]
    inlines = [ProfileInline]

    published = moment_column("published_at", "published")


@admin.register(Profile)
class ProfileAdmin(ReadOnlyAdmin):
    """The content may hold passwords: who may compose it may download it, and that is recorded."""

    list_display = ["display_name", "revision", "part", "identifier", "uuid"]
    list_select_related = ["revision__bundle"]
    list_filter = ["part", ("revision__bundle", RelatedFilter)]
    search_fields = ["display_name", "identifier", "uuid"]
    change_form_template = "profiles/profile_change_form.html"

    def get_urls(self) -> list[URLPattern]:
        download = self.admin_site.admin_view(never_cache(require_POST(self.download)))
        return [path("<int:pk>/download/", download, name="profiles_profile_download"), *super().get_urls()]

    def download(self, request: HttpRequest, pk: int) -> HttpResponse:
        """POST: the exact signed bytes as a file."""
        if not request.user.has_perm("profiles.change_bundle"):
            raise PermissionDenied
        profile = get_object_or_404(Profile.objects.select_related("revision__bundle"), pk=pk)
        signed = acts.export(profile, actor=request.user, now=timezone.now())
        stem = slugify(f"{profile.display_name} v{profile.revision.number}") or f"profile-{pk}"
        answer = HttpResponse(signed, content_type="application/x-apple-aspen-config")
        answer["Content-Disposition"] = f'attachment; filename="{stem[:100]}.mobileconfig"'
        return answer

    def render_change_form(
        self, request: HttpRequest, context: dict[str, object], *args: object, **kwargs: object
    ) -> HttpResponse:
        context["may_download"] = request.user.has_perm("profiles.change_bundle")
        profile = kwargs.get("obj")
        if context["may_download"] and isinstance(profile, Profile):
            context["payloads"] = revisions.tables_of(profile, catalogue=catalogue.current())
        answer: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return answer
