"""The page with a person's own calendar address, and the feed behind it, which needs no session."""

from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from portal_ui.admin import ModelAdmin
from provisioning import calendar
from provisioning.admin.frame import render


def calendar_page(admin: ModelAdmin, request: HttpRequest) -> HttpResponse:
    """GET shows the address; POST would show the same."""
    if not admin.has_view_permission(request) or not isinstance(request.user, User):
        raise PermissionDenied
    address = f"{settings.PORTAL_URL}{reverse('provisioning_calendar', args=[calendar.token_for(request.user)])}"
    return render(admin, request, "calendar.html", title="Calendar", address=address)


@require_safe
def feed(_request: HttpRequest, token: str) -> HttpResponse:
    """GET /calendar/<token>/provisioning.ics"""
    if calendar.user_of(token) is None:
        return HttpResponse(status=404)
    host = urlsplit(settings.PORTAL_URL).hostname or "localhost"
    response = HttpResponse(calendar.feed(timezone.now(), host=host), content_type=calendar.CONTENT_TYPE)
    response["Cache-Control"] = "no-store"
    response["Referrer-Policy"] = "no-referrer"
    return response
