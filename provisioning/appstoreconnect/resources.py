"""What Apple's APIs hold, as frozen values (App Store Connect API: Profile, BundleId, Certificate, Device).

Read from foreign JSON: what has no id or name is refused, everything else that is missing or odd is empty, for one
strange profile of a team must not stop the renewal of another.
"""

import base64
import binascii
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from provisioning.appstoreconnect.errors import AppStoreConnectError, ErrorKind

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
# These cannot be stored or sent: a database's text column refuses NUL, and nothing encodes a lone surrogate.
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class AppleProfile:
    """A provisioning profile in Apple's portal. ACTIVE does not mean unexpired: compare dates."""

    id: str
    name: str
    # IOS_APP_INHOUSE, IOS_APP_ADHOC, ...
    type: str
    # ACTIVE, INVALID, and now and then EXPIRED
    state: str
    # The whole signed file; None when it is INVALID, or when Apple has not made it yet.
    content: bytes | None = field(repr=False)
    uuid: str
    created_at: datetime | None
    expires_at: datetime | None
    # Resource ids; None when the answer did not tell.
    bundle_id_id: str | None = None
    certificate_ids: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class AppleBundleId:
    """An App ID. `seed_id` is its prefix, usually but not always the team's identifier."""

    id: str
    identifier: str
    seed_id: str
    # IOS, MAC_OS or UNIVERSAL
    platform: str
    name: str


@dataclass(frozen=True, slots=True)
class AppleCertificate:
    """A signing certificate; `content` is its DER."""

    id: str
    serial_number: str
    content: bytes = field(repr=False)
    # IOS_DISTRIBUTION at the Enterprise Program, DISTRIBUTION, DEVELOPMENT, ...
    type: str
    expires_at: datetime | None
    name: str


@dataclass(frozen=True, slots=True)
class AppleDevice:
    """A registered device; `status` is ENABLED or DISABLED."""

    id: str
    udid: str = field(repr=False)
    status: str


def read_profile(resource: object, *, bundle_id_id: str | None = None) -> AppleProfile:
    """A resource of type profiles. Raises AppStoreConnectError (UNAVAILABLE)."""
    identifier, attributes = _resource(resource, "profiles")
    return AppleProfile(
        id=identifier,
        name=_text(attributes, "name", required=True),
        type=_text(attributes, "profileType"),
        state=_text(attributes, "profileState"),
        content=_bytes(attributes.get("profileContent")),
        uuid=_text(attributes, "uuid"),
        created_at=_moment(attributes.get("createdDate")),
        expires_at=_moment(attributes.get("expirationDate")),
        bundle_id_id=next(iter(_related(resource, "bundleId") or ()), bundle_id_id),
        certificate_ids=_related(resource, "certificates"),
    )


def read_bundle_id(resource: object) -> AppleBundleId:
    """A resource of type bundleIds. Raises AppStoreConnectError (UNAVAILABLE)."""
    identifier, attributes = _resource(resource, "bundleIds")
    return AppleBundleId(
        id=identifier,
        identifier=_text(attributes, "identifier", required=True),
        seed_id=_text(attributes, "seedId"),
        platform=_text(attributes, "platform"),
        name=_text(attributes, "name"),
    )


def read_certificate(resource: object) -> AppleCertificate:
    """A resource of type certificates. Raises AppStoreConnectError (UNAVAILABLE)."""
    identifier, attributes = _resource(resource, "certificates")
    return AppleCertificate(
        id=identifier,
        serial_number=_text(attributes, "serialNumber"),
        content=_bytes(attributes.get("certificateContent")) or b"",
        type=_text(attributes, "certificateType"),
        expires_at=_moment(attributes.get("expirationDate")),
        name=_text(attributes, "displayName") or _text(attributes, "name"),
    )


def read_device(resource: object) -> AppleDevice:
    """A resource of type devices. Raises AppStoreConnectError (UNAVAILABLE)."""
    identifier, attributes = _resource(resource, "devices")
    return AppleDevice(identifier, _text(attributes, "udid"), _text(attributes, "status"))


def is_id(value: object) -> bool:
    """Whether a value can be a resource's id, and so a part of a path."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def malformed(what: str) -> AppStoreConnectError:
    """The error for JSON of another shape than Apple documents."""
    return AppStoreConnectError(ErrorKind.UNAVAILABLE, f"Apple's answer cannot be read: {what}.")


def _resource(resource: object, kind: str) -> tuple[str, dict[str, Any]]:
    match resource:
        case {"type": str(name), "id": str(identifier), "attributes": dict(attributes)}:
            if name == kind and is_id(identifier):
                return identifier, attributes
    raise malformed(f"no resource of type {kind} is where one should be")


def _related(resource: object, name: str) -> tuple[str, ...] | None:
    """The ids a relationship names; None without its `data`, whatever its counts claim."""
    match resource:
        case {"relationships": {**relationships}}:
            match relationships.get(name):
                case {"data": {"id": str(identifier)}} if is_id(identifier):
                    return (identifier,)
                case {"data": list(entries)}:
                    return tuple(entry["id"] for entry in entries if isinstance(entry, dict) and is_id(entry.get("id")))
    return None


def _text(attributes: dict[str, Any], name: str, *, required: bool = False) -> str:
    value = attributes.get(name)
    text = value if isinstance(value, str) and len(value) <= 1000 and not _UNSTORABLE.search(value) else ""
    if required and not text:
        raise malformed(f"an entry has no {name}")
    return text


def _bytes(value: object) -> bytes | None:
    if not isinstance(value, str):
        return None
    try:
        return base64.b64decode("".join(value.split()), validate=True) or None
    except (binascii.Error, ValueError):
        return None


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
