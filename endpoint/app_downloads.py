"""The manifest and the file of an enterprise app, for the daemon of a device that installs it.

It shows neither a session nor an identity: the token in the address says which device, which version and until when
(`provisioning.enterprise_apps`). Tokens are cut from logs (`endpoint.log_filter`).
"""

from django.http import FileResponse, HttpResponse, HttpResponseBase
from django.http.request import HttpRequest
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from endpoint.enrollment_profile import portal_url
from provisioning import enterprise_apps
from provisioning.models import AppVersion


def manifest_url(token: str) -> str:
    """Where the manifest is that a link's token opens."""
    return portal_url("app-manifest", token)


@csrf_exempt
@require_safe
def manifest(_request: HttpRequest, token: str) -> HttpResponseBase:
    """GET /app/<token>/manifest.plist"""
    version = _version(token)
    if version is None:
        return _private(HttpResponse(status=404))
    content = enterprise_apps.manifest(version, portal_url("app-file", token))
    return _private(HttpResponse(content, content_type="application/xml"))


@csrf_exempt
@require_safe
def file(_request: HttpRequest, token: str) -> HttpResponseBase:
    """GET /app/<token>/app.ipa"""
    version = _version(token)
    if version is None:
        return _private(HttpResponse(status=404))
    try:
        opened = version.file.open("rb")
    except FileNotFoundError:
        return _private(HttpResponse(status=404))
    return _private(FileResponse(opened, content_type="application/octet-stream"))


def _version(token: str) -> AppVersion | None:
    link = enterprise_apps.read_link(token, timezone.now())
    return enterprise_apps.version_for(link) if link is not None else None


def _private(response: HttpResponseBase) -> HttpResponseBase:
    """The address is a secret: no cache keeps it, no other site is told of it."""
    response["Cache-Control"] = "no-store"
    response["Referrer-Policy"] = "no-referrer"
    return response
