"""The page that makes an invitation and shows its link and QR code, once: only the link's hash is kept."""

from datetime import timedelta

import segno
from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.cache import never_cache

from devices import acts
from devices.errors import InvitationRefused
from devices.models import DeviceGroup
from portal_ui.admin import moment

LONGEST_HOURS = 24 * 365


class InvitationForm(forms.Form):
    """Who may enroll, and for how long."""

    note = forms.CharField(max_length=255, required=False, help_text="Shown in the list, for example whose devices.")
    uses = forms.IntegerField(min_value=1, initial=1, label="Devices", help_text="How many may enroll by this link.")
    hours = forms.IntegerField(min_value=1, max_value=LONGEST_HOURS, label="Valid for hours")
    serial_number = forms.CharField(
        max_length=64,
        required=False,
        help_text="Only this device may then use it, and its earlier group memberships come back by themselves.",
    )
    groups = forms.ModelMultipleChoiceField(
        queryset=DeviceGroup.objects.exclude(name=DeviceGroup.ALL),
        required=False,
        help_text="Devices join these at enrollment; every device is in “all” anyway.",
    )


@never_cache
@permission_required("devices.add_invitation", raise_exception=True)
def invite(request: HttpRequest) -> HttpResponse:
    """GET and POST /admin/invite/; the answer to the POST is the only page that ever holds the link."""
    hours = int(settings.INVITATION_LIFETIME / timedelta(hours=1))
    form = InvitationForm(request.POST if request.method == "POST" else None, initial={"hours": hours})
    context = {**admin.site.each_context(request), "title": "Invite devices", "form": form}
    if form.is_valid():
        try:
            context |= _made(request, form)
        except InvitationRefused as error:
            form.add_error(None, error.reason)
    return TemplateResponse(request, "pages/invitation.html", context, status=400 if form.errors else 200)


def _made(request: HttpRequest, form: InvitationForm) -> dict[str, object]:
    now = timezone.now()
    said = form.cleaned_data
    invitation, token = acts.invite(
        groups=said["groups"],
        uses=said["uses"],
        lifetime=timedelta(hours=said["hours"]),
        serial_number=said["serial_number"],
        note=said["note"],
        actor=request.user,
        now=now,
    )
    link = f"{settings.PORTAL_URL}/enroll/{token}/"
    return {
        "invitation": invitation,
        "link": link,
        "qr": qr_code(link),
        "ends": moment(invitation.expires_at, now=now),
    }


def qr_code(text: str) -> SafeString:
    """An SVG without style or script; `text` ends up in the modules only, never in the markup."""
    svg = segno.make(text, error="m").svg_inline(scale=5, border=2, light="#fff", title="QR code of the link")
    return mark_safe(svg)  # noqa: S308 (generated, holds no text of anybody)
