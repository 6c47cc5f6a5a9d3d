"""Importing a configuration profile, in two steps: the report of what the file brings, then the import itself.

Between the two the file is held for the person who chose it (`profiles.secrets.hold`); nothing else is written by the
first step. What is written by the second is `profiles.composing`.
"""

from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from portal_ui.admin import ModelAdmin
from profiles import catalogue, composing, inspecting, secrets
from profiles.admin.frame import get_bundle, render
from profiles.errors import ProfilesError
from profiles.models import Bundle, DeliveryRule, Payload, Role
from protocol.errors import MobileconfigError
from protocol.mobileconfig import ReadFile, read_file

PAYLOADS, EXACT = "payloads", "exact"
WAYS = {
    PAYLOADS: "The payloads, in a profile that the portal signs: you can change them",
    EXACT: "This very file, byte for byte: nothing in it can be changed",
}
LARGEST = 32 * 1024 * 1024
_GONE = "The file is no longer held. Choose it again."


@dataclass(frozen=True, slots=True)
class Upload:
    """The file that somebody chose, under the token it is held by; `bare` asks for a profile around a payload."""

    token: str
    data: bytes = field(repr=False)
    bare: bool = False


class UploadForm(forms.Form):
    file = forms.FileField(
        label="Configuration profile",
        help_text="A .mobileconfig file as it is: XML, binary, PEM, Base64 or signed. The next page says what is inside; nothing is imported yet.",
        widget=forms.FileInput(attrs={"accept": ".mobileconfig,.plist,.xml,.pem,.txt,.p7m,.p7b,.der"}),
    )

    def clean_file(self) -> "UploadedFile[Any]":
        upload: UploadedFile[Any] = self.cleaned_data["file"]
        # Looked at before it is read: whatever people send, it is not taken into memory first.
        if (upload.size or 0) > LARGEST:
            raise forms.ValidationError(f"The file is larger than {LARGEST // 1024 // 1024} MiB.")
        return upload


class ImportForm(forms.Form):
    """What becomes of the file. Which fields there are follows from the file and from where it goes."""

    name = forms.CharField(max_length=100, label="Name of the new bundle")
    delivery_rule = forms.ChoiceField(label="How devices get it", choices=DeliveryRule.choices)
    how = forms.ChoiceField()
    role = forms.ChoiceField(
        choices=[("", "the usual one of each payload's type"), *Role.choices],
        required=False,
        label="Role of its payloads",
    )

    def __init__(self, *args: Any, bundle: Bundle | None, report: inspecting.ImportReport, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        if bundle is not None:
            del self.fields["name"], self.fields["delivery_rule"]
        self.ways = _ways(bundle, report)
        choice = forms.ChoiceField(
            label="What devices get", widget=forms.RadioSelect, choices=[(way, WAYS[way]) for way in self.ways]
        )
        choice.initial = self.ways[0] if self.ways else None
        if len(self.ways) < 2:
            choice.required, choice.widget = False, forms.HiddenInput()
        self.fields["how"] = choice


def _ways(bundle: Bundle | None, report: inspecting.ImportReport) -> list[str]:
    """What can become of the file: a bundle has either payloads of its own or a file."""
    ways = [*([] if report.refusal else [PAYLOADS]), *([] if report.exact_refusal else [EXACT])]
    if bundle is None:
        return ways
    taken = EXACT if bundle.original else PAYLOADS if bundle.payloads.exists() else ""
    return [way for way in ways if taken in {"", way}]


def import_page(admin: ModelAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """Into a bundle: GET asks for the file (and says what is inside the one it has), POST reports, then imports."""
    bundle = get_bundle(admin, request, pk)
    return _page(admin, request, bundle)


def import_new_page(admin: ModelAdmin, request: HttpRequest) -> HttpResponse:
    """As a new bundle."""
    if not request.user.has_perms(["profiles.add_bundle", "profiles.change_bundle"]):
        raise PermissionDenied
    return _page(admin, request, None)


@sensitive_variables("upload")
def _page(admin: ModelAdmin, request: HttpRequest, bundle: Bundle | None) -> HttpResponse:
    form = UploadForm(request.POST, request.FILES) if request.FILES else UploadForm()
    form.label_suffix = ""
    upload, problem = _upload(request, form)
    if upload is None:
        return _ask(admin, request, bundle, form=form, problem=problem)
    try:
        read = read_file(upload.data, accept_bare=upload.bare)
    except MobileconfigError as error:
        is_bare = error.code == "bare_payload"
        return _ask(admin, request, bundle, form=form, problem=str(error), bare_token=upload.token if is_bare else "")
    return _report(admin, request, bundle, upload=upload, read=read)


@sensitive_variables()
def _upload(request: HttpRequest, form: UploadForm) -> tuple[Upload | None, str]:
    """The file of this request, now or held since the first step; else what is wrong with it, if anything."""
    user = request.user
    if request.method != "POST" or not isinstance(user, AbstractBaseUser):
        return None, ""
    token = request.POST.get("token", "")
    if form.is_bound:
        if not form.is_valid():
            return None, ""
        file: UploadedFile[Any] = form.cleaned_data["file"]
        data = file.read()
        token = secrets.hold(data, file_name=file.name or "", user=user, now=timezone.now())
        return Upload(token, data), ""
    if not token:
        return None, "Choose a file."
    data = secrets.held(token, user=user)
    return (Upload(token, data, bare="bare" in request.POST), "") if data is not None else (None, _GONE)


def _ask(
    admin: ModelAdmin,
    request: HttpRequest,
    bundle: Bundle | None,
    *,
    form: UploadForm,
    problem: str,
    bare_token: str = "",
) -> HttpResponse:
    context: dict[str, Any] = {"form": form, "problem": problem, "bare_token": bare_token}
    if bundle is not None and bundle.original:
        context["report"] = _look(read_file(bytes(bundle.original)))
    status = 400 if problem or form.errors else 200
    return render(admin, request, "import.html", bundle=bundle, title="Import .mobileconfig", status=status, **context)


def _report(
    admin: ModelAdmin, request: HttpRequest, bundle: Bundle | None, *, upload: Upload, read: ReadFile
) -> HttpResponse:
    report = _look(read)
    decided = "decide" in request.POST
    form = ImportForm(
        request.POST if decided else None,
        bundle=bundle,
        report=report,
        initial={"name": report.name[:100], "delivery_rule": DeliveryRule.AFTER_COMPLIANCE},
    )
    if decided and form.ways and form.is_valid():
        try:
            made = _import(request, bundle, form=form, read=read)
        except ProfilesError as error:
            form.add_error(None, str(error))
        else:
            if isinstance(request.user, AbstractBaseUser):
                secrets.release(upload.token, user=request.user)
            return redirect("admin:profiles_bundle_change", made.pk)
    context = {
        "form": form,
        "report": report,
        "token": upload.token,
        "bare": upload.bare,
        "replaced": _replaced(bundle, read),
        "stops": _stops(bundle, report) if not form.ways else "",
    }
    status = 400 if form.errors else 200
    return render(admin, request, "import_report.html", bundle=bundle, title="What it brings", status=status, **context)


def _import(request: HttpRequest, bundle: Bundle | None, *, form: ImportForm, read: ReadFile) -> Bundle:
    said, now, actor = form.cleaned_data, timezone.now(), request.user
    role, name = said["role"] or None, said.get("name", "")
    if (said["how"] or form.ways[0]) == EXACT:
        made = composing.import_exactly(bundle, read, name=name, actor=actor, now=now)
        messages.success(request, f"Devices get the file byte for byte once {made} is published.")
        return made
    if bundle is None:
        rule = said["delivery_rule"]
        bundle, done = composing.import_as_new(read, name=name, rule=rule, role=role, actor=actor, now=now)
    else:
        done = composing.import_into(bundle, read, role=role, actor=actor, now=now)
    count = len(done.payloads)
    messages.success(
        request, f"{count} payload{'' if count == 1 else 's'} imported. Devices get them once the bundle is published."
    )
    for key, secret in done.secrets:
        messages.info(request, f"{key} is stored as the secret {secret}.")
    return bundle


def _look(read: ReadFile) -> inspecting.ImportReport:
    return inspecting.inspect(read, catalogue=catalogue.current(), now=timezone.now())


def _replaced(bundle: Bundle | None, read: ReadFile) -> list[Payload]:
    """The draft's payloads that the file's take the place of."""
    if bundle is None:
        return []
    names = [str(content["PayloadIdentifier"]) for content in read.mobileconfig.payloads]
    return list(bundle.payloads.filter(payload_identifier__in=names).defer("content"))


def _stops(bundle: Bundle | None, report: inspecting.ImportReport) -> str:
    """Why there is no way to import it."""
    if report.refusal:
        return report.refusal
    if bundle is not None and bundle.original:
        return f"This bundle delivers a signed file byte for byte. {report.exact_refusal}".strip()
    return report.exact_refusal
