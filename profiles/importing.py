"""Bringing the payloads of a .mobileconfig into a bundle's draft.

Identifiers and inner PayloadUUIDs stay what they were when a payload comes again, so that devices update it in
place (Apple's CommonPayloadKeys). Reading and judging the file is `protocol.mobileconfig`; nothing is published here.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime

from django.db import transaction
from django.db.models import Max
from django.utils.text import slugify

from profiles.errors import ImportRefused
from profiles.models import Bundle, DeliveryRule, Payload, Role
from protocol.mobileconfig import Mobileconfig
from protocol.plist import PlistValue, dumps

REQUIREMENT_TYPES = frozenset({
    "com.apple.mobiledevice.passwordpolicy",
    "com.apple.applicationaccess",
    "com.apple.applicationaccess.new",
    "com.apple.MCX.FileVault2",
    "com.apple.security.firewall",
})  # fmt: skip
CAPABILITY_PREFIXES = (
    "com.apple.vpn.", "com.apple.wifi.", "com.apple.mail.", "com.apple.eas.", "com.apple.ews.", "com.apple.caldav.",
    "com.apple.carddav.", "com.apple.ldap.", "com.apple.security.scep", "com.apple.security.acme",
    "com.apple.security.pkcs", "com.apple.security.pem", "com.apple.security.root", "com.apple.ADCertificate.",
    "com.apple.relay.", "com.apple.google-oauth", "com.apple.subscribedcalendar.",
)  # fmt: skip
# The enrollment itself: a second copy would replace or break the device's MDM profile.
_REFUSED_TYPES = frozenset({"com.apple.mdm"})


def default_role(payload_type: str) -> Role:
    """What a payload of this type usually is: restricts (requirement), gives (capability), or neither."""
    if payload_type in REQUIREMENT_TYPES:
        return Role.REQUIREMENT
    return Role.CAPABILITY if payload_type.startswith(CAPABILITY_PREFIXES) else Role.NEUTRAL


def new_bundle(name: str, *, now: datetime, rule: str = DeliveryRule.AFTER_COMPLIANCE, description: str = "") -> Bundle:
    """An empty bundle. Raises ImportRefused when the name is empty, too long or taken."""
    if not name.strip() or len(name) > 100:
        raise ImportRefused("A bundle's name has between 1 and 100 characters.")
    if Bundle.objects.filter(name=name).exists():
        raise ImportRefused(f'There already is a bundle "{name}".')
    return Bundle.objects.create(
        name=name, identifier=_stem(name), description=description[:255], delivery_rule=rule, created_at=now
    )


@transaction.atomic
def import_payloads(bundle: Bundle, mobileconfig: Mobileconfig, role: str | None = None) -> list[Payload]:
    """Put the file's payloads into the draft, each with `role` or the default of its type.

    A payload whose PayloadIdentifier the bundle already has replaces it: it keeps its place and PayloadUUID, and
    what refers to it inside the file follows. Raises ImportRefused, and then nothing is changed.
    """
    refused = sorted(_REFUSED_TYPES.intersection(mobileconfig.payload_types))
    if refused:
        raise ImportRefused(f"The file holds an enrollment ({refused[0]}). Devices get that by an invitation only.")
    # Locked so that two imports into one bundle do not both add the same payload.
    Bundle.objects.select_for_update().get(pk=bundle.pk)
    known = {payload.payload_identifier: payload for payload in bundle.payloads.all()}
    kept_uuids = {
        str(content["PayloadUUID"]): known[str(content["PayloadIdentifier"])].payload_uuid
        for content in mobileconfig.payloads
        if str(content["PayloadIdentifier"]) in known
    }
    position = bundle.payloads.aggregate(last=Max("position"))["last"] or 0
    imported = []
    for number, content in enumerate(mobileconfig.payloads, start=position + 1):
        old = known.get(str(content["PayloadIdentifier"]))
        payload = old or Payload(bundle=bundle, position=number)
        _fill(payload, {key: _renamed(value, kept_uuids) for key, value in content.items()}, role=role)
        payload.save()
        imported.append(payload)
    return imported


def _fill(payload: Payload, content: Mapping[str, PlistValue], *, role: str | None) -> None:
    payload_type = str(content["PayloadType"])
    name = content.get("PayloadDisplayName")
    if role is not None or payload.pk is None:
        payload.role = role or default_role(payload_type)
    payload.name = (name if isinstance(name, str) and name.strip() else payload_type)[:255]
    payload.payload_type = payload_type
    payload.payload_identifier = str(content["PayloadIdentifier"])
    payload.payload_uuid = str(content["PayloadUUID"])
    payload.content = dumps(dict(content))
    too_long = [text for text in (payload_type, payload.payload_identifier) if len(text) > 255]
    if too_long or len(payload.payload_uuid) > 64:
        raise ImportRefused("A payload's type, identifier or UUID is longer than any device would take.")


def _renamed(value: PlistValue, names: Mapping[str, str]) -> PlistValue:
    """The value with every PayloadUUID that is kept under another name written as that name."""
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    if isinstance(value, dict):
        return {key: _renamed(item, names) for key, item in value.items()}
    return value


def _stem(name: str) -> str:
    """The stem of the bundle's PayloadIdentifiers: readable, and different for names that slugify alike."""
    return f"mdmportal.bundle.{slugify(name)[:80] or 'bundle'}.{hashlib.sha256(name.encode()).hexdigest()[:8]}"
