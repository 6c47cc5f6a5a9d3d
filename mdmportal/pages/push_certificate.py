"""The page that takes in an MDM push certificate; it knows how many enrolled devices depend on which topic."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.decorators import permission_required
from django.core.files.uploadedfile import UploadedFile
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from certificates.models import PushCertificate
from certificates.push_certificates import PushCertificateError, current_push_certificate, upload_pem, upload_pkcs12
from devices.models import Enrollment
from operations import audit

# An honest file is a few KB; anything larger is not read.
LARGEST_FILE = 256 * 1024


class UploadForm(forms.Form):
    """A PEM pair (one or two files), or one PKCS#12 file."""

    certificate = forms.FileField(
        label="Certificate", help_text="The .pem file that Apple made, or a .p12/.pfx file that also holds the key."
    )
    key = forms.FileField(
        label="Private key", required=False, help_text="A .pem or .key file, unless the first file holds the key."
    )
    # Never rendered back.
    password = forms.CharField(
        label="Password of the key",
        required=False,
        strip=False,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "off"}),
    )
    accepted_loss = forms.IntegerField(
        label="Devices you agree to lose",
        required=False,
        min_value=1,
        help_text="Only when another topic was refused and you really mean it: type the number it named.",
    )
    reason = forms.CharField(max_length=500, help_text="Kept in the audit log.")

    def clean_certificate(self) -> bytes:
        return _bytes(self.cleaned_data["certificate"])

    def clean_key(self) -> bytes:
        return _bytes(self.cleaned_data["key"])


def _bytes(upload: "UploadedFile[Any] | None") -> bytes:
    if upload is None:
        return b""
    if upload.size is None or upload.size > LARGEST_FILE:
        raise forms.ValidationError("The file is larger than any certificate or key.")
    return bytes(upload.read())


@never_cache
@sensitive_post_parameters("password")
@permission_required("certificates.add_pushcertificate", raise_exception=True)
def upload(request: HttpRequest) -> HttpResponse:
    """GET and POST /admin/push-certificate/"""
    posted = request.method == "POST"
    form = UploadForm(request.POST, request.FILES, label_suffix="") if posted else UploadForm(label_suffix="")
    if form.is_valid():
        try:
            stored = store(form.cleaned_data, actor=request.user, now=timezone.now())
        except PushCertificateError as error:
            form.add_error("accepted_loss" if error.code == "other_topic" else None, str(error))
        else:
            messages.success(request, f"Pushes now go out under the topic {stored.topic}.")
            return redirect("admin:certificates_pushcertificate_changelist")
    context = {
        **admin.site.each_context(request),
        "title": "Upload a push certificate",
        "form": form,
        "current": current_push_certificate(),
        "depends": sum(enrolled_topics().values()),
    }
    return TemplateResponse(request, "pages/push_certificate.html", context, status=400 if form.errors else 200)


def enrolled_topics() -> dict[str, int]:
    """How many enrolled devices depend on each topic, in one statement."""
    rows = Enrollment.objects.enrolled().device_channel().exclude(topic="").order_by()
    return dict(rows.values_list("topic").annotate(count=Count("pk")))


@sensitive_variables()
def store(said: dict[str, Any], *, actor: audit.Actor, now: datetime) -> PushCertificate:
    """Take in what was uploaded (the form's values) and record who did. Raises PushCertificateError."""
    facts = {"now": now, "enrolled_topics": enrolled_topics(), "accepted_loss": said["accepted_loss"]}
    if said["certificate"].lstrip().startswith(b"-----BEGIN"):
        password = said["password"].encode() or None
        stored = upload_pem(said["certificate"], said["key"], password=password, **facts)
    else:
        stored = upload_pkcs12(said["certificate"], said["password"], **facts)
    details = {"topic": stored.topic, "not_after": stored.not_after.isoformat(), "accepted_loss": said["accepted_loss"]}
    audit.record(actor, "push_certificate.upload", subject=stored, now=now, reason=said["reason"], details=details)
    return stored
