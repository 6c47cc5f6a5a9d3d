"""What can go wrong with Apple's two APIs: one error type, whose kind says what to do next.

Kinds follow the causes behind Apple's answers, not their numbers: a 409 may be a taken name, a revoked certificate
or a mistake of ours. Apple's `code` is hierarchical and matched by its beginning ("Parsing the Error Response Code").
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

_LONGEST_DETAIL: Final = 300
# Nothing that looks like a token, a key or a device is repeated, whoever wrote it.
_SECRETS: Final = re.compile(
    r"eyJ[\w-]+\.[\w-]*\.?[\w-]*|-----BEGIN[^-]*-----|[A-Za-z0-9+/]{60,}={0,2}"
    r"|\b[0-9A-Fa-f]{40}\b|\b[0-9A-Fa-f]{8}-[0-9A-Fa-f]{16}\b"
)


class ErrorKind(StrEnum):
    """Whose turn it is: somebody's at Apple's portal, ours, or nobody's but time's."""

    KEY = "key"
    AGREEMENT = "agreement"
    MEMBERSHIP = "membership"
    ROLE = "role"
    NOT_FOUND = "not_found"
    NAME_TAKEN = "name_taken"
    APP_ID = "app_id"
    CERTIFICATE = "certificate"
    CAPABILITY = "capability"
    RATE_LIMIT = "rate_limit"
    UNAVAILABLE = "unavailable"
    CLOCK = "clock"
    BUG = "bug"


# These pass by waiting, by looking again or by another name; all others need somebody.
_TRANSIENT: Final = frozenset({ErrorKind.NOT_FOUND, ErrorKind.NAME_TAKEN, ErrorKind.RATE_LIMIT, ErrorKind.UNAVAILABLE})

_SENTENCES: Final[Mapping[ErrorKind, str]] = {
    ErrorKind.KEY: "Apple does not accept this API key: it was revoked, it belongs to the other program, or its key ID "
    "or issuer ID is wrong. Make a new team key at Apple and add it here.",
    ErrorKind.AGREEMENT: "An agreement at Apple is missing or has expired: the Account Holder must sign in at "
    "developer.apple.com and accept it.",
    ErrorKind.MEMBERSHIP: "The team's membership at Apple is not active: the Account Holder must renew it. Apps of this "
    "team stop launching while it is not.",
    ErrorKind.ROLE: "This API key may not manage provisioning profiles: make a team key with the role Admin "
    "(Developer at the Enterprise Program), for individual keys never may.",
    ErrorKind.NOT_FOUND: "Apple does not have this any more: it was deleted in the meantime.",
    ErrorKind.NAME_TAKEN: "Another profile of the team has this name already, perhaps an expired one that Apple hides.",
    ErrorKind.APP_ID: "The App ID does not exist on this team: it was deleted or moved to another team.",
    ErrorKind.CERTIFICATE: "Apple does not accept the certificate for this profile: it has expired, was revoked, or is "
    "of another type. The app must be signed again with a valid one.",
    ErrorKind.CAPABILITY: "Apple could not make a profile from the App ID's capabilities: somebody must look at the "
    "App ID at developer.apple.com.",
    ErrorKind.RATE_LIMIT: "Apple's limit of requests is used up for now.",
    ErrorKind.UNAVAILABLE: "Apple gave no usable answer.",
    ErrorKind.CLOCK: "This server's clock is wrong, and Apple refuses what it signs: set the clock (NTP).",
    ErrorKind.BUG: "Apple refused the request as malformed, which is a fault of this portal.",
}

_CONFLICTS: Final = (
    ("profiles found with the name", ErrorKind.NAME_TAKEN),
    ("there is no app id", ErrorKind.APP_ID),
    ("generating the provisioning profile", ErrorKind.CAPABILITY),
    ("8530", ErrorKind.CAPABILITY),
)


class AppStoreConnectError(Exception):
    """Any failure of Apple's APIs; str() is a sentence for IT staff without secrets.

    `permanent` says that the same request will fail until somebody does something; AGREEMENT is now and then spurious,
    so try it a few times slowly. `retry_after` are the seconds that Apple asked for. `apple_id` and `apple_code` are
    of Apple's first error, for its support. After UNAVAILABLE nobody knows whether a POST was carried out: look.
    """

    def __init__(
        self,
        kind: ErrorKind,
        sentence: str = "",
        *,
        status: int | None = None,
        apple_code: str = "",
        apple_id: str = "",
        retry_after: float | None = None,
        is_broken_cursor: bool = False,
    ) -> None:
        self.sentence = sentence or _SENTENCES[kind]
        super().__init__(self.sentence)
        self.kind = kind
        self.permanent = kind not in _TRANSIENT
        self.status = status
        self.apple_code = apple_code
        self.apple_id = apple_id
        self.retry_after = retry_after
        self.is_broken_cursor = is_broken_cursor

    def __repr__(self) -> str:
        return f"AppStoreConnectError({self.kind.value}, status={self.status}, apple_code={self.apple_code!r})"


@dataclass(frozen=True, slots=True)
class AppleError:
    """The first entry of Apple's `errors` array."""

    code: str = ""
    id: str = ""
    detail: str = ""
    # What Apple points at: `source.pointer` of a body, `source.parameter` of a query.
    source: str = ""

    @property
    def is_broken_cursor(self) -> bool:
        """Apple does not know its own cursor any more (seen by bitrise, 2020-2025)."""
        return self.code.startswith("PARAMETER_ERROR") and "cursor" in f"{self.source} {self.detail}".lower()


def first_error(document: object) -> AppleError | None:
    """The first error of an answer's JSON; None when that is no error document of Apple's."""
    errors = document.get("errors") if isinstance(document, dict) else None
    if not isinstance(errors, list) or not errors or not isinstance(errors[0], dict):
        return None
    first: dict[str, Any] = errors[0]
    source = first.get("source")
    source = source if isinstance(source, dict) else {}
    return AppleError(
        code=clean(first.get("code"), 100),
        id=clean(first.get("id"), 64),
        detail=clean(first.get("detail") or first.get("title")),
        source=clean(source.get("pointer") or source.get("parameter"), 200),
    )


def refusal(status: int, apple: AppleError | None, *, retry_after: float | None = None) -> AppStoreConnectError:
    """The error for an answer whose status is no success. `apple` is None when no JSON of Apple's came with it."""
    kind = _kind(status, apple)
    sentence = _SENTENCES[kind]
    if apple is None:
        sentence = f"{sentence} (HTTP {status})"
    elif apple.detail:
        sentence = f"{sentence} Apple's words: {apple.detail}"
    return AppStoreConnectError(
        kind,
        sentence,
        status=status,
        apple_code=apple.code if apple else "",
        apple_id=apple.id if apple else "",
        retry_after=retry_after,
        is_broken_cursor=apple is not None and apple.is_broken_cursor,
    )


def clean(value: object, longest: int = _LONGEST_DETAIL) -> str:
    """Foreign text for logs and pages: one printable line without anything secret; "" for what is no text."""
    if not isinstance(value, str):
        return ""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in value[: longest * 4]).split())
    return _SECRETS.sub("[…]", line)[:longest]


def _kind(status: int, apple: AppleError | None) -> ErrorKind:
    if status == 401:
        return ErrorKind.KEY
    if status == 429:
        return ErrorKind.RATE_LIMIT
    # Without Apple's JSON it is a proxy's or a load balancer's answer.
    if apple is None or status < 400 or status >= 500 or status in {407, 408}:
        return ErrorKind.UNAVAILABLE
    if status == 403:
        return _forbidden(apple)
    if status == 404:
        return ErrorKind.BUG if apple.code.startswith("PATH_ERROR") else ErrorKind.NOT_FOUND
    return _conflict(apple) if status == 409 else ErrorKind.BUG


def _forbidden(apple: AppleError) -> ErrorKind:
    if apple.code.startswith("FORBIDDEN.REQUIRED_AGREEMENTS"):
        return ErrorKind.AGREEMENT
    return ErrorKind.MEMBERSHIP if "membership" in apple.detail.lower() else ErrorKind.ROLE


def _conflict(apple: AppleError) -> ErrorKind:
    """A 409 may mean anything: its words tell, and for a relationship what Apple points at."""
    detail = apple.detail.lower()
    for words, kind in _CONFLICTS:
        if words in detail:
            return kind
    if apple.code.startswith("ENTITY_ERROR.RELATIONSHIP.NOT_ALLOWED"):
        return ErrorKind.BUG
    about = f"{apple.source} {detail}".lower()
    if "certificate" in about:
        return ErrorKind.CERTIFICATE
    is_app_id = apple.code.startswith("ENTITY_ERROR.RELATIONSHIP") and "bundleid" in about
    return ErrorKind.APP_ID if is_app_id else ErrorKind.BUG
