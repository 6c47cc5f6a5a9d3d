"""Reading the files that people bring: kinder than a device, and with a word on everything that was mended.

The signature is reported apart from the content: who signed, whether that certificate has run out, and whether it
leads to a root that the caller trusts. A signature that does not fit stops everything; an old or unknown signer does
not. Nothing of a payload's own keys is judged or changed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from cryptography import x509

from protocol.cms import Signer
from protocol.cms.algorithms import UNREADABLE, load_certificate
from protocol.errors import MobileconfigError, SignatureError
from protocol.mobileconfig.building import content_uuid
from protocol.mobileconfig.diagnosis import duplicate_keys
from protocol.mobileconfig.parsing import Mobileconfig, judge, load, refuse_other_plists
from protocol.mobileconfig.unwrapping import Form, Unwrapped, unwrap
from protocol.mobileprovision import Roots
from protocol.mobileprovision.trust import fingerprint, issued
from protocol.plist import PlistValue

__all__ = ["ReadFile", "SignerReport", "read_file"]

Content: TypeAlias = dict[str, PlistValue]

_LONGEST_CHAIN = 8
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class SignerReport:
    """Whose certificate made the signature, which fits. Names as the certificate has them; moments are aware UTC."""

    subject: str
    issuer: str
    not_before: datetime
    not_after: datetime
    self_signed: bool
    digest: str
    certificate: x509.Certificate = field(repr=False)
    others: tuple[x509.Certificate, ...] = field(default=(), repr=False)

    def is_expired(self, now: datetime) -> bool:
        """Whether the certificate is not valid at `now` (devices install such a profile all the same)."""
        return not self.not_before <= now <= self.not_after

    def leads_to(self, roots: Roots, *, now: datetime | None = None) -> bool:
        """Whether a chain from the signer ends at one of the roots; with `now` every link must be valid then."""
        known, current = [*self.others, *roots.certificates], self.certificate
        for _ in range(_LONGEST_CHAIN):
            if now is not None and not current.not_valid_before_utc <= now <= current.not_valid_after_utc:
                return False
            if fingerprint(current) in roots.fingerprints:
                return True
            issuer = next((candidate for candidate in known if issued(candidate, current)), None)
            if issuer is None or issuer == current:
                return False
            current = issuer
        return False


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A configuration profile that somebody brought, and what there is to say about the file.

    `original` are its bytes as they came. `mended` are sentences about what the profile in `mobileconfig` has
    otherwise than the file; `warnings` about what the file does not say clearly (keys that come twice).
    """

    mobileconfig: Mobileconfig
    form: Form
    signer: SignerReport | None
    original: bytes = field(repr=False)
    mended: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def is_deliverable_as_it_is(self) -> bool:
        """Whether a device takes the very bytes: signed CMS (DER or BER), nothing mended."""
        return self.signer is not None and self.form is Form.CMS and not self.mended


def read_file(data: bytes, *, accept_bare: bool = False) -> ReadFile:
    """Read a configuration profile in any form: XML, binary, PEM, Base64, signed.

    `accept_bare`: a payload without a profile around it (code "bare_payload" otherwise) gets one. Raises
    MobileconfigError and nothing else, whatever the bytes are.
    """
    unwrapped = unwrap(data)
    content = load(unwrapped.plist)
    mended: list[str] = []
    if accept_bare:
        content = _with_envelope(content, mended)
    whole = _mend(refuse_other_plists(_mend_type(content, mended)), mended)
    twice = duplicate_keys(unwrapped.plist) if unwrapped.plist.startswith(b"<") else []
    return ReadFile(
        judge(whole),
        unwrapped.form,
        signer=_report(unwrapped),
        original=data,
        mended=tuple(mended),
        warnings=tuple(f"{path} comes twice; its last value counts." for path in twice),
    )


def _with_envelope(content: PlistValue, mended: list[str]) -> PlistValue:
    """A profile around what is a payload, or a list of payloads; anything else as it is."""
    payloads: list[PlistValue] = content if isinstance(content, list) else [content]
    types = [payload.get("PayloadType") if isinstance(payload, dict) else None for payload in payloads]
    if not types or not all(
        isinstance(name, str) and name not in {"Configuration", "Profile Service"} for name in types
    ):
        return content
    mended.append("The payload got a profile around it.")
    return {"PayloadType": "Configuration", "PayloadVersion": 1, "PayloadContent": payloads}


def _mend_type(content: PlistValue, mended: list[str]) -> PlistValue:
    if isinstance(content, list) and any(isinstance(item, dict) and "PayloadType" in item for item in content):
        raise MobileconfigError(
            "bare_payload", "The file is a list of payloads. They must stand inside a configuration profile."
        )
    if not isinstance(content, dict):
        return content
    name = content.get("PayloadType")
    if isinstance(name, str) and name != "Configuration" and name.strip().casefold() == "configuration":
        mended.append("The profile's PayloadType was written otherwise than Configuration.")
        return {**content, "PayloadType": "Configuration"}
    if isinstance(name, str) or "PayloadContent" not in content:
        return content
    mended.append("The profile had no PayloadType.")
    return {**content, "PayloadType": "Configuration"}


def _mend(content: Content, mended: list[str]) -> Content:
    payloads = content.get("PayloadContent")
    if isinstance(payloads, dict):
        raise MobileconfigError(
            "malformed",
            "The file is no complete configuration profile: its PayloadContent is a dictionary, and must be a list of "
            "payloads.",
        )
    whole = _named(content, "the profile", parent="mdmportal.import", mended=mended)
    if isinstance(payloads, list):
        parent = str(whole["PayloadIdentifier"])
        named = [
            _named(item, f"payload {number}", parent=parent, mended=mended) if isinstance(item, dict) else item
            for number, item in enumerate(payloads, start=1)
        ]
        whole["PayloadContent"] = _told_apart(named, mended)
    return whole


def _named(content: Mapping[str, PlistValue], where: str, *, parent: str, mended: list[str]) -> Content:
    """With the keys that every payload must have. Made of the content, so that the same file brings the same names."""
    named = dict(content)
    lacking = [key for key in ("PayloadUUID", "PayloadIdentifier") if not _has_text(content, key)]
    if lacking:
        uuid = content_uuid(where, content)
        if "PayloadUUID" in lacking:
            named["PayloadUUID"] = uuid
        if "PayloadIdentifier" in lacking:
            named["PayloadIdentifier"] = f"{parent}.{uuid}"
    mended += [f"{_capital(where)} had no {key} and got one." for key in lacking]
    if named.get("PayloadVersion") != 1 or isinstance(named["PayloadVersion"], bool):
        named["PayloadVersion"] = 1
        mended.append(f"{_capital(where)} had no PayloadVersion 1.")
    return named


def _told_apart(payloads: Sequence[PlistValue], mended: list[str]) -> list[PlistValue]:
    """Payloads of which no two share a name: devices refuse that (MCProfileErrorDomain 1007 and 1008)."""
    seen: dict[tuple[str, str], int] = {}
    told: list[PlistValue] = []
    for number, payload in enumerate(payloads, start=1):
        told.append(_own_names(payload, number, seen=seen, mended=mended) if isinstance(payload, dict) else payload)
    return told


def _own_names(payload: Content, number: int, *, seen: dict[tuple[str, str], int], mended: list[str]) -> Content:
    own = dict(payload)
    for key in ("PayloadUUID", "PayloadIdentifier"):
        name = str(own[key])
        if (key, name) in seen:
            mended.append(f"Payload {number} shared its {key} with another and got one of its own.")
            own[key] = _another(key, name, seen)
        seen[key, str(own[key])] = 1
    return own


def _another(key: str, name: str, seen: dict[tuple[str, str], int]) -> str:
    """A name made of one that is taken; the count is kept, so that a thousand equal ones take no million steps."""
    while True:
        seen[key, name] += 1
        candidate = _numbered(key, name, seen[key, name])
        if (key, candidate) not in seen:
            return candidate


def _numbered(key: str, name: str, number: int) -> str:
    return content_uuid(name, {"number": number}) if key == "PayloadUUID" else f"{name}.{number}"


def _has_text(content: Mapping[str, PlistValue], key: str) -> bool:
    value = content.get(key)
    return isinstance(value, str) and bool(value.strip())


def _capital(where: str) -> str:
    return where[:1].upper() + where[1:]


def _report(unwrapped: Unwrapped) -> SignerReport | None:
    signer, signed = unwrapped.signer, unwrapped.signed
    if signer is None or signed is None:
        return None
    try:
        return _read_signer(signer, signed.certificates)
    except (*UNREADABLE, SignatureError):
        raise MobileconfigError(
            "bad_signature", "The file is signed, but the certificate that signed it cannot be read."
        ) from None


def _read_signer(signer: Signer, certificates: Iterable[bytes]) -> SignerReport:
    certificate = signer.certificate
    return SignerReport(
        subject=_name(certificate.subject),
        issuer=_name(certificate.issuer),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        self_signed=certificate.subject == certificate.issuer,
        digest=signer.digest,
        certificate=certificate,
        others=tuple(_readable(certificates)),
    )


def _readable(certificates: Iterable[bytes]) -> Iterable[x509.Certificate]:
    for data in certificates:
        try:
            yield load_certificate(data)
        except SignatureError:
            continue


def _name(name: x509.Name) -> str:
    return name.rfc4514_string()[:_LONGEST_NAME] or "(no name)"
