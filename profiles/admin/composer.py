"""The composer's first page: one bundle with its payloads, its settings, what the checks say and who has it.

Saving goes through `profiles.editing`; the payloads' own forms are `payload_page`, the list of types `catalogue_page`.
"""

import copy
from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from portal_ui.admin import ModelAdmin, moment
from profiles import checks, drafts, editing, pairing
from profiles.admin import merge_page
from profiles.admin.frame import CHANGE, ROLE_WORDS, finding_rows, get_bundle, get_payload, number_of, render, rows_of
from profiles.checks import Finding, Severity
from profiles.errors import EditRefused
from profiles.models import Bundle, DeliveryRule, Part, Payload, Role
from profiles.standing import Standing, standings

RULE_WORDS = {
    DeliveryRule.TOGETHER: "One profile holds everything. Apple gives the user up to an hour to comply; nothing is "
    "taken away after that.",
    DeliveryRule.AFTER_COMPLIANCE: "Two profiles: first the requirement; the capability follows once the device has "
    "proved that it complies.",
}
# Where "Save" leads, by the name of the button.
_NEXT = {"check": "check", "publish": "publish", "assign": "assign"}
SHOWN_FINDINGS = 8
SHOWN_REVISIONS = 5


class SettingsForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """A bundle's own columns. What the portal writes for a device's user stands in the empty fields."""

    class Meta:
        model = Bundle
        fields = list(drafts.SETTINGS)
        widgets = {
            "description": forms.TextInput,
            "delivery_rule": forms.RadioSelect,
            "requirement_description": forms.Textarea(attrs={"rows": 3}),
            "capability_description": forms.Textarea(attrs={"rows": 3}),
            "consent_text": forms.Textarea(attrs={"rows": 3}),
        }
        help_texts = {
            "description": "For your colleagues; devices never show it.",
            "scope": "Where the settings count on a Mac: for everybody, or for the user who enrolled it.",
            # Their labels say it all.
            "withdraw_on_regression": "",
            "silent_days": "Days without a new proof, until somebody is told.",
            "removal_disallowed": "",
        }
        labels = {
            "delivery_rule": "How devices get it",
            "withdraw_on_regression": "Take the capability away while a device does not comply",
            "silent_days": "Days of silence until an alert",
            "requirement_name": "Name of the requirement",
            "requirement_description": "What the user reads about the requirement",
            "capability_name": "Name of the capability",
            "capability_description": "What the user reads about the capability",
            "removal_disallowed": "The user cannot remove the profile (supervised devices)",
            "consent_text": "Consent text",
            "encrypt_to_device": "Encrypt profiles to each device",
        }

    def __init__(self, *args: Any, written: dict[Part, tuple[str, str]], may_change: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        published = self.instance.current_revision_id is not None
        if published:
            self.fields["scope"].help_text = "Fixed since the first publish: devices hold it there."
        for name, field in self.fields.items():
            field.disabled = not may_change or (published and name == "scope")
        for part in (Part.REQUIREMENT, Part.CAPABILITY):
            name, description = written.get(part) or written.get(Part.WHOLE) or ("", "")
            self.fields[f"{part}_name"].widget.attrs["placeholder"] = name
            self.fields[f"{part}_description"].widget.attrs["placeholder"] = description

    @property
    def rules(self) -> list[tuple[Any, str]]:
        """The radio buttons of the delivery rule, each with its sentence."""
        return [(radio, RULE_WORDS[DeliveryRule(radio.data["value"])]) for radio in self["delivery_rule"]]


def composer_page(admin: ModelAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """GET shows the bundle, POST saves its settings and goes where the button said."""
    may_change = request.user.has_perm(CHANGE)
    if request.method == "POST" and not may_change:
        raise PermissionDenied
    bundle = get_bundle(admin, request, pk, change=False)
    payloads = list(bundle.payloads.all())
    written = pairing.texts(bundle, payloads)
    # A copy, for a form writes what it read into its instance before anything is saved.
    form = SettingsForm(
        request.POST if request.method == "POST" else None,
        instance=copy.copy(bundle),
        written=written,
        may_change=may_change,
    )
    if form.is_valid():
        answer = _save(admin, request, bundle, form=form)
        if answer is not None:
            return answer
    return _page(admin, request, bundle, payloads=payloads, form=form, written=written)


def _save(admin: ModelAdmin, request: HttpRequest, bundle: Bundle, *, form: SettingsForm) -> HttpResponse | None:
    expected = number_of(request.POST.get("expected_version"), default=bundle.draft_version)
    try:
        changed = editing.save_settings(
            bundle, form.cleaned_data, expected_version=expected, actor=request.user, now=timezone.now()
        )
    except drafts.DraftConflict:
        change = merge_page.settings_change(form.cleaned_data)
        return merge_page.conflict(admin, request, bundle, base_version=expected, change=change)
    except EditRefused as error:
        # What was refused must not stand in the page's title.
        bundle.refresh_from_db()
        form.add_error(None, str(error))
        return None
    then = _NEXT.get(request.POST.get("_then", ""))
    if changed:
        messages.success(request, "The draft is saved. Devices get it once it is published.")
    elif then is None:
        messages.info(request, "Nothing was changed.")
    return redirect(f"admin:profiles_bundle_{then or 'change'}", bundle.pk)


def _page(
    admin: ModelAdmin,
    request: HttpRequest,
    bundle: Bundle,
    *,
    payloads: Sequence[Payload],
    form: SettingsForm,
    written: dict[Part, tuple[str, str]],
) -> HttpResponse:
    now = timezone.now()
    findings = checks.check_bundle(bundle, now=now)
    revisions = bundle.revisions.select_related("published_by").defer("draft").order_by("-number")[:SHOWN_REVISIONS]
    context: dict[str, Any] = {
        "rows": rows_of(bundle, payloads, findings),
        "form": form,
        "expected_version": request.POST.get("expected_version") or bundle.draft_version,
        "findings": finding_rows(bundle, findings[:SHOWN_FINDINGS], payloads=payloads),
        "counts": count_findings(findings),
        "steps": _steps(written),
        "provability": pairing.provability(drafts.read_draft(bundle)),
        "assignments": bundle.assignments.select_related("group").order_by("excluded", "group__name"),
        "revisions": [(revision, moment(revision.published_at, now=now)) for revision in revisions],
        "revisions_url": reverse("admin:profiles_bundle_revisions", args=[bundle.pk]),
        "changed": moment(bundle.draft_changed_at, now=now),
        "standing": standings([bundle.pk]).get(bundle.pk, Standing()),
        "roles": [(role, role.label, ROLE_WORDS[role]) for role in Role],
        "changed_since": is_changed(bundle),
        "is_bundle_page": True,
        "may_delete": admin.has_delete_permission(request, bundle),
    }
    status = 400 if form.errors else 200
    return render(admin, request, "composer.html", bundle=bundle, title=bundle.name, status=status, **context)


def is_changed(bundle: Bundle) -> bool:
    """Whether somebody changed the draft after it was published last."""
    revision, changed = bundle.current_revision, bundle.draft_changed_at
    return revision is not None and changed is not None and changed > revision.published_at


def count_findings(findings: Sequence[Finding]) -> list[tuple[str, int, str]]:
    """Severities with their number and the class that shows them, without those that found nothing."""
    signs = {Severity.ERROR: "bad", Severity.WARNING: "warn", Severity.NOTE: "note"}
    numbers = {severity: sum(1 for finding in findings if finding.severity is severity) for severity in signs}
    return [
        (f"{severity.value}{'' if number == 1 else 's'}", number, signs[severity])
        for severity, number in numbers.items()
        if number
    ]


def _steps(written: dict[Part, tuple[str, str]]) -> list[tuple[str, str, str]]:
    """What a user reads, in order: when, the profile's name, its description."""
    if Part.CAPABILITY not in written:
        return [("At once", *text) for text in written.values()]
    when = {Part.REQUIREMENT: "First", Part.CAPABILITY: "Then, once proved"}
    return [(when[part], *written[part]) for part in when if part in written]


def check_page(admin: ModelAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """Everything that the checks found, each with a way to the key."""
    bundle = get_bundle(admin, request, pk, change=False)
    payloads = list(bundle.payloads.all())
    findings = checks.check_bundle(bundle, now=timezone.now())
    rows = rows_of(bundle, payloads, findings)
    lines = finding_rows(bundle, findings, payloads=payloads)
    by_payload = [(row, [line for line in lines if line.finding.payload_id == row.payload.pk]) for row in rows]
    context: dict[str, Any] = {
        "rows": rows,
        "groups": [(row, found) for row, found in by_payload if found],
        "whole": [line for line in lines if line.finding.payload_id is None],
        "counts": count_findings(findings),
        "stops": any(finding.severity is Severity.ERROR for finding in findings),
    }
    return render(admin, request, "check.html", bundle=bundle, title=f"Check {bundle}", **context)


def payload_act(admin: ModelAdmin, request: HttpRequest, pk: int, payload_pk: int) -> HttpResponse:
    """POST: move a payload, or say what it is; back to the bundle."""
    bundle = get_bundle(admin, request, pk)
    payload, act, now = get_payload(bundle, payload_pk), request.POST.get("act", ""), timezone.now()
    payload.bundle = bundle
    if act in {"up", "down"}:
        editing.move_payload(payload, act, actor=request.user, now=now)
    elif act in Role.values:
        editing.set_role(payload, act, actor=request.user, now=now)
        messages.success(request, f"{payload} is {act} now.")
    else:
        raise PermissionDenied
    return redirect("admin:profiles_bundle_change", pk)


def remove_page(admin: ModelAdmin, request: HttpRequest, pk: int, payload_pk: int) -> HttpResponse:
    """GET asks, POST takes the payload out of the draft."""
    bundle = get_bundle(admin, request, pk)
    payload = get_payload(bundle, payload_pk)
    if request.method == "POST":
        editing.remove_payload(payload, actor=request.user, now=timezone.now())
        messages.success(request, f"{payload} is out of the draft. Devices keep it until the bundle is published.")
        return redirect("admin:profiles_bundle_change", pk)
    others = [row.name for row in bundle.payloads.exclude(pk=payload.pk) if _names(row, payload.payload_uuid)]
    title = f"Remove {payload}"
    return render(admin, request, "remove.html", bundle=bundle, title=title, payload=payload, others=others)


def _names(payload: Payload, uuid: str) -> bool:
    """Whether a payload's content names this UUID somewhere."""
    return bool(uuid) and uuid.encode() in bytes(payload.content) and payload.payload_uuid != uuid
