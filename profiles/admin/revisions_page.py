"""A bundle's revisions: the list, any two compared, one restored as the draft, any exported as a file.

The draft stands beside them as the newest. Taking a file out is a POST and is recorded; secrets are in none of them.
"""

from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import Prefetch
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.text import slugify

from operations.confirmation import ConfirmationForm
from portal_ui.admin import ModelAdmin, moment
from profiles import acts, catalogue, drafts, revisions
from profiles.admin.frame import get_bundle, number_of, render
from profiles.building import build
from profiles.differences import differences
from profiles.drafts import Draft
from profiles.errors import DraftConflict, PublishError
from profiles.models import Bundle, Part, Profile, Revision
from protocol.errors import PlistError
from protocol.schema import Catalogue

DRAFT = "draft"
MOST_CHANGES = 1000
MOBILECONFIG = "application/x-apple-aspen-config"


class CompareForm(forms.Form):
    """Two states of a bundle: revisions by number, or the draft."""

    old = forms.ChoiceField(label="From")
    new = forms.ChoiceField(label="To")

    def __init__(self, *args: object, numbers: list[int], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # the stubs name each argument
        choices = [(DRAFT, "the draft"), *((str(number), f"v{number}") for number in numbers)]
        for name in ("old", "new"):
            field = self.fields[name]
            if isinstance(field, forms.ChoiceField):
                field.choices = choices


def revisions_page(model_admin: ModelAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """All revisions, the newest first, with what can be done with each."""
    bundle = get_bundle(model_admin, request, pk, change=False)
    parts = Prefetch("profiles", Profile.objects.only("revision", "part"))
    rows = list(revisions.listed(bundle).prefetch_related(parts))
    numbers = [revision.number for revision in rows]
    initial = {"old": str(numbers[0]) if numbers else DRAFT, "new": DRAFT}
    context: dict[str, Any] = {
        "rows": [(revision, moment(revision.published_at), _parts(revision)) for revision in rows],
        "draft_parts": _draft_parts(bundle),
        "draft": DRAFT,
        "form": CompareForm(initial=initial, numbers=numbers, label_suffix=""),
    }
    return render(model_admin, request, "revisions.html", bundle=bundle, title=f"Revisions of {bundle}", **context)


def compare_page(model_admin: ModelAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """GET with two states says what is different, key by key: for those who may read payloads."""
    bundle = get_bundle(model_admin, request, pk)
    numbers = list(bundle.revisions.values_list("number", flat=True))
    form = CompareForm(request.GET or None, numbers=numbers, label_suffix="")
    changes, words = [], ("", "")
    if form.is_valid():
        old, new = form.cleaned_data["old"], form.cleaned_data["new"]
        known = catalogue.current()
        before, after = (_state(bundle, name, known) for name in (old, new))
        changes, words = differences(before, after, catalogue=known), (_word(old), _word(new))
    context = {
        "form": form,
        "changes": changes[:MOST_CHANGES],
        "more_changes": max(len(changes) - MOST_CHANGES, 0),
        "before": words[0],
        "after": words[1],
    }
    status = 400 if form.errors else 200
    title = f"{words[0]} and {words[1]} of {bundle}" if words[0] else f"Compare revisions of {bundle}"
    return render(model_admin, request, "compare.html", bundle=bundle, title=title, status=status, **context)


def restore_page(model_admin: ModelAdmin, request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """GET says what the draft loses, POST makes the revision the draft. Nothing is published."""
    bundle = get_bundle(model_admin, request, pk)
    revision = _revision(bundle, number)
    form = ConfirmationForm(request.POST if request.method == "POST" else None, expected=0, label_suffix="")
    status = 400 if form.errors else 200
    if form.is_valid():
        try:
            acts.restore(
                bundle,
                revision,
                expected_version=number_of(request.POST.get("draft_version"), default=0),
                reason=form.cleaned_data["reason"],
                actor=request.user,
                now=timezone.now(),
            )
        except DraftConflict:
            bundle.refresh_from_db()
            messages.error(request, "The draft changed since you opened this page. Nothing was restored: look again.")
            status = 409
        else:
            messages.success(request, f"The draft is v{number} again. Devices get it once it is published.")
            return redirect("admin:profiles_bundle_change", pk)
    known = catalogue.current()
    changes = differences(drafts.read_draft(bundle), _state(bundle, str(number), known), catalogue=known)
    context = {
        "form": form,
        "number": number,
        "draft_version": bundle.draft_version,
        "changes": changes[:MOST_CHANGES],
        "more_changes": max(len(changes) - MOST_CHANGES, 0),
        "before": "Draft now",
        "after": f"Then (v{number})",
    }
    return render(
        model_admin, request, "restore.html", bundle=bundle, title=f"Restore v{number} of {bundle}", status=status,
        **context,
    )  # fmt: skip


def export(model_admin: ModelAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """POST: one part of a revision or of the draft as a file, signed as devices get it or as plain XML."""
    bundle = get_bundle(model_admin, request, pk)
    which, part = request.POST.get("which", ""), request.POST.get("part", "")
    signed, now = request.POST.get("form") != "xml", timezone.now()
    if which == DRAFT:
        try:
            data = acts.export_draft(bundle, part, actor=request.user, now=now, signed=signed)
        except PublishError as error:
            messages.error(request, str(error))
            return redirect("admin:profiles_bundle_revisions", pk)
    else:
        profile = _revision(bundle, number_of(which, default=0)).profiles.filter(part=part).first()
        if profile is None:
            raise Http404
        data = acts.export(profile, actor=request.user, now=now, signed=signed)
    suffix = "" if part == Part.WHOLE else f" {part}"
    stem = slugify(f"{bundle.name}{suffix} {_word(which)}") or f"bundle-{pk}"
    answer = HttpResponse(data, content_type=MOBILECONFIG)
    answer["Content-Disposition"] = f'attachment; filename="{stem[:100]}.mobileconfig"'
    return answer


def _revision(bundle: Bundle, number: int) -> Revision:
    revision = bundle.revisions.select_related("bundle").filter(number=number).first()
    if revision is None:
        raise Http404
    return revision


def _state(bundle: Bundle, name: str, known: Catalogue) -> Draft:
    if name == DRAFT:
        return drafts.read_draft(bundle)
    try:
        return revisions.draft_of(_revision(bundle, number_of(name, default=0)), catalogue=known)
    except PlistError:
        raise Http404 from None


def _parts(revision: Revision) -> list[tuple[str, str]]:
    there = {profile.part for profile in revision.profiles.all()}
    return [(part.value, part.label) for part in Part if part in there]


def _draft_parts(bundle: Bundle) -> list[tuple[str, str]]:
    try:
        return [(built.part.value, built.part.label) for built in build(bundle)]
    except PublishError:
        return []


def _word(name: str) -> str:
    return "Draft" if name == DRAFT else f"v{name}"
