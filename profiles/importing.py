"""Writing the rows of a .mobileconfig that comes into a bundle: its payloads, or the signed file itself.

Identifiers and inner PayloadUUIDs stay what they were when a payload comes again, so that devices update it in
place (Apple's CommonPayloadKeys). Reading the file is `protocol.mobileconfig`, what it brings `profiles.inspecting`,
the whole act `profiles.composing`; nothing is published here.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils.text import slugify

from devices.invitations import profile_identifier
from profiles import catalogue, overlay
from profiles.errors import ImportRefused
from profiles.models import Bundle, DeliveryRule, Payload, Profile, Role
from protocol.mobileconfig import Mobileconfig, ReadFile
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
ENROLLMENT_TYPES = frozenset({"com.apple.mdm"})


def default_role(payload_type: str) -> Role:
    """What a payload of this type usually is: restricts (requirement), gives (capability), or neither."""
    if payload_type in REQUIREMENT_TYPES:
        return Role.REQUIREMENT
    return Role.CAPABILITY if payload_type.startswith(CAPABILITY_PREFIXES) else Role.NEUTRAL


def new_bundle(name: str, *, now: datetime, rule: str = DeliveryRule.AFTER_COMPLIANCE, description: str = "") -> Bundle:
    """An empty bundle. Raises ImportRefused when the name is empty, too long or taken."""
    if not name.strip() or len(name) > 100:
        raise ImportRefused("A bundle's name has between 1 and 100 characters.")
    taken = ImportRefused(f'There already is a bundle "{name}".')
    if Bundle.objects.filter(name=name).exists():
        raise taken
    row = Bundle(name=name, identifier=_free_stem(name), description=description[:255], delivery_rule=rule)
    row.created_at = now
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:
        # Somebody made one of this name between the question and the answer.
        raise taken from None
    return row


@transaction.atomic
def import_payloads(bundle: Bundle, mobileconfig: Mobileconfig, role: str | None = None) -> list[Payload]:
    """Put the file's payloads into the draft, each with `role` or the default of its type.

    A payload whose PayloadIdentifier the bundle already has replaces it: it keeps its place and PayloadUUID, and
    what refers to it inside the file follows. Raises ImportRefused, and then nothing is changed.
    """
    refused = sorted(ENROLLMENT_TYPES.intersection(mobileconfig.payload_types))
    if refused:
        raise ImportRefused(f"The file holds an enrollment ({refused[0]}). Devices get that by an invitation only.")
    # Locked so that two imports into one bundle do not both add the same payload.
    if Bundle.objects.select_for_update().get(pk=bundle.pk).original:
        raise ImportRefused("Devices get this bundle's file byte for byte; it takes no further payloads.")
    known_types = catalogue.current()
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
        facts = known_types.match(str(content["PayloadType"]), content)
        payload.variant = facts.variant if facts else ""
        _fill(payload, {key: renamed(value, kept_uuids) for key, value in content.items()}, role=role)
        payload.save()
        imported.append(payload)
    return imported


@transaction.atomic
def set_original(bundle: Bundle, read: ReadFile) -> None:
    """Let the bundle deliver this signed file byte for byte. Raises ImportRefused, and then nothing is changed.

    Refused: a bundle with payloads, another profile than the one that was published, and names that another
    bundle's profile or another content had.
    """
    bundle_now = Bundle.objects.select_for_update().get(pk=bundle.pk)
    if bundle_now.payloads.exists():
        raise ImportRefused("The bundle has payloads of its own. Import the file as a new bundle.")
    refuse_used_names(bundle, read.mobileconfig, read.original)
    bundle.original = read.original
    bundle.save(update_fields=["original"])


def refuse_used_names(bundle: Bundle, mobileconfig: Mobileconfig, signed: bytes) -> None:
    """Raise ImportRefused where delivering these bytes would confuse devices or proof.

    A device tells profiles apart by PayloadIdentifier and versions of one by PayloadUUID.
    """
    if mobileconfig.identifier.lower() == profile_identifier().lower():
        raise ImportRefused(
            "Its PayloadIdentifier is that of the enrollment: it would take the enrollment's place, and its removal "
            "would be the end of management."
        )
    # Devices compare UUIDs whatever their case, and so does proof.
    for profile in Profile.objects.filter(uuid__iexact=mobileconfig.uuid):
        if bytes(profile.signed) != signed:
            raise ImportRefused(
                "Its PayloadUUID was delivered before with other content, so that no device could prove which one it "
                "has. Give the file a new PayloadUUID and sign it again."
            )
    others = Profile.objects.filter(identifier=mobileconfig.identifier).exclude(revision__bundle=bundle)
    other = others.select_related("revision__bundle").only("revision__bundle__name").first()
    if other is not None:
        raise ImportRefused(
            f'The bundle "{other.revision.bundle}" delivers a profile with the same PayloadIdentifier: devices would '
            "replace the one by the other."
        )
    own = Profile.objects.filter(revision__bundle=bundle).values_list("identifier", flat=True)
    if any(name != mobileconfig.identifier for name in own):
        raise ImportRefused(
            "The bundle was published as another profile (its PayloadIdentifier differs), which devices would keep."
        )


def _fill(payload: Payload, content: Mapping[str, PlistValue], *, role: str | None) -> None:
    payload_type = str(content["PayloadType"])
    name = content.get("PayloadDisplayName")
    if role is not None or payload.pk is None:
        payload.role = role or default_role(payload_type)
    usual = overlay.title_of(payload.variant) if payload.variant else payload_type
    payload.name = (name.strip() if isinstance(name, str) and name.strip() else usual)[:255]
    payload.payload_type = payload_type
    payload.payload_identifier = str(content["PayloadIdentifier"])
    payload.payload_uuid = str(content["PayloadUUID"])
    payload.content = dumps(dict(content))
    too_long = [text for text in (payload_type, payload.payload_identifier) if len(text) > 255]
    if too_long or len(payload.payload_uuid) > 64:
        raise ImportRefused("A payload's type, identifier or UUID is longer than any device would take.")


def renamed(value: PlistValue, names: Mapping[str, str]) -> PlistValue:
    """The value with every PayloadUUID that has a new name written as that name."""
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, list):
        return [renamed(item, names) for item in value]
    if isinstance(value, dict):
        return {key: renamed(item, names) for key, item in value.items()}
    return value


def _free_stem(name: str) -> str:
    """The stem of the bundle's PayloadIdentifiers: readable, and different for names that slugify alike.

    A bundle keeps its stem when it is renamed, so whoever takes its old name needs another one.
    """
    salts = ("", *(f"\n{number}" for number in range(2, 100)))
    stems = [_stem(name, salt) for salt in salts]
    used = set(Bundle.objects.filter(identifier__in=stems).values_list("identifier", flat=True))
    return next((stem for stem in stems if stem not in used), stems[0])


def _stem(name: str, salt: str) -> str:
    return f"mdmportal.bundle.{slugify(name)[:80] or 'bundle'}.{hashlib.sha256((name + salt).encode()).hexdigest()[:8]}"
