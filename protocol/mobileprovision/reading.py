"""Reading one provisioning profile: the signed message, the plist in it, and what both say (TN3125).

The signature is verified before a key is believed: digest of the content, signature over the attributes, chain to
Apple at the moment of signing. Dates are aware UTC. UUIDs are kept as they came and compared without case.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from cryptography import x509
from cryptography.x509.oid import NameOID

from protocol.cms import der, read_signed_data
from protocol.cms.algorithms import UNREADABLE, load_certificate
from protocol.cms.signed import SignedData
from protocol.errors import MobileprovisionError, PlistError, SignatureError
from protocol.mobileprovision.trust import APPLE_ROOTS, Roots, check_chain
from protocol.plist import PlistValue, loads_dict

__all__ = ["Kind", "ProvisioningProfile", "SigningCertificate", "read_provisioning_profile"]

# The largest honest ones, with a hundred devices, have 40 KB.
_MAX_BYTES = 4 * 1024 * 1024
_SIGNING_TIME = der.oid("1.2.840.113549.1.9.5")
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_MOST_CERTIFICATES = 200
# What a file that is no signed message begins with, tried in order; then what the person should know.
_OTHER_FILES = (
    ((b"<?xml", b"<plist", b"bplist"), "plist", "The file is a property list without Apple's signature around it."),
    ((b"{", b"["), "json", "The file is JSON, such as an enrollment profile of Automated Device Enrollment."),
    ((b"<!doctype html", b"<html"), "html", "The file is a web page, perhaps a login page that was saved instead."),
    ((b"pk\x03\x04",), "zip", "The file is an archive. An .ipa is read by its own upload."),
    ((b"-----begin",), "pem", "The file is PEM text: a certificate or key, no provisioning profile."),
)


class Kind(StrEnum):
    """Who may run an app with it."""

    IN_HOUSE = "in_house"
    DEVELOPER_ID = "developer_id"
    AD_HOC = "ad_hoc"
    DEVELOPMENT = "development"
    APP_STORE = "app_store"


@dataclass(frozen=True, slots=True)
class SigningCertificate:
    """A developer certificate that may sign apps under the profile."""

    der: bytes = field(repr=False)
    common_name: str
    serial_number: str
    not_after: datetime

    @property
    def sha256(self) -> str:
        """The fingerprint in lower-case hexadecimal digits."""
        return hashlib.sha256(self.der).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisioningProfile:
    """What a provisioning profile says, after its signature was verified. `data` are the bytes as they came."""

    uuid: str
    name: str
    team_identifier: str
    team_name: str
    # The prefix of the App ID, normally but not always the team.
    prefix: str
    application_identifier: str
    app_id_name: str
    kind: Kind
    platforms: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    # UDIDs as they came; empty where any device may run the app.
    devices: tuple[str, ...] = field(repr=False)
    certificates: tuple[SigningCertificate, ...] = field(repr=False)
    entitlements: Mapping[str, PlistValue] = field(repr=False)
    has_der_form: bool
    is_xcode_managed: bool
    # Made by a free personal team: lives seven days, and devices refuse it over MDM.
    is_free_team: bool
    data: bytes = field(repr=False)

    @property
    def bundle_identifier(self) -> str:
        """The App ID without its prefix: a bundle identifier, or a pattern that ends with "*"."""
        return self.application_identifier.removeprefix(f"{self.prefix}.")

    @property
    def is_wildcard(self) -> bool:
        """Whether it fits more than one app."""
        return self.application_identifier.endswith("*")

    @property
    def sha256(self) -> str:
        """The file's fingerprint in lower-case hexadecimal digits."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def is_for_mac(self) -> bool:
        """Whether it is for macOS apps."""
        return any(platform in {"OSX", "macOS"} for platform in self.platforms)

    @property
    def certificates_end(self) -> datetime | None:
        """When the first of its certificates ends; None when it lists none."""
        return min((certificate.not_after for certificate in self.certificates), default=None)

    @property
    def effective_end(self) -> datetime:
        """When apps may stop: the profile's end, or the end of its last certificate where that is sooner.

        Which of several certificates signed an app is not told here; a single one decides.
        """
        last = max((certificate.not_after for certificate in self.certificates), default=self.expires_at)
        return min(self.expires_at, last)

    def runs(self, bundle_identifier: str) -> bool:
        """Whether an app with this bundle identifier may run under it."""
        pattern = self.bundle_identifier
        if pattern.endswith("*"):
            return bundle_identifier.startswith(pattern[:-1])
        return bundle_identifier == pattern

    def lists_device(self, udid: str) -> bool:
        """Whether a device may run apps with it, by its UDID in any spelling."""
        if self.kind in {Kind.IN_HOUSE, Kind.DEVELOPER_ID}:
            return True
        return plain_udid(udid) in {plain_udid(listed) for listed in self.devices}


def plain_udid(udid: str) -> str:
    """A UDID for comparing: without case and dashes."""
    return udid.replace("-", "").strip().upper()


def read_provisioning_profile(data: bytes, *, roots: Roots = APPLE_ROOTS) -> ProvisioningProfile:
    """Verify and read a provisioning profile. Raises MobileprovisionError, whatever the bytes."""
    _refuse_other_files(data)
    signed, content = _open(data)
    try:
        values = loads_dict(content)
    except PlistError:
        raise MobileprovisionError("malformed", "Apple's signature is around something that is no profile.") from None
    if "PayloadContent" in values or "PayloadType" in values:
        raise MobileprovisionError(
            "mobileconfig", "This is a configuration profile (.mobileconfig): import it instead."
        )
    _check_signature(signed, content, roots=roots)
    return _read(values, data)


def _refuse_other_files(data: bytes) -> None:
    if not data:
        raise MobileprovisionError("empty", "The file is empty.")
    if len(data) > _MAX_BYTES:
        raise MobileprovisionError("too_large", "The file is far larger than any provisioning profile.")
    opening = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for beginnings, code, sentence in _OTHER_FILES:
        if opening.startswith(beginnings):
            raise MobileprovisionError(code, f"{sentence} A provisioning profile is needed (.mobileprovision).")


def _open(data: bytes) -> tuple[SignedData, bytes]:
    try:
        signed = read_signed_data(data)
    except SignatureError:
        raise MobileprovisionError(
            "not_signed", "The file is no provisioning profile: it is not a message that Apple signed."
        ) from None
    if not signed.content:
        raise MobileprovisionError("malformed", "The signed file has no content.")
    return signed, signed.content


def _check_signature(signed: SignedData, content: bytes, *, roots: Roots) -> None:
    try:
        signer = signed.verify(content).certificate
        moment = _signing_time(signed)
        others = [load_certificate(certificate) for certificate in signed.certificates]
    except SignatureError:
        raise MobileprovisionError(
            "broken_signature", "The signature does not fit the content: the file was changed or damaged."
        ) from None
    check_chain(signer, others, roots=roots, at=moment)


def _signing_time(signed: SignedData) -> datetime:
    """The moment of signing; SignatureError without one, since the chain is judged then."""
    value = signed.signer_info.attributes().get(_SIGNING_TIME)
    if value is None:
        raise SignatureError("The message does not say when it was signed.")
    return read_time(value)


def read_time(value: bytes) -> datetime:
    """A whole UTCTime or GeneralizedTime of DER as an aware datetime; SignatureError."""
    reader = der.Reader(value)
    is_short = reader.peek() == _UTC_TIME
    text = reader.value(_UTC_TIME if is_short else _GENERALIZED_TIME).decode("ascii", "replace")
    try:
        year = ""
        if is_short:
            # RFC 5280, section 4.1.2.5.1
            year = "19" if int(text[:2]) >= 50 else "20"
        return datetime.strptime(year + text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise SignatureError("The signing time cannot be read.") from None


def _read(values: Mapping[str, PlistValue], data: bytes) -> ProvisioningProfile:
    entitlements = values.get("Entitlements")
    entitlements = entitlements if isinstance(entitlements, dict) else {}
    prefixes, teams = _texts(values.get("ApplicationIdentifierPrefix")), _texts(values.get("TeamIdentifier"))
    platforms, devices = _texts(values.get("Platform")), _texts(values.get("ProvisionedDevices"))
    identifier = _text(
        entitlements.get("application-identifier") or entitlements.get("com.apple.application-identifier")
    )
    team = teams[0] if teams else _text(entitlements.get("com.apple.developer.team-identifier"))
    prefix = prefixes[0] if prefixes else identifier.partition(".")[0]
    uuid, name = _text(values.get("UUID")), _text(values.get("Name"))
    created, expires = _moment(values.get("CreationDate")), _moment(values.get("ExpirationDate"))
    missing = [
        label
        for label, value in (
            ("UUID", uuid), ("TeamIdentifier", team), ("application-identifier", identifier),
            ("CreationDate", created), ("ExpirationDate", expires),
        )
        if not value
    ]  # fmt: skip
    if missing or created is None or expires is None:
        raise MobileprovisionError("incomplete", f"The profile does not say its {', '.join(missing)}.")
    is_mac = any(platform in {"OSX", "macOS"} for platform in platforms)
    return ProvisioningProfile(
        uuid=uuid,
        name=name,
        team_identifier=team,
        team_name=_text(values.get("TeamName")),
        prefix=prefix,
        application_identifier=identifier,
        app_id_name=_text(values.get("AppIDName")),
        kind=_kind(values, entitlements, is_mac=is_mac),
        platforms=platforms or ("iOS",),
        created_at=created,
        expires_at=expires,
        devices=devices,
        certificates=_certificates(values.get("DeveloperCertificates")),
        entitlements=entitlements,
        has_der_form=isinstance(values.get("DER-Encoded-Profile"), bytes),
        is_xcode_managed=values.get("IsXcodeManaged") is True,
        is_free_team=values.get("LocalProvision") is True,
        data=data,
    )


def _kind(values: Mapping[str, PlistValue], entitlements: Mapping[str, PlistValue], *, is_mac: bool) -> Kind:
    if values.get("ProvisionsAllDevices") is True:
        return Kind.DEVELOPER_ID if is_mac else Kind.IN_HOUSE
    if "ProvisionedDevices" not in values:
        return Kind.APP_STORE
    debuggable = entitlements.get("get-task-allow") is True or is_mac
    return Kind.DEVELOPMENT if debuggable else Kind.AD_HOC


def _certificates(value: PlistValue | None) -> tuple[SigningCertificate, ...]:
    listed = value[:_MOST_CERTIFICATES] if isinstance(value, list) else []
    return tuple(_signing_certificate(item) for item in listed if isinstance(item, bytes))


def _signing_certificate(data: bytes) -> SigningCertificate:
    try:
        certificate = x509.load_der_x509_certificate(data)
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        common_name = str(names[0].value) if names else ""
        return SigningCertificate(data, common_name, f"{certificate.serial_number:X}", certificate.not_valid_after_utc)
    except UNREADABLE:
        raise MobileprovisionError("malformed", "One of the profile's certificates cannot be read.") from None


def _text(value: PlistValue | None) -> str:
    return value.strip() if isinstance(value, str) else ""


def _texts(value: PlistValue | None) -> tuple[str, ...]:
    return tuple(item.strip() for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _moment(value: PlistValue | None) -> datetime | None:
    """Dates of a plist are UTC without saying so."""
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else None
