"""The page before a publish: what changes, who gets it, what the checks say, what happens on devices; then the act.

GET changes nothing. The POST says which draft was looked at: another one is shown again instead of published.
"""

from dataclasses import dataclass

from django.contrib import messages
from django.db.models import prefetch_related_objects
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from devices.acts import full_name
from operations.confirmation import SHOWN, ConfirmationForm
from portal_ui.admin import ModelAdmin, moment
from profiles import acts, catalogue, checks, drafts, revisions
from profiles.admin.frame import finding_rows, get_bundle, number_of, render
from profiles.audience import Audience, audience, effects, receivers
from profiles.building import Built, build
from profiles.checks import Finding, Severity
from profiles.differences import Change, differences
from profiles.drafts import Draft
from profiles.errors import DraftConflict, PublishError
from profiles.models import Assignment, Bundle
from protocol.errors import PlistError
from protocol.schema import Catalogue

MOST_CHANGES = 300


@dataclass(frozen=True, slots=True)
class _Preview:
    """What the page tells of one draft."""

    number: int
    built: list[Built]
    changes: list[Change]
    findings: list[Finding]
    audience: Audience
    assignments: list[Assignment]


def publish_page(model_admin: ModelAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """GET says what publishing does, POST does it."""
    bundle = get_bundle(model_admin, request, pk)
    preview = _preview(bundle)
    posted = request.POST if request.method == "POST" and "confirmed" in request.POST else None
    form = ConfirmationForm(posted, expected=preview.audience.gets, label_suffix="")
    if posted is None or not form.is_valid():
        return _page(model_admin, request, bundle, preview=preview, form=form, status=400 if form.errors else 200)
    # Without a version nobody has looked at any: no draft has the number 0.
    expected = number_of(request.POST.get("draft_version"), default=0)
    try:
        revision = acts.publish(
            bundle,
            reason=form.cleaned_data["reason"],
            actor=request.user,
            now=timezone.now(),
            expected_version=expected,
        )
    except DraftConflict:
        messages.error(request, "The draft changed since you opened this page. Nothing was published: look again.")
        return _page(model_admin, request, bundle, preview=preview, form=form, status=409)
    except PublishError as error:
        for problem in error.problems:
            messages.error(request, problem)
        return _page(model_admin, request, bundle, preview=preview, form=form, status=400)
    messages.success(request, f"{revision} is published. {_outlook(preview.audience.gets)}")
    return redirect("admin:profiles_bundle_change", pk)


def _outlook(gets: int) -> str:
    if not gets:
        return "It is assigned to nobody yet, so nothing goes out."
    return f"It is on its way to {gets:,} device{'' if gets == 1 else 's'}."


def _preview(bundle: Bundle) -> _Preview:
    known = catalogue.current()
    # Read once for all that look at them.
    prefetch_related_objects([bundle], "payloads")
    assignments = list(bundle.assignments.select_related("group").order_by("excluded", "group__name"))
    try:
        built = build(bundle, catalogue=known)
    except PublishError:
        # The checks say so too, and stop the publish.
        built = []
    return _Preview(
        # The newest is the one in force.
        number=(bundle.current_revision.number if bundle.current_revision else 0) + 1,
        built=built,
        changes=differences(_before(bundle, known), drafts.read_draft(bundle), catalogue=known),
        findings=checks.check_bundle(bundle, now=timezone.now(), catalogue=known),
        audience=audience(bundle, built, assignments, catalogue=known),
        assignments=assignments,
    )


def _before(bundle: Bundle, known: Catalogue) -> Draft | None:
    """What is in force; None where that is nothing, or cannot be read any more."""
    current = bundle.current_revision
    try:
        return revisions.draft_of(current, catalogue=known) if current else None
    except PlistError:
        return None


def _page(
    model_admin: ModelAdmin,
    request: HttpRequest,
    bundle: Bundle,
    *,
    preview: _Preview,
    form: ConfirmationForm,
    status: int,
) -> HttpResponse:
    gets, found = preview.audience.gets, preview.findings
    errors, warnings = (
        sum(1 for one in found if one.severity is severity) for severity in (Severity.ERROR, Severity.WARNING)
    )
    to_whom = f"{gets:,} device{'' if gets == 1 else 's'}" if gets else "nobody yet"
    published = f"v{bundle.current_revision.number}" if bundle.current_revision else ""
    context = {
        "number": preview.number,
        "current": bundle.current_revision,
        "published": published,
        "before": f"Now ({published})",
        "after": f"Then (v{preview.number})",
        "changed": moment(bundle.draft_changed_at) if bundle.draft_changed_at else "",
        "changes": preview.changes[:MOST_CHANGES],
        "more_changes": max(len(preview.changes) - MOST_CHANGES, 0),
        "audience": preview.audience,
        "devices": [full_name(device) for device in receivers(bundle, preview.assignments).order_by("pk")[:SHOWN]],
        "more_devices": max(gets - SHOWN, 0),
        "assignments": preview.assignments,
        "effects": effects(bundle, preview.built, gets),
        "findings": finding_rows(bundle, found, payloads=list(bundle.payloads.all())),
        "errors": errors,
        "warnings": warnings,
        "form": form,
        "draft_version": bundle.draft_version,
        "button": f"Publish v{preview.number} to {to_whom}",
    }
    return render(
        model_admin, request, "publish.html", bundle=bundle, title=f"Publish {bundle} v{preview.number}",
        status=status, **context,
    )  # fmt: skip
