"""Reading a .mobileconfig and judging whether it holds together.

Top-level and payload keys after Apple's schema, mdm/profiles/TopLevel.yaml and
CommonPayloadKeys.yaml. Errors are sentences for the person who picked the file.
What a payload's own keys mean is not judged here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from protocol.cms import Signer, looks_like_cms, verify_attached
from protocol.errors import MobileconfigError, PlistError, PlistTooDeepError, SignatureError
from protocol.plist import PlistValue, loads

__all__ = ["Mobileconfig", "parse_mobileconfig", "unwrap_mobileconfig"]

# Apple's own payloads stay below 10 levels; what is deeper was made to hurt.
_MAX_DEPTH = 64
# A profile travels in a command and through APNs-woken phones: fonts are the largest honest content.
_MAX_BYTES = 32 * 1024 * 1024
_REQUIRED_TEXT = ("PayloadType", "PayloadIdentifier", "PayloadUUID")
# What a file that is no plist begins with, tried in order.
_OTHER_FILES = (
    (
        (b"<!doctype html", b"<html", b"<head", b"<body"),
        "html",
        "The file is a web page, perhaps a login page that was saved instead of the profile.",
    ),
    ((b"{", b"["), "json", "The file is JSON. A configuration profile is a property list (.mobileconfig)."),
    ((b"pk\x03\x04",), "zip", "The file is a ZIP archive. Unpack it and choose the .mobileconfig file inside."),
)


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
    if looks_like_cms(data):
        signer = unwrap_mobileconfig(data)[1]
        raise MobileconfigError(
            "signed",
            f"The file is signed{_by(signer)}. Changing it would break that signature: choose the unsigned original.",
        )
    return _read(data)


def unwrap_mobileconfig(data: bytes) -> tuple[Mobileconfig, Signer | None]:
    """Read a configuration profile, signed or not; the Signer is verified but not trusted.

    Raises MobileconfigError, with the code "malformed" when the signature does not fit the content.
    """
    if not looks_like_cms(data):
        return _read(data), None
    _check_size(data)
    try:
        content, signer = verify_attached(data)
    except SignatureError:
        raise MobileconfigError(*_unreadable_cms(data)) from None
    return _read(content), signer


def _read(data: bytes) -> Mobileconfig:
    _check_size(data)
    if not data.strip():
        raise MobileconfigError("empty", "The file is empty.")
    return _judge(_load(data))


def _load(data: bytes) -> PlistValue:
    opening = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:32].lower()
    for signs, code, sentence in _OTHER_FILES:
        if opening.startswith(signs):
            raise MobileconfigError(code, sentence)
    try:
        return loads(data, max_depth=_MAX_DEPTH)
    except PlistTooDeepError:
        raise MobileconfigError("too_deep", f"The file is nested deeper than {_MAX_DEPTH} levels.") from None
    except PlistError:
        sentence = "The file is no property list, or only a part of one. A configuration profile is a complete XML or binary property list."
        raise MobileconfigError("not_a_plist", sentence) from None


def _judge(content: PlistValue) -> Mobileconfig:
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
    _require_keys(content, "the profile")
    payloads = content.get("PayloadContent")
    if not isinstance(payloads, list) or not payloads:
        raise _malformed("it holds no payloads (PayloadContent)")
    return Mobileconfig(content, _judge_payloads(payloads))


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


def _check_size(data: bytes) -> None:
    if len(data) > _MAX_BYTES:
        raise MobileconfigError("too_large", f"The file is larger than {_MAX_BYTES // 1024 // 1024} MiB.")


def _unreadable_cms(data: bytes) -> tuple[str, str]:
    # id-envelopedData (RFC 5652, section 6.1) in the first bytes of ContentInfo
    if bytes.fromhex("2a864886f70d010703") in data[:32]:
        return "encrypted", "The file is encrypted. Choose the file it was made from."
    return "malformed", "The file is signed, but its signature is damaged or does not fit its content."


def _by(signer: Signer | None) -> str:
    """Who signed, as the certificate says; nothing when its subject cannot be read or is empty."""
    try:
        subject = signer.certificate.subject.rfc4514_string() if signer else ""
    except (ValueError, SignatureError):
        return ""
    return f" by {subject[:200]}" if subject else ""
