"""From the bytes of a file to the property list inside: XML, binary, PEM, Base64 or CMS (RFC 5652, 7468).

Also the words for everything else that people choose by mistake. A signature is verified, its signer never trusted
here. Whether the property list is a configuration profile is judged by `parsing` and `reading`.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, field
from enum import StrEnum

from protocol.binary_plist import MAGIC
from protocol.cms import SignedData, Signer, looks_like_cms, read_attached, read_signed_data
from protocol.cms.algorithms import ENVELOPED_DATA, load_certificate
from protocol.errors import AlgorithmError, MobileconfigError, SignatureError

__all__ = ["MAX_BYTES", "NOT_A_PLIST", "Form", "Unwrapped", "check_size", "refuse_other_files", "unwrap"]

# A profile travels in a command and through APNs-woken phones: fonts are the largest honest content.
MAX_BYTES = 32 * 1024 * 1024
_SPACE = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_BASE64 = re.compile(rb"[A-Za-z0-9+/=\s]+")
_DECLARATION = re.compile(r"<\?xml[^>]{0,200}\?>")
_CMS_LABELS = frozenset({"CMS", "PKCS7", "PKCS #7 SIGNED DATA"})
# What other files begin with, in lower case, tried in order.
_OTHER_FILES = (
    (
        (b"<!doctype html", b"<html", b"<head", b"<body"),
        "html",
        "The file is a web page, perhaps a login page that was saved instead of the profile.",
    ),
    ((b"pk\x03\x04", b"pk\x05\x06"), "zip", "The file is a ZIP archive. Unpack it and choose the .mobileconfig file inside."),
    (
        (b"mime-version:", b"content-type:"),
        "mime",
        "The file is a signed mail (S/MIME). Choose the signed profile itself (DER or PEM).",
    ),
)  # fmt: skip
_ENROLLMENT_KEYS = (b'"skip_setup_items"', b'"await_device_configured"', b'"is_mdm_removable"', b'"profile_name"')
_CERTIFICATE = (
    "certificate",
    "The file is a certificate. Add a certificate payload to a bundle and put the file there.",
)
_DAMAGED = (
    "The file is signed, but its signature is damaged or does not fit its content: somebody or something changed the file"
    " after it was signed. Ask its author for it again."
)
NOT_A_PLIST = (
    "The file is no property list, or only a part of one. A configuration profile is a complete XML or binary property"
    " list."
)


class Form(StrEnum):
    """How the file holds its property list, the outermost first: a PEM file may be signed as well."""

    XML = "xml"
    BINARY = "binary"
    PEM = "pem"
    BASE64 = "base64"
    CMS = "cms"


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """The property list of a file; `signed` and `signer` only where it has a signature, which then fits."""

    plist: bytes = field(repr=False)
    form: Form
    signed: SignedData | None = field(default=None, repr=False)
    signer: Signer | None = None


def check_size(data: bytes) -> None:
    """Raise MobileconfigError "too_large" or "empty"."""
    if len(data) > MAX_BYTES:
        raise MobileconfigError("too_large", f"The file is larger than {MAX_BYTES // 1024 // 1024} MiB.")
    if not data.strip(_SPACE + b"\0"):
        raise MobileconfigError("empty", "The file is empty.")


def unwrap(data: bytes) -> Unwrapped:
    """The property list inside a file, in UTF-8 where it is XML, and its verified signature.

    Raises MobileconfigError for anything that is no property list in any of these forms; the property list itself is
    not read yet.
    """
    check_size(data)
    text = _as_utf8(data)
    if text.startswith(b"-----BEGIN "):
        return _within(_from_pem(text), Form.PEM)
    if not data.startswith(b"\x30") and not _is_plist(text):
        decoded = _from_base64(text)
        if decoded is not None:
            return _within(decoded, Form.BASE64)
    return _within(data, None)


def _within(data: bytes, outer: Form | None) -> Unwrapped:
    """What stands in a file whose text form is taken off."""
    if looks_like_cms(data):
        return _from_cms(data, outer or Form.CMS)
    plist = _as_utf8(data)
    refuse_other_files(plist)
    return Unwrapped(plist, outer or (Form.BINARY if plist.startswith(MAGIC) else Form.XML))


def _from_cms(data: bytes, form: Form) -> Unwrapped:
    try:
        signed = read_attached(data)
        signer = signed.verify(signed.content or b"")
    except SignatureError as error:
        raise MobileconfigError(*_unreadable_cms(data, error)) from None
    plist = _as_utf8(signed.content or b"")
    if not plist:
        raise MobileconfigError("empty", "The file is signed, but what was signed is empty.")
    refuse_other_files(plist)
    return Unwrapped(plist, form, signed, signer)


def _unreadable_cms(data: bytes, error: SignatureError) -> tuple[str, str]:
    if ENVELOPED_DATA in data[:32]:
        return "encrypted", "The file is encrypted. Choose the file it was made from."
    if isinstance(error, AlgorithmError):
        return "bad_signature", f"The file is signed in a way that is not accepted. {error}"
    return _without_content(data) or (
        "bad_signature",
        _DAMAGED,
    )


def _without_content(data: bytes) -> tuple[str, str] | None:
    """Words for CMS that is well-formed and has nothing inside; None for any other."""
    try:
        signed = read_signed_data(data)
    except SignatureError:
        return None
    if signed.content is not None:
        return None
    if signed.certificates and not signed.signers:
        return _CERTIFICATE
    return "bad_signature", "The file is a signature alone (detached). Choose the file that it was made for."


def refuse_other_files(data: bytes) -> None:
    """Raise MobileconfigError with a word and a sentence for bytes that cannot be a property list, empty ones included."""
    check_size(data)
    opening = data[:4096].lower()
    for signs, code, sentence in _OTHER_FILES:
        if opening.startswith(signs):
            if code == "zip" and b"payload/" in opening:
                raise MobileconfigError(
                    "ipa", "The file is an app (.ipa). Apps are not part of a configuration profile."
                )
            raise MobileconfigError(code, sentence)
    if opening.startswith((b"{", b"[")):
        raise MobileconfigError(*_json(data))
    if opening.startswith(b"\x30"):
        raise MobileconfigError(*_der(data))
    if not _is_plist(data):
        raise MobileconfigError(*_neither(data))


def _json(data: bytes) -> tuple[str, str]:
    opening = data[:65536]
    if any(key in opening for key in _ENROLLMENT_KEYS):
        return "ade_profile", (
            "The file is a profile for Automated Device Enrollment (JSON): it says how a device is set up, and is no "
            "configuration profile."
        )
    if b'"com.apple.configuration.' in opening or b'"com.apple.activation.' in opening:
        return "declaration", "The file is a declaration (JSON), not a configuration profile."
    return "json", "The file is JSON. A configuration profile is a property list (.mobileconfig)."


def _der(data: bytes) -> tuple[str, str]:
    # PFX of RFC 7292: SEQUENCE { INTEGER 3, ...
    if b"\x02\x01\x03" in data[2:9]:
        return "pkcs12", (
            "The file is a certificate with its private key (PKCS#12). Add a PKCS#12 payload to a bundle and put the "
            "file there."
        )
    try:
        load_certificate(data)
    except SignatureError:
        return "not_a_plist", NOT_A_PLIST
    return _CERTIFICATE


def _neither(data: bytes) -> tuple[str, str]:
    """Words for what begins like nothing we know: text, or some binary format."""
    opening = data[:4000]
    try:
        opening.decode("utf-8")
    except UnicodeDecodeError as error:
        # The cut may go through a letter.
        if len(data) <= 4000 or error.start < 3990:
            return "not_a_plist", NOT_A_PLIST
    if b"\0" in opening:
        return "not_a_plist", NOT_A_PLIST
    return "text", "The file is plain text. A configuration profile is a complete XML or binary property list."


def _from_pem(text: bytes) -> bytes:
    head, _, rest = text.removeprefix(b"-----BEGIN ").partition(b"-----")
    label = head[:60].decode("ascii", "replace")
    if "PRIVATE KEY" in label:
        raise MobileconfigError(
            "private_key", "The file is a private key. Keep it secret; no profile needs it like this."
        )
    if "CERTIFICATE" in label and "REQUEST" not in label:
        raise MobileconfigError(*_CERTIFICATE)
    if label not in _CMS_LABELS:
        raise MobileconfigError(
            "not_a_plist", "The file is PEM, but what it holds is no signed profile (CMS or PKCS7)."
        )
    body, end, _ = rest.partition(b"-----END ")
    decoded = _from_base64(body) if end else None
    if decoded is None or not looks_like_cms(decoded):
        raise MobileconfigError("bad_base64", "The file is a signed profile in PEM form, but is damaged or cut short.")
    return decoded


def _from_base64(text: bytes) -> bytes | None:
    """The bytes that a text of nothing but Base64 stands for; None for any other text."""
    if len(text) < 16 or not _BASE64.fullmatch(text):
        return None
    try:
        decoded = binascii.a2b_base64(b"".join(text.split()), strict_mode=True)
    except (binascii.Error, ValueError):
        decoded = b""
    inner = _as_utf8(decoded)
    if inner.startswith((b"\x30", b"PK\x03\x04", b"<")) or _is_plist(inner):
        return decoded
    # A word of a few letters is Base64 by chance, a long text with the first bytes of a profile is not.
    if text.startswith((b"PD94", b"MII", b"MIA", b"YnBsaXN0", b"PHBsaXN0")):
        raise MobileconfigError("bad_base64", "The file is Base64, but is damaged or cut short.")
    return None


def _is_plist(data: bytes) -> bool:
    return data.startswith((MAGIC, b"<"))


def _as_utf8(data: bytes) -> bytes:
    """The bytes without byte order mark and leading white space, UTF-16 as UTF-8; binary data stays what it is."""
    encoding = _utf16(data)
    if encoding is None:
        stripped = data.lstrip(_SPACE)
        return stripped.removeprefix(_BOM).lstrip(_SPACE) if stripped.startswith(_BOM) else stripped
    try:
        text = data.decode(encoding).lstrip("\ufeff \t\r\n")
    except UnicodeDecodeError:
        return data
    # Its declaration names the encoding that it no longer has.
    return _DECLARATION.sub("", text, count=1).lstrip().encode("utf-8", "replace")


def _utf16(data: bytes) -> str | None:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if data.startswith(b"<\0"):
        return "utf-16-le"
    return "utf-16-be" if data.startswith(b"\0<") else None
