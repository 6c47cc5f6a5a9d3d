"""What a person sees who opens an enrollment link: a page with a QR code, and the profile to install.

No login: the link's token is the invitation. It is stored hashed and cut from logs (`endpoint.log_filter`). Opening
the page or the profile uses nothing up; the device's first TokenUpdate does.
"""

import io
import logging
from dataclasses import dataclass
from datetime import datetime

import segno
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_safe

from certificates.push_certificates import current_push_certificate
from devices import invitations
from devices.errors import InvitationRefused
from devices.models import Invitation
from endpoint import enrollment_profile
from endpoint.enrollment_profile import NoPushCertificate, portal_url

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Refused:
    """Why nobody can enroll by this link now, in words for its user."""

    status: int
    title: str
    text: str


_ASK = "Ask the person who sent it to you for a new one."
UNKNOWN = Refused(404, "This link is not known", f"It may be incomplete: try to copy it again. {_ASK}")
REVOKED = Refused(410, "This link was withdrawn", _ASK)
EXPIRED = Refused(410, "This link has expired", _ASK)
USED_UP = Refused(410, "This link has been used", f"The devices it was meant for are enrolled. {_ASK}")
TOO_OFTEN = Refused(429, "This link was opened too often", "Wait an hour, then try again.")
NOT_READY = Refused(
    503,
    "Devices cannot enroll yet",
    "Your IT staff has not installed the portal's push certificate. Nothing is wrong with your link: try it later.",
)


@csrf_exempt
@require_safe
def page(request: HttpRequest, token: str) -> HttpResponse:
    """GET /enroll/<token>/"""
    now = timezone.now()
    return _answer(request, token, *_look_up(token, now))


def _answer(request: HttpRequest, token: str, invitation: Invitation | None, refused: Refused | None) -> HttpResponse:
    context = {
        "organization": settings.PORTAL_ORGANIZATION,
        "refused": refused,
        "invitation": invitation,
        "link": portal_url("enroll", token),
    }
    return _private(render(request, "endpoint/enroll.html", context, status=refused.status if refused else 200))


@csrf_exempt
@require_GET
def profile(request: HttpRequest, token: str) -> HttpResponse:
    """GET /enroll/<token>/profile: each download holds a challenge of its own."""
    now = timezone.now()
    invitation, refused = _look_up(token, now)
    if invitation is None or refused is not None:
        return page(request, token)
    try:
        data = enrollment_profile.render(invitations.download(invitation, now), now)
    except NoPushCertificate:
        return page(request, token)
    except InvitationRefused:
        return _answer(request, token, invitation, TOO_OFTEN)
    log.info("enrollment profile of invitation %d handed out to %s", invitation.pk, request.META.get("REMOTE_ADDR"))
    response = HttpResponse(data, content_type=enrollment_profile.CONTENT_TYPE)
    response["Content-Disposition"] = 'attachment; filename="enroll.mobileconfig"'
    return _private(response)


@csrf_exempt
@require_safe
def qr_code(request: HttpRequest, token: str) -> HttpResponse:
    """GET /enroll/<token>/qr.svg: the page's address, for the camera of another device."""
    _, refused = _look_up(token, timezone.now())
    if refused is not None:
        return page(request, token)
    picture = io.BytesIO()
    segno.make(portal_url("enroll", token), error="m").save(
        picture, kind="svg", scale=6, border=4, light="#fff", xmldecl=False, svgclass=None, lineclass=None
    )
    return _private(HttpResponse(picture.getvalue(), content_type="image/svg+xml"))


def _look_up(token: str, now: datetime) -> tuple[Invitation | None, Refused | None]:
    invitation = invitations.look_up(token)
    if invitation is None:
        return None, UNKNOWN
    if invitation.revoked_at is not None:
        return invitation, REVOKED
    if invitation.used_count >= invitation.uses:
        return invitation, USED_UP
    if invitation.expires_at <= now:
        return invitation, EXPIRED
    return invitation, None if current_push_certificate() else NOT_READY


def _private(response: HttpResponse) -> HttpResponse:
    """The address is a secret: no cache keeps it, no other site is told of it, no search engine lists it."""
    response["Cache-Control"] = "no-store"
    response["Referrer-Policy"] = "no-referrer"
    response["X-Robots-Tag"] = "noindex"
    return response
