"""A configuration profile that holds together: the strict reading, as a device would do it.

Top-level and payload keys after Apple's schema, mdm/profiles/TopLevel.yaml and CommonPayloadKeys.yaml. Errors are
sentences for the person who picked the file. What a payload's own keys mean is not judged here; files that people
bring are read more kindly by `reading`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from protocol.cms import Signer
from protocol.errors import MobileconfigError, PlistError, PlistTooDeepError, SignatureError
from protocol.mobileconfig.diagnosis import explain
from protocol.mobileconfig.unwrapping import NOT_A_PLIST, unwrap
from protocol.plist import PlistValue, loads

__all__ = [
    "MAX_DEPTH",
    "Mobileconfig",
    "judge",
    "load",
    "parse_mobileconfig",
    "refuse_other_plists",
    "unwrap_mobileconfig",
]

# Apple's own payloads stay below 10 levels; what is deeper was made to hurt.
MAX_DEPTH = 64
_REQUIRED_TEXT = ("PayloadType", "PayloadIdentifier", "PayloadUUID")


@dataclass(frozen=True, slots=True)
class Mobileconfig:
    """A configuration profile that holds together: `content` is its top level, `payloads` what it delivers."""

    content: dict[str, PlistValue] = field(repr=False)
    payloads: tuple[dict[str, PlistValue], ...] = field(repr=False)

    @property
    def identifier(self) -> str:
        """The top-level PayloadIdentifier: an installed profile with the same one is replaced."""
        return str(self.content["PayloadIdentifier"])

    @property
    def uuid(self) -> str:
        """The top-level PayloadUUID, by which a device's ProfileList tells versions apart."""
        return str(self.content["PayloadUUID"])

    @property
    def display_name(self) -> str:
        """The name people see; empty when the file gives none."""
        return self._text("PayloadDisplayName")

    @property
    def description(self) -> str:
        """What the author says about it; empty when the file says nothing."""
        return self._text("PayloadDescription")

    @property
    def organization(self) -> str:
        """Who made it; empty when the file does not say."""
        return self._text("PayloadOrganization")

    @property
    def payload_types(self) -> tuple[str, ...]:
        """The PayloadType of each payload, in order."""
        return tuple(str(payload["PayloadType"]) for payload in self.payloads)

    def _text(self, key: str) -> str:
        value = self.content.get(key)
        return value if isinstance(value, str) else ""


def parse_mobileconfig(data: bytes) -> Mobileconfig:
    """Read an unsigned configuration profile that the portal can edit and sign itself.

    Raises MobileconfigError; a signed file has the code "signed" and the sentence names who signed it.
    """
    mobileconfig, signer = unwrap_mobileconfig(data)
    if signer is not None:
        raise MobileconfigError(
            "signed",
            f"The file is signed{_by(signer)}. Changing it would break that signature: choose the unsigned original.",
        )
    return mobileconfig


def unwrap_mobileconfig(data: bytes) -> tuple[Mobileconfig, Signer | None]:
    """Read a configuration profile, signed or not; the Signer is verified but not trusted.

    Raises MobileconfigError, with the code "bad_signature" when the signature does not fit the content.
    """
    unwrapped = unwrap(data)
    return judge(load(unwrapped.plist)), unwrapped.signer


def load(plist: bytes) -> PlistValue:
    """Read the property list of a file. Raises MobileconfigError that says on which line of XML it is broken."""
    try:
        return loads(plist, max_depth=MAX_DEPTH)
    except PlistTooDeepError:
        raise MobileconfigError("too_deep", f"The file is nested deeper than {MAX_DEPTH} levels.") from None
    except PlistError:
        code, why = (explain(plist) if plist.startswith(b"<") else None) or ("not_a_plist", "")
        raise MobileconfigError(code, f"{NOT_A_PLIST} {why}".strip()) from None


def judge(content: PlistValue) -> Mobileconfig:
    """The profile that a property list holds. Raises MobileconfigError for what a device would refuse."""
    content = refuse_other_plists(content)
    _require_keys(content, "the profile")
    payloads = content.get("PayloadContent")
    if not isinstance(payloads, list) or not payloads:
        raise _malformed("it holds no payloads (PayloadContent)")
    return Mobileconfig(content, _judge_payloads(payloads))


def refuse_other_plists(content: PlistValue) -> dict[str, PlistValue]:
    """The top level, when it is that of a profile with readable payloads. Raises MobileconfigError with what it is else."""
    if not isinstance(content, dict):
        raise _malformed("its top level is no dictionary")
    payload_type = content.get("PayloadType")
    if payload_type == "Profile Service":
        raise MobileconfigError(
            "profile_service",
            "The file starts an over-the-air enrollment (Profile Service); it delivers no settings itself.",
        )
    if isinstance(payload_type, str) and payload_type != "Configuration":
        raise MobileconfigError(
            "bare_payload",
            f"The file is a single payload ({payload_type[:100]}). It must stand inside a configuration profile.",
        )
    if "EncryptedPayloadContent" in content or content.get("IsEncrypted") is True:
        raise MobileconfigError(
            "encrypted", "The profile is encrypted for one device. Choose the file it was made from."
        )
    if payload_type is None:
        _refuse_nameless(content)
    return content


def _refuse_nameless(content: Mapping[str, PlistValue]) -> None:
    if {"Entitlements", "ExpirationDate", "TeamIdentifier"} <= content.keys():
        raise MobileconfigError(
            "provisioning_profile",
            "The file is a provisioning profile (.mobileprovision): it lets apps start, and is no configuration profile.",
        )
    if not any(key.startswith("Payload") for key in content):
        raise MobileconfigError(
            "no_profile",
            "The file is a property list, but no configuration profile: it has no PayloadType and no PayloadContent.",
        )


def _judge_payloads(payloads: Sequence[PlistValue]) -> tuple[dict[str, PlistValue], ...]:
    good: list[dict[str, PlistValue]] = []
    for number, payload in enumerate(payloads, start=1):
        if not isinstance(payload, dict):
            raise _malformed(f"payload {number} is no dictionary")
        _require_keys(payload, f"payload {number}")
        good.append(payload)
    # Devices refuse both: MCProfileErrorDomain 1007 and 1008.
    for key in ("PayloadUUID", "PayloadIdentifier"):
        (value, count), *_ = Counter(str(payload[key]) for payload in good).most_common(1)
        if count > 1:
            raise _malformed(f"{count} payloads share the {key} {value[:100]}")
    return tuple(good)


def _require_keys(payload: Mapping[str, PlistValue], where: str) -> None:
    for key in _REQUIRED_TEXT:
        value = payload.get(key)
        if not isinstance(value, str) or not value.strip():
            raise _malformed(f"{where} has no {key}")
    if payload.get("PayloadVersion") != 1:
        raise _malformed(f"{where} has no PayloadVersion 1")


def _malformed(reason: str) -> MobileconfigError:
    return MobileconfigError("malformed", f"The file is no complete configuration profile: {reason}.")


def _by(signer: Signer | None) -> str:
    """Who signed, as the certificate says; nothing when its subject cannot be read or is empty."""
    try:
        subject = signer.certificate.subject.rfc4514_string() if signer else ""
    except (ValueError, SignatureError):
        return ""
    return f" by {subject[:200]}" if subject else ""
