"""The page of one payload: its form, the bundle's payloads beside it, what the checks say, and the XML as it is saved.

The form itself is `profiles.forms`; what the form read is written by `profiles.editing`. Nothing typed is lost: an
error shows the form again, and where somebody else saved in between, `merge_page` puts both together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from portal_ui.admin import ModelAdmin
from profiles import catalogue, checks, drafts, editing, overlay, secrets
from profiles.admin import merge_page
from profiles.admin.frame import finding_rows, get_bundle, number_of, render, rows_of, type_title
from profiles.admin.preview_page import xml_of
from profiles.editing import PayloadEdit, content_of
from profiles.errors import EditRefused, SecretError
from profiles.forms import PayloadForm, RawForm, Reference, StoredSecret
from profiles.forms.badges import badges_of_payload
from profiles.importing import ENROLLMENT_TYPES, default_role
from profiles.models import Bundle, Payload, Role, Secret
from profiles.overlay.marks import REFERENCE_KEYS
from protocol.plist import PlistValue
from protocol.schema import Catalogue, PayloadFacts

AnyForm: TypeAlias = PayloadForm | RawForm
# Keys by which payloads are named elsewhere, beside their UUID.
_NAMING_KEYS = frozenset(REFERENCE_KEYS.values())


class NameForm(forms.Form):
    """What the bundle calls the payload, and what it is there for."""

    name = forms.CharField(
        max_length=255, label="Payload name", help_text="Shown on the device beside the profile's name."
    )
    role = forms.ChoiceField(
        choices=Role.choices,
        help_text="A requirement restricts; a capability is given to devices that comply; neutral is neither.",
    )


class TypeForm(NameForm):
    """The same for a type that Apple does not document: its name is needed as well."""

    payload_type = forms.RegexField(
        r"^[A-Za-z0-9][A-Za-z0-9._()\- ]*$",
        max_length=255,
        label="Payload type",
        help_text="As the maker of the software writes it, for example com.example.agent.",
    )
    field_order = ["payload_type", "name", "role"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Open:
    """What the page is about: a payload of the draft, or a new one of a type."""

    bundle: Bundle
    payload: Payload | None
    schema: Catalogue
    facts: PayloadFacts | None
    content: Mapping[str, PlistValue]

    @property
    def title(self) -> str:
        if self.payload is not None:
            return self.payload.name
        return f"Add {overlay.title_of(self.facts.variant)}" if self.facts else "Add a payload of another type"


def payload_page(admin: ModelAdmin, request: HttpRequest, pk: int, payload_pk: int) -> HttpResponse:
    """GET and POST of a payload that the draft has."""
    bundle = get_bundle(admin, request, pk)
    payload = bundle.payloads.select_related("bundle").filter(pk=payload_pk).first()
    if payload is None:
        if request.method != "POST":
            raise Http404
        messages.error(request, "Somebody removed this payload from the draft meanwhile.")
        return redirect("admin:profiles_bundle_change", pk)
    schema = catalogue.current()
    content = content_of(payload)
    facts = schema.payloads.get(payload.variant) or schema.match(payload.payload_type, content)
    page = _Open(bundle=bundle, payload=payload, schema=schema, facts=facts, content=content)
    initial = {"name": payload.name, "role": payload.role}
    return _answer(admin, request, page, names=NameForm(request.POST or None, initial=initial, label_suffix=""))


def new_payload_page(admin: ModelAdmin, request: HttpRequest, pk: int, variant: str = "") -> HttpResponse:
    """GET and POST of a payload that is being added; without a variant it is of a type Apple does not document."""
    bundle = get_bundle(admin, request, pk)
    schema = catalogue.current()
    facts = schema.payloads.get(variant)
    if (variant and facts is None) or (facts and facts.payload_type in ENROLLMENT_TYPES):
        raise Http404
    page = _Open(bundle=bundle, payload=None, schema=schema, facts=facts, content={})
    name = overlay.title_of(variant) if facts else ""
    initial = {"name": name, "role": default_role(facts.payload_type) if facts else Role.NEUTRAL}
    form_class = NameForm if facts else TypeForm
    return _answer(admin, request, page, names=form_class(request.POST or None, initial=initial, label_suffix=""))


def _answer(admin: ModelAdmin, request: HttpRequest, page: _Open, *, names: NameForm) -> HttpResponse:
    form = _form(request, page, name=names.data.get("name") or names.initial["name"])
    if request.method != "POST" or form.operation:
        return _page(admin, request, page, names=names, form=form)
    # Both are asked, so that everything wrong is told at once.
    if names.is_valid() and form.is_valid():
        said = names.cleaned_data
        edit = PayloadEdit(name=said["name"], role=said["role"], content=form.content, secrets=form.new_secrets)
        try:
            answer = _save(admin, request, page, edit=edit, payload_type=said.get("payload_type", ""))
        except (EditRefused, SecretError, drafts.DraftConflict) as error:
            names.add_error(None, str(error))
        else:
            return answer
    else:
        form.is_valid()
    return _page(admin, request, page, names=names, form=form, status=400)


def _form(request: HttpRequest, page: _Open, *, name: str) -> AnyForm:
    now = timezone.now()
    taken: list[str] = []

    def hold(value: bytes, file_name: str) -> str:
        return secrets.hold(value, file_name=file_name, user=request.user, now=now)  # type: ignore[arg-type]

    def held(token: str) -> bytes | None:
        return secrets.held(token, user=request.user)  # type: ignore[arg-type]

    def secret_name(path: str) -> str:
        taken.append(secrets.name_for(page.bundle, name, path, taken=taken))
        return taken[-1]

    post = request.method == "POST"
    data, files = (request.POST, request.FILES) if post else (None, None)
    if page.facts is None:
        return RawForm(content=page.content, data=data, files=files)
    return PayloadForm(
        page.facts,
        catalogue=page.schema,
        content=page.content,
        data=data,
        files=files,
        references=_references(page),
        secrets=[StoredSecret(*row) for row in Secret.objects.values_list("name", "length", "changed_at")],
        hold=hold,
        held=held,
        secret_name=secret_name,
    )


def _references(page: _Open) -> list[Reference]:
    found = []
    for other in page.bundle.payloads.exclude(pk=page.payload.pk if page.payload else 0):
        content = content_of(other)
        named = {key: value for key in _NAMING_KEYS if isinstance(value := content.get(key), str)}
        found.append(Reference(other.payload_type, other.payload_uuid, other.name, named))
    return found


def _save(
    admin: ModelAdmin, request: HttpRequest, page: _Open, *, edit: PayloadEdit, payload_type: str
) -> HttpResponse:
    bundle, payload, now = page.bundle, page.payload, timezone.now()
    expected = number_of(request.POST.get("expected_version"), default=bundle.draft_version)
    if payload is None:
        # Adding takes nothing away from what anybody else did: no version is expected.
        payload = editing.add_payload(
            bundle,
            page.facts.payload_type if page.facts else payload_type,
            variant=page.facts.variant if page.facts else "",
            edit=edit,
            expected_version=bundle.draft_version,
            actor=request.user,
            now=now,
        )
        messages.success(request, f"{payload} is in the draft.")
        return _onward(request, bundle, payload)
    try:
        changed = editing.save_payload(payload, edit, expected_version=expected, actor=request.user, now=now)
    except drafts.DraftConflict:
        change = merge_page.payload_change(payload, edit)
        return merge_page.conflict(
            admin, request, bundle, base_version=expected, change=change, secrets_by_name=edit.secrets
        )
    if changed:
        messages.success(request, f"{payload} is saved in the draft.")
    else:
        messages.info(request, "Nothing was changed.")
    return _onward(request, bundle, payload)


def _onward(request: HttpRequest, bundle: Bundle, payload: Payload) -> HttpResponse:
    if "_check" in request.POST:
        return redirect("admin:profiles_bundle_check", bundle.pk)
    return redirect("admin:profiles_bundle_payload", bundle.pk, payload.pk)


def _page(
    admin: ModelAdmin, request: HttpRequest, page: _Open, *, names: NameForm, form: AnyForm, status: int = 200
) -> HttpResponse:
    bundle, payload, now = page.bundle, page.payload, timezone.now()
    payloads = list(bundle.payloads.all())
    findings = checks.check_bundle(bundle, now=now)
    variant = page.facts.variant if page.facts else ""
    context: dict[str, Any] = {
        "rows": rows_of(bundle, payloads, findings),
        "payload": payload,
        "type_title": type_title(payload) if payload else "",
        "facts": page.facts,
        "summary": overlay.of(variant).summary if variant else "",
        "marks": badges_of_payload(page.facts.platforms) if page.facts else (),
        "names": names,
        "form": form,
        "expected_version": request.POST.get("expected_version") or bundle.draft_version,
        "findings": finding_rows(
            bundle, [one for one in findings if payload and one.payload_id == payload.pk], payloads=payloads
        ),
        "xml": xml_of(payload, page.schema) if payload else "",
    }
    return render(admin, request, "payload.html", bundle=bundle, title=page.title, status=status, **context)
