"""Profiles with a device's own values: filled in, named, encrypted and signed when the device asks.

Nothing of what is made here is kept: values of secrets are in no cache, queue or log. Encryption to the device is
EnvelopedData around the PayloadContent array (Apple's TopLevel.yaml, IsEncrypted); it needs an RSA identity.
Profiles that are the same everywhere were signed when they were published (`profiles.publishing`).
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from django.views.decorators.debug import sensitive_variables

from certificates.authority import signer
from devices.models import Device, Enrollment, Identity
from profiles.errors import DeliveryError, VariableError
from profiles.models import Profile, Secret
from profiles.variables import SECRET, names_in, secret_names, substitute
from protocol import cms
from protocol.errors import ProtocolError
from protocol.plist import PlistValue, dumps, loads_dict

# Where a device's UUID begins to be its own: what is before is the same for all of one profile.
_STEM_LENGTH = 18
# XML 1.0, section 2.2: what no property list can hold. A device may call itself so all the same.
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def facts(device: Device, enrollment: Enrollment | None = None) -> dict[str, str]:
    """The values of all variables of a device, its user and enrollment; "" where there is none. No statement.

    On a Mac's user channel the user is the one who signed in there.
    """
    name, full_name, email = device.user_name, device.user_full_name, device.user_email
    if enrollment is not None and enrollment.user_short_name:
        # Somebody else's address would be wrong on this channel.
        email = email if name in {"", enrollment.user_short_name} else ""
        full_name = enrollment.user_long_name or (full_name if name == enrollment.user_short_name else "")
        name = enrollment.user_short_name
    values = {
        "device.serial_number": device.serial_number,
        "device.udid": device.udid or "",
        "device.name": device.name,
        "device.model": device.model,
        "device.model_name": device.model_name,
        "device.product_name": device.product_name,
        "device.os_version": device.os_version,
        "device.imei": device.imei,
        "device.meid": device.meid,
        "device.asset_tag": device.asset_tag,
        "device.id": str(device.pk),
        "user.name": name,
        "user.full_name": full_name,
        "user.email": email,
        "enrollment.id": enrollment.enrollment_id if enrollment is not None else "",
    }
    return {key: _NOT_IN_XML.sub("", value) for key, value in values.items()}


def secret_marks(names: Iterable[str]) -> dict[str, str]:
    """What stands for the secrets among these variables in a UUID: which value they have, not the value.

    One statement, or none; a secret that nobody stored has no mark.
    """
    wanted = secret_names(names)
    rows = Secret.objects.filter(name__in=wanted).values_list("name", "pk", "version") if wanted else ()
    return {SECRET + name: _mark(pk, version) for name, pk, version in rows}


def device_uuid(profile_uuid: str, values: Mapping[str, str]) -> str:
    """The top-level PayloadUUID of a profile with these values (marks for secrets), in upper case.

    A UUID of version 8 (RFC 9562, section 5.8): 60 bits tell the profile, so that its variants are known as such
    whatever their values were, and 62 bits the values.
    """
    own = hashlib.sha256(json.dumps(sorted(values.items())).encode()).digest()
    raw = bytearray(hashlib.sha256(profile_uuid.upper().encode()).digest()[:8] + own[:8])
    raw[6], raw[8] = raw[6] & 0x0F | 0x80, raw[8] & 0x3F | 0x80
    return str(UUID(bytes=bytes(raw))).upper()


def is_variant(uuid: str, profile_uuids: Iterable[str]) -> bool:
    """Whether a device's UUID names one of these profiles, with whatever values."""
    stem = uuid.upper()[:_STEM_LENGTH]
    return any(device_uuid(known, {})[:_STEM_LENGTH] == stem for known in profile_uuids)


def is_per_device(profile: Profile) -> bool:
    """Whether its bytes are made for each device."""
    return bool(profile.variables or profile.encrypt_to_device)


def render(profile: Profile, enrollment: Enrollment, now: datetime) -> bytes:
    """The signed profile for one channel; `enrollment.device` is loaded. Costs one RSA signature.

    Raises DeliveryError when a value is missing or cannot be used, or there is no identity to encrypt to.
    """
    try:
        content = _filled(profile, enrollment)
        if profile.encrypt_to_device:
            content = encrypted(content, _recipient(enrollment, now))
        certificate, private_key, chain = signer(now)
        return cms.sign_attached(dumps(content), certificate, private_key=private_key, chain=chain)
    except ProtocolError as error:
        raise DeliveryError(f"Profile {profile.pk} cannot be rendered: {error}") from None


def encrypted(content: Mapping[str, PlistValue], recipient: x509.Certificate) -> dict[str, PlistValue]:
    """The profile with its payloads encrypted to an RSA certificate. Raises AlgorithmError for another key."""
    outside = {key: value for key, value in content.items() if key != "PayloadContent"}
    payloads = cms.encrypt(dumps(content["PayloadContent"]), recipient)
    return {**outside, "IsEncrypted": True, "EncryptedPayloadContent": payloads}


def preview(contents: PlistValue, device: Device) -> PlistValue:
    """Contents as the device would get them, secrets masked; a variable without a value stays as it is."""
    names = names_in(contents)
    if not names:
        return contents
    channel = Enrollment.objects.enrolled().device_channel().filter(device=device).first()
    values = {name: value for name, value in facts(device, channel).items() if value}
    return substitute(contents, values | {name: masked(name) for name in secret_marks(names)})


def masked(name: str) -> str:
    """What is shown instead of a secret."""
    return f"•••• {name}"


@sensitive_variables()
def _filled(profile: Profile, enrollment: Enrollment) -> dict[str, PlistValue]:
    content = loads_dict(bytes(profile.content))
    if not profile.variables:
        return content
    known = facts(enrollment.device, enrollment)
    # Value and version in one statement: the UUID must speak of the very value that is delivered.
    stored = Secret.objects.filter(name__in=secret_names(profile.variables))
    rows = {SECRET + row.name: (_mark(row.pk, row.version), bytes(row.value)) for row in stored}
    lacking = [name for name in profile.variables if not known.get(name) and name not in rows]
    if lacking:
        raise VariableError(f"There is no value for {', '.join(lacking)}.")
    values = {name: rows[name][1] if name in rows else known[name] for name in profile.variables}
    marks = {name: rows[name][0] if name in rows else known[name] for name in profile.variables}
    filled = substitute(content, values)
    if not isinstance(filled, dict):
        raise DeliveryError("The profile is no dictionary.")
    return {**filled, "PayloadUUID": device_uuid(profile.uuid, marks)}


def _recipient(enrollment: Enrollment, now: datetime) -> x509.Certificate:
    """The newest identity of the device: its key opens what is encrypted to the device."""
    bound = Identity.objects.filter(enrollment=enrollment.parent_id or enrollment.pk, not_after__gt=now)
    identity = bound.select_related("certificate").order_by("-bound_at", "-pk").first()
    if identity is None:
        raise DeliveryError("The device has no identity certificate in force to encrypt to.")
    certificate = identity.certificate.certificate
    if not isinstance(certificate.public_key(), rsa.RSAPublicKey):
        raise DeliveryError("The device's identity is no RSA key: nothing can be encrypted to it.")
    return certificate


def _mark(pk: int, version: int) -> str:
    return f"{pk}.{version}"
