"""What all pages of one bundle share: who may see it, the list of its payloads with their states, the way back.

Only what is shown; what a person does is `profiles.editing`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse

from portal_ui.admin import ModelAdmin
from profiles import catalogue, overlay
from profiles.checks import Finding, Severity
from profiles.forms import anchor
from profiles.models import Bundle, Payload, Role
from protocol.schema import Catalogue, PayloadFacts

CHANGE = "profiles.change_bundle"
ROLE_WORDS = {
    Role.REQUIREMENT: "must hold before a capability is delivered",
    Role.CAPABILITY: "given to devices that comply",
    Role.NEUTRAL: "neither; goes with the requirement",
}


@dataclass(frozen=True, slots=True)
class PayloadRow:
    """One line of the payload list."""

    payload: Payload
    title: str
    errors: int
    warnings: int
    url: str

    @property
    def sign(self) -> str:
        """The class of its state."""
        return "bad" if self.errors else "warn" if self.warnings else "good"

    @property
    def words(self) -> str:
        """Its state in words."""
        counts = [_plural(self.errors, "error"), _plural(self.warnings, "warning")]
        return ", ".join(count for count in counts if count) or "OK"


@dataclass(frozen=True, slots=True)
class FindingRow:
    """One line of what the checks found, with the way to the key."""

    finding: Finding
    url: str

    @property
    def sign(self) -> str:
        """The class of its severity."""
        return {Severity.ERROR: "bad", Severity.WARNING: "warn"}.get(self.finding.severity, "note")


def get_bundle(admin: ModelAdmin, request: HttpRequest, pk: int, *, change: bool = True) -> Bundle:
    """The bundle, for those who may change it, or may see it. Raises PermissionDenied or Http404."""
    allowed = request.user.has_perm(CHANGE) if change else admin.has_view_permission(request)
    if not allowed:
        raise PermissionDenied
    bundle = Bundle.objects.select_related("current_revision", "draft_changed_by").filter(pk=pk).first()
    if bundle is None:
        raise Http404
    return bundle


def get_payload(bundle: Bundle, pk: int) -> Payload:
    """A payload of this bundle. Raises Http404."""
    payload = bundle.payloads.select_related("bundle").filter(pk=pk).first()
    if payload is None:
        raise Http404
    return payload


def rows_of(bundle: Bundle, payloads: Sequence[Payload], findings: Sequence[Finding]) -> list[PayloadRow]:
    """The payload list, each with what the checks found in it."""
    counted = Counter((finding.payload_id, finding.severity) for finding in findings)
    return [
        PayloadRow(
            payload,
            type_title(payload),
            counted[payload.pk, Severity.ERROR],
            counted[payload.pk, Severity.WARNING],
            reverse("admin:profiles_bundle_payload", args=[bundle.pk, payload.pk]),
        )
        for payload in payloads
    ]


def finding_rows(
    bundle: Bundle, findings: Sequence[Finding], *, payloads: Sequence[Payload] | None = None
) -> list[FindingRow]:
    """What the checks found, as lines, each leading to its key; `payloads` are the bundle's where they are at hand."""
    schema = catalogue.current()
    rows = bundle.payloads.defer("content") if payloads is None and findings else payloads or ()
    variants = {payload.pk: _facts(payload, schema) for payload in rows}
    return [FindingRow(finding, _way(bundle, finding, variants)) for finding in findings]


def _facts(payload: Payload, schema: Catalogue) -> PayloadFacts | None:
    named = schema.payloads.get(payload.variant)
    return named or next(iter(schema.variants(payload.payload_type)), None)


def _way(bundle: Bundle, finding: Finding, variants: Mapping[int, PayloadFacts | None]) -> str:
    if finding.payload_id is None:
        return ""
    page = reverse("admin:profiles_bundle_payload", args=[bundle.pk, finding.payload_id])
    facts = variants.get(finding.payload_id)
    return f"{page}#{quote(anchor(facts.keys, finding.path))}" if finding.path and facts else page


def type_title(payload: Payload) -> str:
    """What people call a payload's type; its own name where Apple does not document it."""
    return overlay.title_of(payload.variant) if payload.variant else payload.payload_type


def render(
    admin: ModelAdmin,
    request: HttpRequest,
    template: str,
    *,
    bundle: Bundle | None,
    title: str,
    status: int = 200,
    **context: Any,
) -> TemplateResponse:
    """A page inside the admin."""
    base = {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "bundle": bundle,
        "title": title,
        "may_change": request.user.has_perm(CHANGE),
    }
    return TemplateResponse(request, f"profiles/{template}", {**base, **context}, status=status)


def number_of(text: str | None, *, default: int) -> int:
    """A number from a form, or the default."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else default


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}" if count else ""
