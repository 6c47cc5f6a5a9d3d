"""The errors of the protocol package; hostile bytes raise these and no others.

ProtocolError
 ├─ PlistError         bytes that are no property list, or too big
 │   └─ PlistTooDeepError   one nested deeper than the reader allows
 ├─ MessageError       a property list that is no MDM message we know
 ├─ SignatureError     CMS that cannot be read or does not verify
 │   └─ AlgorithmError  CMS made with an algorithm that we do not accept
 ├─ ScepError          a SCEP message refused (RFC 8894); carries its fail_info
 ├─ MobileconfigError  a file that is no configuration profile we can send
 ├─ SchemaError        a release of Apple's schema that cannot be read
 └─ MobileprovisionError  a file that is no provisioning profile Apple made
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

__all__ = [
    "AlgorithmError",
    "FailInfo",
    "MessageError",
    "MobileconfigError",
    "MobileprovisionError",
    "PlistError",
    "PlistTooDeepError",
    "ProtocolError",
    "ScepError",
    "SchemaError",
    "SignatureError",
]


class FailInfo(IntEnum):
    """Why a SCEP request failed (RFC 8894, section 3.2.1.4.5)."""

    BAD_ALG = 0
    BAD_MESSAGE_CHECK = 1
    BAD_REQUEST = 2
    BAD_TIME = 3
    BAD_CERT_ID = 4


class ProtocolError(Exception):
    """Root of every error this package raises on purpose."""


class PlistError(ProtocolError):
    """The bytes are no property list, or one nested too deep or too large."""


class PlistTooDeepError(PlistError):
    """A property list nested deeper than `max_depth`; only people make these."""


class MessageError(ProtocolError):
    """A property list that lacks a required key or holds one of a wrong type."""


class SignatureError(ProtocolError):
    """A CMS structure that cannot be read or whose signature does not verify."""


class AlgorithmError(SignatureError):
    """A CMS structure made with a digest, cipher or key that we do not accept."""


class ScepError(ProtocolError):
    """A SCEP message that is refused.

    `fail_info` goes into the reply, `text` says why (never a secret), and
    `request_head` is what could be read of the request's envelope (an object
    with the transaction id and sender nonce), or None when nothing could.
    """

    def __init__(self, fail_info: FailInfo, text: str = "", *, request_head: Any | None = None) -> None:
        super().__init__(text or fail_info.name)
        self.fail_info = fail_info
        self.text = text
        self.request_head = request_head


class MobileconfigError(ProtocolError):
    """A file that is no configuration profile; str() is a sentence for IT staff.

    `code` is a stable word for tests and translations: "empty", "signed",
    "bad_signature", "encrypted", "not_a_plist", "variable", "too_deep",
    "too_large", "profile_service", "bare_payload", "no_profile", "malformed",
    or what the file is instead: "html", "json", "ade_profile", "declaration",
    "zip", "ipa", "mime", "text", "bad_base64", "pkcs12", "certificate",
    "private_key", "provisioning_profile".
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class SchemaError(ProtocolError):
    """Files that are no release of Apple's schema, or one this software cannot read; a sentence names the file."""


class MobileprovisionError(ProtocolError):
    """A file that is no provisioning profile, or none that Apple signed; `code` names the case."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
