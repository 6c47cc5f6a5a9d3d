"""Assignments and installations: where bundles are wanted, and how far each got on each device."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from devices.models import LadderState
from devices.words import LADDER_WORDS, sentence
from operations.confirmation import ask
from portal_ui.admin import ReadOnlyAdmin, RelatedFilter, moment, moment_column
from profiles import acts
from profiles.models import Assignment, Bundle, Installation
from profiles.scope import devices_reached


@admin.register(Assignment)
class AssignmentAdmin(ReadOnlyAdmin):
    """Made from the bundle's page, which says how many devices an assignment reaches; taken back here."""

    list_display = ["bundle", "group", "excluded", "since"]
    list_select_related = ["bundle", "group"]
    list_filter = [("bundle", RelatedFilter), "group", "excluded"]
    ordering = ["bundle__name", "group__name"]
    actions = ["unassign"]
    row_actions = ["unassign"]
    empty_words = "No assignments yet. A bundle is assigned to a group from the bundle's own page."

    since = moment_column("created_at", "since")

    @admin.action(description="Take back…", permissions=["unassign"])
    def unassign(self, request: HttpRequest, queryset: QuerySet[Assignment]) -> HttpResponse | None:
        rows = list(queryset.select_related("bundle", "group"))
        answer = ask(
            self, request, queryset=queryset, action="unassign", title="Take assignments back", sentence=_effect(rows)
        )
        if isinstance(answer, HttpResponse):
            return answer
        count = acts.unassign(rows, reason=answer.reason, actor=request.user, now=timezone.now())
        messages.success(request, f"{count} assignments taken back.")
        return None

    def has_unassign_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("profiles.change_bundle")


def _effect(rows: list[Assignment]) -> str:
    """What taking these back does, bundle by bundle, in numbers of devices."""
    sentences = []
    for bundle in Bundle.objects.filter(pk__in={row.bundle_id for row in rows}):
        present = list(bundle.assignments.select_related("group"))
        before = devices_reached(present)
        after = devices_reached([row for row in present if row not in rows])
        lost = before.exclude(pk__in=after.values("pk")).count()
        gained = after.exclude(pk__in=before.values("pk")).count()
        sentences.append(f"{bundle}: {lost} devices lose it, {gained} get it.")
    return " ".join(sentences)


@admin.register(Installation)
class InstallationAdmin(ReadOnlyAdmin):
    list_display = ["bundle", "part", "device", "standing", "changed", "next_try"]
    list_display_links = ["bundle"]
    list_select_related = ["bundle", "enrollment__device"]
    list_filter = ["state", ("bundle", RelatedFilter), "part"]
    search_fields = ["enrollment__device__serial_number", "enrollment__device__name", "payload_uuid"]
    ordering = ["-pk"]
    actions = ["retry"]
    row_actions = ["retry"]
    list_tabs = [
        ("All", ""),
        ("Failed", "state__exact=failed"),
        ("Waiting", "state__exact=waiting"),
        ("Installed", "state__exact=installed"),
    ]
    empty_words = "Nothing is wanted on any device yet. Publish a bundle and assign it to a group."

    @admin.display(description="state", ordering="state")
    def standing(self, installation: Installation) -> SafeString:
        pill = '<span class="portal-pill portal-{}">{}</span> <span class="portal-quietly">{}</span>'
        words = LADDER_WORDS[installation.state]
        return format_html(pill, installation.state, words, sentence(installation.reason))

    @admin.display(description="device")
    def device(self, installation: Installation) -> str:
        return str(installation.enrollment.device)

    changed = moment_column("changed_at", "since")

    @admin.display(description="next", ordering="next_at")
    def next_try(self, installation: Installation) -> SafeString | str:
        return moment(installation.next_at) if installation.next_at else ""

    @admin.action(description="Retry failed", permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Installation]) -> None:
        states = [LadderState.FAILED, LadderState.DRIFTED]
        failed = Installation.objects.filter(pk__in=queryset.values("pk"), state__in=states)
        count = acts.retry(failed, actor=request.user, now=timezone.now())
        messages.success(request, f"Trying again on {count} enrollments.")

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("profiles.change_installation")
