"""A developer team at the fake Apple: its keys, App IDs, certificates, devices and provisioning profiles.

Holds Apple's rules of making a profile (names are unique even against expired ones, dates are clamped to the
certificate, rights come from the App ID's present capabilities). No HTTP, no clock, no files.
"""

import secrets
import string
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from simulator import appstoreconnect_faults as faults
from simulator.appstoreconnect_faults import ApiError
from simulator.provisioning_authority import Issued, ProvisioningAuthority

_IOS: Final = ("iOS", "xrOS", "visionOS")
_MAC: Final = ("OSX",)
# By profileType: the kind of file, and its platforms.
KINDS: Final = {
    "IOS_APP_DEVELOPMENT": ("development", _IOS),
    "IOS_APP_STORE": ("app_store", _IOS),
    "IOS_APP_ADHOC": ("ad_hoc", _IOS),
    "IOS_APP_INHOUSE": ("in_house", _IOS),
    "TVOS_APP_DEVELOPMENT": ("development", ("tvOS",)),
    "TVOS_APP_ADHOC": ("ad_hoc", ("tvOS",)),
    "TVOS_APP_INHOUSE": ("in_house", ("tvOS",)),
    "MAC_APP_DEVELOPMENT": ("development", _MAC),
    "MAC_APP_STORE": ("app_store", _MAC),
    "MAC_APP_DIRECT": ("developer_id", _MAC),
}
_LONGEST_NAME: Final = 50
_NAME_LETTERS: Final = frozenset(f"{string.ascii_letters}{string.digits} .-_()")


@dataclass
class Key:
    """A team key, as it would come in AuthKey_….p8."""

    key_id: str
    issuer_id: str
    private_key: ec.EllipticCurvePrivateKey = field(repr=False)
    is_revoked: bool = False

    @property
    def pem(self) -> bytes:
        """The .p8 file."""
        return self.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass
class BundleId:
    id: str
    identifier: str
    name: str
    seed_id: str
    # What its capabilities put into a profile; change it, and the next profile is another.
    entitlements: dict[str, Any] = field(default_factory=dict)
    platform: str = "UNIVERSAL"


@dataclass
class Certificate:
    id: str
    issued: Issued
    name: str
    type: str
    is_revoked: bool = False


@dataclass
class Device:
    id: str
    udid: str
    name: str
    status: str = "ENABLED"
    platform: str = "IOS"


@dataclass
class Profile:
    id: str
    name: str
    type: str
    uuid: str
    content: bytes | None = field(repr=False)
    created_at: datetime
    expires_at: datetime
    bundle_id_id: str
    certificate_ids: tuple[str, ...]
    device_ids: tuple[str, ...] = ()
    state: str = "ACTIVE"


@dataclass
class Team:
    """One team at one program ("enterprise" or "developer"); `lifetime` is how long its new profiles are valid."""

    identifier: str
    program: str
    authority: ProvisioningAuthority = field(repr=False)
    lifetime: timedelta = timedelta(days=365)
    keys: dict[str, Key] = field(default_factory=dict)
    bundle_ids: dict[str, BundleId] = field(default_factory=dict)
    certificates: dict[str, Certificate] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)
    profiles: dict[str, Profile] = field(default_factory=dict)

    def add_key(self) -> Key:
        """A new team key."""
        key = Key(new_id(), str(uuid.uuid4()), ec.generate_private_key(ec.SECP256R1()))
        self.keys[key.key_id] = key
        return key

    def add_bundle_id(
        self,
        identifier: str,
        *,
        name: str = "",
        seed_id: str = "",
        entitlements: dict[str, Any] | None = None,
    ) -> BundleId:
        """A new App ID; `entitlements` are what its capabilities grant."""
        made = BundleId(new_id(), identifier, name or identifier, seed_id or self.identifier, entitlements or {})
        self.bundle_ids[made.id] = made
        return made

    def add_certificate(
        self, name: str = "Example Ltd", *, now: datetime, days: int = 3 * 365, issued: Issued | None = None
    ) -> Certificate:
        """A distribution certificate; `issued` brings a ready one, for making an RSA key takes long."""
        ready = issued or self.authority.developer_certificate(name, team=self.identifier, now=now, days=days)
        kind = "IOS_DISTRIBUTION" if self.program == "enterprise" else "DISTRIBUTION"
        made = Certificate(new_id(), ready, name, kind)
        self.certificates[made.id] = made
        return made

    def add_device(self, udid: str, *, name: str = "A device") -> Device:
        """A registered device."""
        made = Device(new_id(), udid, name)
        self.devices[made.id] = made
        return made

    def revoke_certificate(self, identifier: str) -> None:
        """Revoke, and with it every profile that names the certificate turns INVALID and loses its content."""
        self.certificates[identifier].is_revoked = True
        for profile in self.profiles.values():
            if identifier in profile.certificate_ids:
                profile.state, profile.content = "INVALID", None

    def profiles_named(self, name: str) -> list[Profile]:
        """Everything under a name, expired or not."""
        return [profile for profile in self.profiles.values() if profile.name == name]

    def create_profile(
        self,
        name: str,
        profile_type: str = "IOS_APP_INHOUSE",
        *,
        bundle_id: str,
        certificates: tuple[str, ...],
        devices: tuple[str, ...] = (),
        now: datetime,
        alteration: str = "",
    ) -> Profile:
        """Make a profile by Apple's rules (ids are resource ids). ApiError when they forbid it.

        `alteration` is one of appstoreconnect_faults.ALTERATIONS: what is made is not what was asked for.
        """
        self._check_name(name)
        self._check_type(profile_type, devices)
        if bundle_id not in self.bundle_ids:
            raise faults.no_app_id(bundle_id)
        self._check_certificates(certificates, now)
        for device in devices:
            if device not in self.devices or self.devices[device].status != "ENABLED":
                raise _invalid(
                    "RELATIONSHIP.INVALID", f"There is no device with ID '{device}'.", "relationships/devices"
                )
        if self.profiles_named(name):
            raise faults.duplicate_name(name)
        made = self._make(
            name, profile_type, bundle_id=bundle_id, certificates=certificates, devices=devices, now=now,
            alteration=alteration,
        )  # fmt: skip
        self.profiles[made.id] = made
        return made

    def take_name(self, name: str, *, now: datetime) -> Profile:
        """Somebody else makes a profile of this name, of another App ID and another certificate, before we do."""
        foreign = self.add_bundle_id(f"com.example.foreign.{new_id().lower()}")
        certificate = self.add_certificate("Somebody else", now=now)
        return self.create_profile(name, bundle_id=foreign.id, certificates=(certificate.id,), now=now)

    def _make(
        self,
        name: str,
        profile_type: str,
        *,
        bundle_id: str,
        certificates: tuple[str, ...],
        devices: tuple[str, ...],
        now: datetime,
        alteration: str,
    ) -> Profile:
        app_id = self.bundle_ids[bundle_id]
        kind, platforms = KINDS[profile_type]
        if alteration == "other_certificate":
            certificates = (self.add_certificate("Another of the team", now=now).id,)
        rights = dict(app_id.entitlements)
        if alteration == "dropped_entitlement" and rights:
            rights.pop(sorted(rights)[0])
        signers = [self.certificates[identifier].issued for identifier in certificates]
        created = now.replace(microsecond=0)
        expires = self._expiry(kind, signers, created)
        if alteration == "short":
            expires = (created + (expires - created) / 100).replace(microsecond=0)
        identifier = str(uuid.uuid4())
        content = self.authority.profile(
            name=f"{name} 2" if alteration == "renamed" else name,
            team=self.identifier,
            bundle_identifier="com.example.other" if alteration == "other_app_id" else app_id.identifier,
            certificates=signers,
            now=created,
            kind=kind,
            days=(expires - created) / timedelta(days=1),
            devices=[self.devices[device].udid for device in devices],
            entitlements=rights,
            uuid=identifier,
            prefix=app_id.seed_id,
            platforms=platforms,
            der_form=alteration != "no_der_form",
        )
        return Profile(
            id=new_id(), name=name, type=profile_type, uuid=identifier,
            content=None if alteration in {"invalid", "no_content"} else content,
            created_at=created, expires_at=expires, bundle_id_id=bundle_id, certificate_ids=certificates,
            device_ids=devices, state="INVALID" if alteration == "invalid" else "ACTIVE",
        )  # fmt: skip

    def _expiry(self, kind: str, signers: list[Issued], created: datetime) -> datetime:
        """A development profile outlives its certificate, all others end with the last of theirs (measured)."""
        full = created + self.lifetime
        if kind == "development":
            return full
        return min(full, max(signer.certificate.not_valid_after_utc for signer in signers))

    def _check_name(self, name: str) -> None:
        if len(name) > _LONGEST_NAME:
            raise faults.REFUSALS["server_error"]
        if not name or not _NAME_LETTERS.issuperset(name):
            raise _invalid("ATTRIBUTE.INVALID", "The name holds characters that are not allowed.", "attributes/name")

    def _check_type(self, profile_type: str, devices: tuple[str, ...]) -> None:
        kind, _platforms = KINDS.get(profile_type, ("", ()))
        wrong_program = kind == "in_house" if self.program == "developer" else kind == "app_store"
        if not kind or wrong_program:
            text = f"'{profile_type}' is not a valid value for the attribute 'profileType'."
            raise _invalid("ATTRIBUTE.INVALID", text, "attributes/profileType")
        needs_devices = kind in {"ad_hoc", "development"}
        if devices and not needs_devices:
            raise faults.REFUSALS["devices_refused"]
        if needs_devices and not devices:
            raise _invalid("RELATIONSHIP.REQUIRED", "You must provide devices.", "relationships/devices")

    def _check_certificates(self, certificates: tuple[str, ...], now: datetime) -> None:
        if not certificates:
            raise _invalid("RELATIONSHIP.REQUIRED", "You must provide certificates.", "relationships/certificates")
        for identifier in certificates:
            found = self.certificates.get(identifier)
            if found is None or found.is_revoked or found.issued.certificate.not_valid_after_utc <= now:
                raise faults.bad_certificate(identifier)


def new_id() -> str:
    """Ten letters and digits, as Apple's resources have."""
    return "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(10))


def _invalid(code: str, detail: str, pointer: str) -> ApiError:
    return ApiError(409, f"ENTITY_ERROR.{code}", detail, pointer=f"/data/{pointer}")
