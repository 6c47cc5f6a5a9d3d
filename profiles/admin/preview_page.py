"""A bundle as one device would get it: its variables filled in, its secrets masked. Nothing is sent."""

from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.text import Truncator

from devices.models import Device
from portal_ui.admin import ModelAdmin
from profiles import catalogue
from profiles.admin.frame import get_bundle, render
from profiles.masking import masked
from profiles.models import Payload
from profiles.rendering import preview
from protocol.errors import PlistError
from protocol.plist import PlistValue, dumps, loads_dict
from protocol.schema import Catalogue

SHOWN = 20
# A font's bytes say nothing to anybody.
LONGEST_DATA = 600
LONGEST_XML = 60_000


def preview_page(admin: ModelAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """GET: ?device= is a serial number, a part of a name or a key; several matches are offered as links."""
    bundle = get_bundle(admin, request, pk)
    # PostgreSQL takes no NUL in a text.
    wanted = request.GET.get("device", "").replace("\0", "").strip()[:100]
    found = list(_matches(wanted)[: SHOWN + 1]) if wanted else []
    exact = [device for device in found if wanted.lower() in {str(device.pk), device.serial_number.lower()}]
    device = (exact or found)[0] if len(exact or found) == 1 else None
    schema = catalogue.current()
    shown = [(payload, xml_of(payload, schema, device=device)) for payload in bundle.payloads.all()] if device else []
    title = f"{bundle} as {device} gets it" if device else f"Preview {bundle}"
    context: dict[str, Any] = {
        "device": device,
        "wanted": wanted,
        "found": found[:SHOWN],
        "more": len(found) > SHOWN,
        "shown": shown,
    }
    return render(admin, request, "preview.html", bundle=bundle, title=title, **context)


def xml_of(payload: Payload, schema: Catalogue, *, device: Device | None = None) -> str:
    """A stored payload as XML with secrets masked and long data cut; with a device, as that device gets it."""
    try:
        content = loads_dict(bytes(payload.content))
        facts = schema.match(payload.payload_type, content)
        variant = payload.variant or (facts.variant if facts else "")
        shown = _shortened(masked(variant, content, catalogue=schema))
        return Truncator(dumps(preview(shown, device) if device else shown).decode()).chars(LONGEST_XML)
    except PlistError:
        return "The stored content is no property list."


def _matches(wanted: str) -> QuerySet[Device]:
    named = Q(serial_number__iexact=wanted) | Q(name__icontains=wanted)
    if wanted.isascii() and wanted.isdigit() and len(wanted) < 10:
        named |= Q(pk=int(wanted))
    return Device.objects.filter(named).order_by("name", "pk")


def _shortened(value: PlistValue) -> PlistValue:
    if isinstance(value, bytes) and len(value) > LONGEST_DATA:
        return f"({len(value):,} bytes)"
    if isinstance(value, list):
        return [_shortened(item) for item in value]
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    return value
