"""What a device keeps of a configuration profile or a provisioning profile, and how it reads one.

Reading is `protocol`'s work; here is only what the device does with the result: which payloads it holds, what it says
in ProfileList, which SCEP identities it has to fetch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from protocol import cms, mobileconfig, plist
from protocol.errors import MobileconfigError, ProtocolError
from protocol.mobileprovision.reading import plain_udid

MDM: Final = "com.apple.mdm"
SCEP: Final = "com.apple.security.scep"
CERTIFICATES: Final = frozenset({"com.apple.security.root", "com.apple.security.pkcs1"})
# A certificate and its key.
Identity: TypeAlias = tuple[x509.Certificate, RSAPrivateKey]
_LISTED = ("PayloadType", "PayloadVersion", "PayloadIdentifier", "PayloadUUID")
_LISTED_IF_THERE = ("PayloadDisplayName", "PayloadDescription", "PayloadOrganization")


@dataclass(frozen=True, slots=True)
class InstalledProfile:
    """A configuration profile on the device. `managed`: it came through MDM; `signers`: DER, leaf first.

    `encrypted`: it came encrypted to the device; `content` is what was inside.
    """

    content: dict[str, Any]
    managed: bool = True
    signers: tuple[bytes, ...] = ()
    encrypted: bool = False

    @property
    def identifier(self) -> str:
        return str(self.content["PayloadIdentifier"])

    @property
    def uuid(self) -> str:
        return str(self.content["PayloadUUID"])

    @property
    def payloads(self) -> list[dict[str, Any]]:
        return [payload for payload in self.content.get("PayloadContent", []) if isinstance(payload, dict)]

    def payloads_of(self, payload_type: str) -> list[dict[str, Any]]:
        return [payload for payload in self.payloads if payload.get("PayloadType") == payload_type]

    def identity_payload(self) -> dict[str, Any]:
        """The SCEP payload that the MDM payload names. KeyError when there is none."""
        named = {payload.get("IdentityCertificateUUID") for payload in self.payloads_of(MDM)}
        found = [payload for payload in self.payloads_of(SCEP) if payload.get("PayloadUUID") in named]
        if not found:
            raise KeyError("IdentityCertificateUUID")
        return found[0]

    def listing(self, *, mac: bool) -> dict[str, Any]:
        """The profile's entry in ProfileList: never the payloads' settings (mdm-protocol 7.4)."""
        entry = {key: self.content[key] for key in _LISTED[1:] if key in self.content}
        entry |= {key: self.content[key] for key in _LISTED_IF_THERE if key in self.content}
        entry["PayloadRemovalDisallowed"] = self.content.get("PayloadRemovalDisallowed") is True
        entry["HasRemovalPasscode"] = False
        entry["IsEncrypted"] = self.encrypted
        if not mac:
            entry["IsManaged"] = self.managed
        if self.signers:
            entry["SignerCertificates"] = list(self.signers)
        if self.encrypted:
            return entry
        keys = _LISTED + _LISTED_IF_THERE
        entry["PayloadContent"] = [{key: p[key] for key in keys if key in p} for p in self.payloads]
        return entry


@dataclass(frozen=True, slots=True)
class ProvisioningProfile:
    """A provisioning profile on the device. `expires_at` is aware UTC; `managed`: it came through MDM, not in an app.

    `devices`: the UDIDs it is for; None: any device. `is_free`: of a free personal team.
    """

    uuid: str
    name: str
    expires_at: datetime
    raw: bytes
    managed: bool = True
    devices: tuple[str, ...] | None = None
    is_free: bool = False

    def listing(self) -> dict[str, Any]:
        """Its entry in ProvisioningProfileList, the UUID as it is written in the file."""
        return {"Name": self.name, "UUID": self.uuid, "ExpiryDate": self.expires_at.replace(tzinfo=None)}

    def is_for(self, udid: str) -> bool:
        """Whether it names the device; compared without case and dashes."""
        return self.devices is None or plain_udid(udid) in map(plain_udid, self.devices)


@dataclass(frozen=True, slots=True)
class ScepPayload:
    """The settings of one SCEP payload (mdm-protocol 4.1). `ca_fingerprint`: SHA-1, MD5 or SHA-256 of the CA, or empty."""

    url: str
    name: str
    challenge: str | None
    common_name: str
    key_size: int
    ca_fingerprint: bytes


def read_profile(data: bytes, *, managed: bool = True, identity: Identity | None = None) -> InstalledProfile:
    """A `.mobileconfig`, signed or not, encrypted to `identity` or not.

    MobileconfigError or SignatureError when the device could not install it.
    """
    try:
        profile, signer = mobileconfig.unwrap_mobileconfig(data)
    except MobileconfigError as error:
        if error.code != "encrypted" or identity is None:
            raise
        return _read_encrypted(data, identity, managed=managed)
    return InstalledProfile(dict(profile.content), managed=managed, signers=_signers(signer))


def _read_encrypted(data: bytes, identity: Identity, *, managed: bool) -> InstalledProfile:
    """The payloads are an array of their own in EncryptedPayloadContent (Apple's TopLevel.yaml)."""
    content, signer = cms.verify_attached(data) if cms.looks_like_cms(data) else (data, None)
    outside = plist.loads_dict(content)
    envelope = outside.pop("EncryptedPayloadContent", None)
    if not isinstance(envelope, bytes) or outside.pop("IsEncrypted", None) is not True or "PayloadContent" in outside:
        raise MobileconfigError("malformed", "the profile is not encrypted as Apple's schema has it")
    certificate, private_key = identity
    try:
        inside = plist.loads(cms.decrypt(envelope, certificate, private_key=private_key)[0])
    except ProtocolError as error:
        raise MobileconfigError("encrypted", f"the payloads cannot be decrypted: {error}") from None
    profile, _ = mobileconfig.unwrap_mobileconfig(plist.dumps({**outside, "PayloadContent": inside}))
    return InstalledProfile(dict(profile.content), managed=managed, signers=_signers(signer), encrypted=True)


def _signers(signer: cms.Signer | None) -> tuple[bytes, ...]:
    return () if signer is None else (signer.certificate_der,)


def read_provisioning_profile(data: bytes, *, managed: bool = True) -> ProvisioningProfile:
    """CMS around a property list (mdm-protocol 9). ProtocolError when it is none."""
    content, _signer = cms.verify_attached(data)
    values = plist.loads_dict(content)
    uuid, name, expires_at = values.get("UUID"), values.get("Name"), values.get("ExpirationDate")
    if not isinstance(uuid, str) or not isinstance(expires_at, datetime):
        raise ProtocolError("the provisioning profile has no UUID or no ExpirationDate")
    listed = values.get("ProvisionedDevices")
    devices = tuple(str(udid) for udid in listed) if isinstance(listed, list) else None
    return ProvisioningProfile(
        uuid,
        str(name or ""),
        expires_at.replace(tzinfo=UTC),
        data,
        managed=managed,
        devices=None if values.get("ProvisionsAllDevices") is True else devices,
        is_free=values.get("LocalProvision") is True,
    )


def read_scep(payload: Mapping[str, Any], *, default_name: str) -> ScepPayload:
    """The settings of a SCEP payload; KeyError or ValueError when it has no URL. Apple's default key size is 1024,
    which no current library makes, so that 2048 is the least.
    """
    settings = payload["PayloadContent"]
    if not isinstance(settings, dict) or not isinstance(settings.get("URL"), str):
        raise ValueError("the SCEP payload has no URL")
    challenge, fingerprint = settings.get("Challenge"), settings.get("CAFingerprint")
    size = settings.get("Keysize")
    return ScepPayload(
        url=settings["URL"],
        name=str(settings.get("Name") or ""),
        challenge=challenge if isinstance(challenge, str) else None,
        common_name=(_common_name(settings.get("Subject")) or default_name)[:64],
        key_size=max(size, 2048) if isinstance(size, int) else 2048,
        ca_fingerprint=fingerprint if isinstance(fingerprint, bytes) else b"",
    )


def _common_name(subject: object) -> str | None:
    """The last CN of Apple's array of arrays of arrays: `[[["O", "Example"]], [["CN", "x"]]]`."""
    found = None
    for rdn in subject if isinstance(subject, list) else []:
        for pair in rdn if isinstance(rdn, list) else []:
            if isinstance(pair, list) and len(pair) == 2 and pair[0] == "CN":
                found = str(pair[1])
    return found
