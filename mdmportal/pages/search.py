"""Search over what a person may see: pages, bundles, devices, payload keys. The palette asks for JSON, people without scripts get a page.

Fixed number of statements, each limited; what somebody has no right to look at is not searched.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain, islice

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache

from devices.models import Device
from mdmportal.pages import key_search
from mdmportal.pages.navigation import GROUPS, Entry, allowed
from profiles.models import Bundle

PALETTE_SHOWN = 12
PAGE_SHOWN = 50
LONGEST = 100
# Pages that people look for by what they do, beside the navigation's.
ACTS = (
    Entry("Invite devices", "invite", "devices.add_invitation", "invite"),
    Entry("New bundle", "admin:profiles_bundle_add", "profiles.add_bundle", "bundles"),
    Entry("New group", "admin:devices_devicegroup_add", "devices.add_devicegroup", "groups"),
    Entry("Upload a push certificate", "push_certificate", "certificates.add_pushcertificate", "push"),
    Entry("Change your password", "admin:password_change", "", "accounts"),
)


@dataclass(frozen=True, slots=True)
class Found:
    """One answer: what it is called, what kind of thing it is, and where it is."""

    label: str
    kind: str
    url: str


@never_cache
def palette(request: HttpRequest) -> HttpResponse:
    """GET /admin/palette.json?q=: `{"results": [{"label", "kind", "url"}]}`."""
    return JsonResponse({"results": [asdict(one) for one in find(request, _words(request), limit=PALETTE_SHOWN)]})


@never_cache
def search_page(request: HttpRequest) -> HttpResponse:
    """GET /admin/search/?q=: the same as a page."""
    words = _words(request)
    context = {"title": "Search", "words": words, "results": find(request, words, limit=PAGE_SHOWN) if words else []}
    return TemplateResponse(request, "pages/search.html", {**admin.site.each_context(request), **context})


def _words(request: HttpRequest) -> str:
    # SQLite ends a text at a NUL.
    return request.GET.get("q", "").replace("\0", "").strip()[:LONGEST]


def find(request: HttpRequest, words: str, *, limit: int) -> list[Found]:
    """The first `limit` things that match; without words, the pages. No kind takes all the room of the others."""
    if not words:
        return list(islice(_pages(request, ""), limit))
    share = max(limit // 2, 1)
    kinds = (
        _pages(request, words),
        _bundles(request, words, share),
        _devices(request, words, share),
        _keys(request, words, share),
    )
    return list(islice(chain(*kinds), limit))


def _pages(request: HttpRequest, words: str) -> Iterator[Found]:
    for title, entries in (("Act", ACTS), *GROUPS):
        for entry, address in allowed(request, entries):
            if words.lower() in entry.label.lower():
                yield Found(entry.label, title, address)


def _devices(request: HttpRequest, words: str, limit: int) -> Iterator[Found]:
    if not request.user.has_perm("devices.view_device"):
        return
    named = Q(serial_number__istartswith=words) | Q(name__icontains=words) | Q(udid__istartswith=words)
    for device in Device.objects.filter(named).order_by("name", "pk")[:limit]:
        serial = f" ({device.serial_number})" if device.serial_number and device.name else ""
        yield Found(f"{device}{serial}", "Device", reverse("device_page", args=[device.pk]))


def _bundles(request: HttpRequest, words: str, limit: int) -> Iterator[Found]:
    if not request.user.has_perm("profiles.view_bundle"):
        return
    for pk, name in Bundle.objects.filter(name__icontains=words).order_by("name").values_list("pk", "name")[:limit]:
        yield Found(name, "Bundle", reverse("admin:profiles_bundle_change", args=[pk]))


def _keys(request: HttpRequest, words: str, limit: int) -> Iterator[Found]:
    if not request.user.has_perm("profiles.view_bundle"):
        return
    for used in key_search.find(words, limit=limit):
        kind = f"Key of {used.named.payload}" if used.named.is_key else "Payload"
        if used.bundle is None:
            yield Found(used.named.label, f"{kind}, in no bundle yet", reverse("admin:profiles_bundle_changelist"))
        else:
            pk, name = used.bundle
            yield Found(used.named.label, f"{kind}, in {name}", reverse("admin:profiles_bundle_change", args=[pk]))
