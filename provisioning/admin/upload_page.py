"""Uploading a file, in two steps: what was read in it and what it would do, then taking it in.

Between the two the file is held for the person who chose it (`provisioning.holding`); the first step writes nothing else.
"""

from typing import IO, Any, cast

from django import forms
from django.contrib import messages
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from portal_ui.admin import ModelAdmin
from provisioning import acts, holding, uploading
from provisioning.admin.frame import UPLOAD, render
from provisioning.errors import ProvisioningRefused
from provisioning.models import AppVersion
from provisioning.uploading import Outcome, ReadUpload, TakenUpload

_GONE = "The file is no longer held. Choose it again."
SIGNS = {
    Outcome.FIRST: "good",
    Outcome.KNOWN: "note",
    Outcome.SUCCESSOR: "good",
    Outcome.OLDER: "warn",
    Outcome.REFUSED: "bad",
}


class UploadForm(forms.Form):
    file = forms.FileField(
        label="File",
        help_text=(
            "A provisioning profile as Apple made it (.mobileprovision, .provisionprofile), or an app with all of its "
            "profiles (.ipa). The next page says what is inside; nothing is taken in yet."
        ),
        widget=forms.FileInput(attrs={"accept": ".mobileprovision,.provisionprofile,.ipa"}),
    )


class ForceForm(forms.Form):
    """The step back: older than what is in use."""

    reason = forms.CharField(max_length=500, label="Reason", help_text="Why the older one. Kept in the audit log.")


def upload_page(admin: ModelAdmin, request: HttpRequest) -> HttpResponse:
    """GET asks for a file; POST with a file says what is in it; POST with its token takes it in."""
    user = request.user
    if not isinstance(user, AbstractBaseUser) or not user.has_perm(UPLOAD):
        raise PermissionDenied
    if request.method != "POST":
        return _ask(admin, request, UploadForm(label_suffix=""))
    if "token" in request.POST and not request.FILES:
        return _take(admin, request, user)
    form = UploadForm(request.POST, request.FILES, label_suffix="")
    if not form.is_valid():
        return _ask(admin, request, form)
    file: UploadedFile[Any] = form.cleaned_data["file"]
    now = timezone.now()
    try:
        read = uploading.read_upload(cast("IO[bytes]", file.file), now)
    except ProvisioningRefused as error:
        form.add_error("file", error.reason)
        return _ask(admin, request, form)
    token = holding.hold(file, user=user, now=now) if not read.refusals else ""
    return _report(admin, request, read, token=token)


def _ask(admin: ModelAdmin, request: HttpRequest, form: UploadForm) -> HttpResponse:
    return render(admin, request, "upload.html", title="Upload a file", status=400 if form.errors else 200, form=form)


def _report(
    admin: ModelAdmin, request: HttpRequest, read: ReadUpload, *, token: str, force: ForceForm | None = None
) -> HttpResponse:
    """What the file holds, before it counts."""
    if read.needs_force and force is None:
        force = ForceForm(label_suffix="")
    rows = [(found, SIGNS[found.outcome]) for found in read.profiles]
    status = 400 if read.refusals or (force is not None and force.is_bound) else 200
    context = {"rows": rows, "ipa": read.ipa, "token": token, "force": force, "refusals": read.refusals}
    return render(admin, request, "upload_report.html", title="What the file holds", status=status, **context)


def _take(admin: ModelAdmin, request: HttpRequest, user: AbstractBaseUser) -> HttpResponse:
    token, now = request.POST["token"], timezone.now()
    file = holding.held(token, user=user)
    if file is None:
        messages.error(request, _GONE)
        return redirect("admin:provisioning_lineage_upload")
    with file:
        try:
            # Read again: what counts is what the file is now, and what is known now.
            read = uploading.read_upload(file, now)
            force = ForceForm(request.POST, label_suffix="") if read.needs_force else None
            if force is not None and not force.is_valid():
                return _report(admin, request, read, token=token, force=force)
            reason = force.cleaned_data["reason"] if force is not None else ""
            taken, version = acts.take_upload(file, read, actor=user, now=now, reason=reason)
        except ProvisioningRefused as error:
            messages.error(request, error.reason)
            return redirect("admin:provisioning_lineage_upload")
    holding.release(token, user=user)
    return _done(request, taken, version)


def _done(request: HttpRequest, taken: TakenUpload, version: AppVersion | None) -> HttpResponse:
    if len(taken.renewals) == 1:
        messages.success(request, "The file is in. It is compared with the present one, then rolled out.")
        return redirect("admin:provisioning_renewal_change", taken.renewals[0].pk)
    messages.success(
        request, f"The file is in. {len(taken.renewals)} renewals have begun." if taken.renewals else "The file is in."
    )
    if version is not None:
        return redirect("admin:provisioning_enterpriseapp_change", version.app_id)
    return redirect("admin:provisioning_lineage_change", taken.profiles[0].lineage_id)
