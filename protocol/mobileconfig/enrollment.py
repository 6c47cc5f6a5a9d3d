"""The configuration profile that enrolls a device: trust roots, SCEP identity, MDM payload.

Keys after Apple's schema, mdm/profiles/com.apple.mdm.yaml and
com.apple.security.scep.yaml. Identifiers and inner UUIDs are the same at every
build, for a device renews only by a profile that replaces its old one.
"""

from __future__ import annotations

import hashlib
import uuid as uuids
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from protocol.errors import MobileconfigError
from protocol.mobileconfig.building import build_mobileconfig, content_uuid
from protocol.plist import PlistValue

__all__ = [
    "ALL_ACCESS_RIGHTS",
    "SERVER_CAPABILITIES",
    "EnrollmentFacts",
    "EnrollmentProfile",
    "Subject",
    "read_enrollment",
]

# An X.501 name as the SCEP payload has it: RDNs of attributes of [type, value].
Subject: TypeAlias = Sequence[Sequence[Sequence[str]]]

ALL_ACCESS_RIGHTS = 8191
# Per-user connections cannot be added to an enrolled Mac later, so they are there from the first day.
SERVER_CAPABILITIES = ("com.apple.mdm.per-user-connections", "com.apple.mdm.bootstraptoken", "com.apple.mdm.token")
_NAMESPACE = uuids.UUID("0d6f4a4e-90a5-5e0c-8f0b-6f6a3f0f6d52")
_SIGN_AND_ENCRYPT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollmentProfile:
    """What an enrollment profile says.

    `root_certificates` are DER; `ca_fingerprint` is the SHA-256 or SHA-1 of the SCEP CA's DER, or None.
    `topic`, the URLs and `server_capabilities` can never change for an enrolled device.
    """

    identifier: str
    organization: str
    topic: str
    server_url: str
    check_in_url: str
    scep_url: str
    scep_name: str
    challenge: str = field(repr=False)
    subject: Subject
    ca_fingerprint: bytes | None = None
    root_certificates: tuple[bytes, ...] = field(default=(), repr=False)
    key_size: int = 2048
    access_rights: int = ALL_ACCESS_RIGHTS
    sign_message: bool = True
    check_out_when_removed: bool = True
    server_capabilities: tuple[str, ...] = SERVER_CAPABILITIES
    display_name: str = "Device management"
    description: str = "Lets your organization manage this device."

    def build(self) -> dict[str, PlistValue]:
        """The whole profile; its top-level PayloadUUID follows from the content, challenge included."""
        content = build_mobileconfig(
            [*self._roots(), self._scep(), self._mdm()],
            identifier=self.identifier,
            uuid="",
            display_name=self.display_name,
            description=self.description,
            organization=self.organization,
            scope="System",
        )
        content["PayloadUUID"] = content_uuid(self.identifier, content)
        return content

    def _roots(self) -> list[dict[str, PlistValue]]:
        roots = []
        for der in self.root_certificates:
            name = f"root.{hashlib.sha256(der).hexdigest()[:16]}"
            roots.append({**self._payload("com.apple.security.root", name, title="Certificate"), "PayloadContent": der})
        return roots

    def _scep(self) -> dict[str, PlistValue]:
        settings: dict[str, PlistValue] = {
            "URL": self.scep_url,
            "Name": self.scep_name,
            "Subject": [[[str(text) for text in pair] for pair in rdn] for rdn in self.subject],
            "Challenge": self.challenge,
            "Keysize": self.key_size,
            "Key Type": "RSA",
            "Key Usage": _SIGN_AND_ENCRYPT,
            "KeyIsExtractable": False,
        }
        if self.ca_fingerprint is not None:
            settings["CAFingerprint"] = self.ca_fingerprint
        return {**self._payload("com.apple.security.scep", "scep", title="Device identity"), "PayloadContent": settings}

    def _mdm(self) -> dict[str, PlistValue]:
        return {
            **self._payload("com.apple.mdm", "mdm", title="Management"),
            "IdentityCertificateUUID": self._uuid("scep"),
            "Topic": self.topic,
            "ServerURL": self.server_url,
            "CheckInURL": self.check_in_url,
            "AccessRights": self.access_rights,
            "SignMessage": self.sign_message,
            "CheckOutWhenRemoved": self.check_out_when_removed,
            "ServerCapabilities": list(self.server_capabilities),
        }

    def _payload(self, payload_type: str, name: str, *, title: str) -> dict[str, PlistValue]:
        return {
            "PayloadType": payload_type,
            "PayloadVersion": 1,
            "PayloadIdentifier": f"{self.identifier}.{name}",
            "PayloadUUID": self._uuid(name),
            "PayloadDisplayName": title,
        }

    def _uuid(self, name: str) -> str:
        return str(uuids.uuid5(_NAMESPACE, f"{self.identifier}.{name}")).upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollmentFacts:
    """What a device needs from an enrollment profile to enroll."""

    identifier: str
    server_url: str
    check_in_url: str
    topic: str
    scep_url: str
    scep_name: str
    challenge: str | None = field(repr=False)
    subject: list[list[list[str]]]
    key_size: int
    sign_message: bool
    check_out_when_removed: bool


def read_enrollment(content: Mapping[str, PlistValue]) -> EnrollmentFacts:
    """Read the parsed top level of an enrollment profile as a device does.

    Raises MobileconfigError with the code "malformed" when it has not exactly one MDM payload, not the
    SCEP payload that the MDM payload names, or keys of a wrong type.
    """
    mdm, scep = _enrollment_payloads(content)
    settings = scep.get("PayloadContent")
    if not isinstance(settings, dict):
        raise _malformed("the SCEP payload has no PayloadContent")
    server_url = _text(mdm, "ServerURL")
    return EnrollmentFacts(
        identifier=_text(content, "PayloadIdentifier"),
        server_url=server_url,
        check_in_url=_text(mdm, "CheckInURL") if "CheckInURL" in mdm else server_url,
        topic=_text(mdm, "Topic"),
        scep_url=_text(settings, "URL"),
        scep_name=_text(settings, "Name") if "Name" in settings else "",
        challenge=_text(settings, "Challenge") if "Challenge" in settings else None,
        subject=_subject(settings.get("Subject", [])),
        # Apple's default; any real profile says more.
        key_size=_key_size(settings.get("Keysize", 1024)),
        sign_message=mdm.get("SignMessage") is True,
        check_out_when_removed=mdm.get("CheckOutWhenRemoved") is True,
    )


def _enrollment_payloads(content: Mapping[str, PlistValue]) -> tuple[dict[str, PlistValue], dict[str, PlistValue]]:
    payloads = content.get("PayloadContent")
    found = [payload for payload in payloads if isinstance(payload, dict)] if isinstance(payloads, list) else []
    mdm = [payload for payload in found if payload.get("PayloadType") == "com.apple.mdm"]
    if len(mdm) != 1:
        raise _malformed("it has not exactly one MDM payload")
    identity = _text(mdm[0], "IdentityCertificateUUID")
    for payload in found:
        if payload.get("PayloadType") == "com.apple.security.scep" and payload.get("PayloadUUID") == identity:
            return mdm[0], payload
    raise _malformed("the SCEP payload that the MDM payload names is missing")


def _text(payload: Mapping[str, PlistValue], key: str) -> str:
    value = payload.get(key)
    if not isinstance(value, str) or not value:
        raise _malformed(f"{key} is missing or no text")
    return value


def _subject(value: PlistValue) -> list[list[list[str]]]:
    if not isinstance(value, list):
        raise _malformed("Subject is no array")
    return [[_attribute(pair) for pair in rdn] if isinstance(rdn, list) else [] for rdn in value]


def _attribute(pair: PlistValue) -> list[str]:
    if not isinstance(pair, list) or len(pair) != 2:
        raise _malformed("Subject holds something other than pairs")
    return [str(text) for text in pair]


def _key_size(value: PlistValue) -> int:
    if not isinstance(value, int) or value not in {1024, 2048, 4096}:
        raise _malformed("Keysize is none of 1024, 2048 and 4096")
    return value


def _malformed(reason: str) -> MobileconfigError:
    return MobileconfigError("malformed", f"The file is no enrollment profile: {reason}.")
