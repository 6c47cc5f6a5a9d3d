"""What the fake App Store Connect refuses, by its own rules or because a script said so; Apple's words and codes.

`Faults` is the script: which of the coming requests fail, and how. Names of faults are the words of the tables below.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from simulator.errors import SimulatorError


class ApiError(SimulatorError):
    """An answer with Apple's `errors` array."""

    def __init__(
        self, status: int, code: str, detail: str, *, pointer: str = "", parameter: str = "", retry_after: str = ""
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.pointer, self.parameter, self.retry_after = pointer, parameter, retry_after

    def document(self) -> dict[str, Any]:
        """The body. The id is one for all: no test reads it as a secret."""
        error: dict[str, Any] = {
            "id": "9f2d1584-d967-4d2b-9a3b-a824afc95e3f",
            "status": str(self.status),
            "code": self.code,
            "title": "There is a problem with the request",
            "detail": self.detail,
        }
        if self.pointer:
            error["source"] = {"pointer": self.pointer}
        if self.parameter:
            error["source"] = {"parameter": self.parameter}
        return {"errors": [error]}


def duplicate_name(name: str) -> ApiError:
    detail = f"Multiple profiles found with the name '{name}'.  Please remove the duplicate profiles and try again."
    return ApiError(409, "ENTITY_ERROR", detail, pointer="/data/attributes/name")


def not_found(kind: str, identifier: str) -> ApiError:
    return ApiError(404, "NOT_FOUND", f"There is no resource of type '{kind}' with id '{identifier}'")


def no_app_id(identifier: str) -> ApiError:
    return ApiError(409, "ENTITY_ERROR", f"There is no App ID with ID '{identifier}' on this team.")


def bad_certificate(identifier: str) -> ApiError:
    detail = f"There is no current certificate with ID '{identifier}' of a fitting type on this team."
    pointer = "/data/relationships/certificates"
    return ApiError(409, "ENTITY_ERROR.RELATIONSHIP.INVALID", detail, pointer=pointer)


def unauthorized() -> ApiError:
    return ApiError(401, "NOT_AUTHORIZED", "Authentication credentials are missing or invalid.")


def broken_cursor(cursor: str) -> ApiError:
    return ApiError(400, "PARAMETER_ERROR.INVALID", f"'{cursor}' is not a valid cursor", parameter="cursor")


# Answers that come before anything is done.
REFUSALS: Final[Mapping[str, ApiError]] = {
    "unauthorized": unauthorized(),
    "agreement": ApiError(
        403,
        "FORBIDDEN.REQUIRED_AGREEMENTS_MISSING_OR_EXPIRED",
        "This request requires an in-effect agreement that has not been signed or has expired.",
    ),
    "membership": ApiError(
        403, "FORBIDDEN_ERROR", "Team ID: 'AB12CD34EF' is not associated with an active membership."
    ),
    "role": ApiError(403, "FORBIDDEN_ERROR", "This request is forbidden for security reasons"),
    "not_found": not_found("bundleIds", "B7Q2M4X9KD"),
    "path_error": ApiError(404, "PATH_ERROR", "The URL path is not valid"),
    "duplicate": duplicate_name("(scripted)"),
    "no_app_id": no_app_id("B7Q2M4X9KD"),
    "certificate_refused": bad_certificate("C5T8R1ZP3W"),
    "devices_refused": ApiError(
        409, "ENTITY_ERROR.RELATIONSHIP.NOT_ALLOWED", "No devices can be associated with this profile type."
    ),
    "unknown_attribute": ApiError(
        409, "ENTITY_ERROR.ATTRIBUTE.UNKNOWN", "The attribute 'templateName' is unknown.", pointer="/data/attributes"
    ),
    "capability": ApiError(
        409, "ENTITY_ERROR", "There were errors while generating the provisioning profile. (resultCode 8530)"
    ),
    "illegal_parameter": ApiError(
        400, "PARAMETER_ERROR.ILLEGAL", "A parameter has an invalid value", parameter="filter[platform]"
    ),
    "unprocessable": ApiError(422, "ENTITY_UNPROCESSABLE", "The request entity could not be processed."),
    "rate_limit": ApiError(429, "RATE_LIMIT_EXCEEDED", "The request rate limit has been reached."),
    "server_error": ApiError(500, "UNEXPECTED_ERROR", "An unexpected error occurred on the server side."),
    "unavailable": ApiError(503, "SERVICE_UNAVAILABLE", "The service is not available."),
}
# What a POST makes instead of what was asked for.
ALTERATIONS: Final = (
    "invalid", "dropped_entitlement", "other_certificate", "other_app_id", "renamed", "no_der_form", "short", "no_content",
)  # fmt: skip
# After a POST was carried out: its answer is lost.
LOST: Final = ("server_error_after", "drop_after")
# How an answer travels, or what comes instead of one.
TRANSPORT: Final = (
    "bad_gateway", "slow", "drop", "no_json", "no_object", "proxy_page", "redirect", "huge", "foreign_next",
    "endless", "broken_cursor", "foreign_name",
)  # fmt: skip
# With these nothing is carried out; with all others of TRANSPORT a POST is, and only its answer is spoiled.
UNDONE: Final = frozenset({"bad_gateway", "drop", "proxy_page", "redirect"})
NAMES: Final = frozenset({*REFUSALS, *ALTERATIONS, *LOST, *TRANSPORT})


@dataclass
class Fault:
    """One line of the script; `seconds` is for "slow", `retry_after` (seconds or a date) for "rate_limit"."""

    method: str
    path_prefix: str
    name: str
    times: int = 1
    seconds: float = 1.0
    retry_after: str = ""

    def meets(self, method: str, path: str, *, has_cursor: bool) -> bool:
        """Whether this request is one of those; a broken cursor needs a cursor."""
        return (
            self.times > 0
            and self.method in {"*", method}
            and path.startswith(self.path_prefix)
            and (has_cursor or self.name != "broken_cursor")
        )

    def refusal(self) -> ApiError | None:
        """Apple's answer that this fault is; None for the other sorts."""
        error = REFUSALS.get(self.name)
        if error is None or not self.retry_after:
            return error
        return ApiError(error.status, error.code, error.detail, retry_after=self.retry_after)


@dataclass
class Faults:
    """The script; the first line that meets a request is used up by it."""

    lines: list[Fault] = field(default_factory=list)

    def add(self, fault: Fault) -> None:
        """Append a line. SimulatorError when there is no such fault."""
        if fault.name not in NAMES:
            raise SimulatorError(f"there is no fault {fault.name!r}; there are {', '.join(sorted(NAMES))}")
        self.lines.append(fault)

    def take(self, method: str, path: str, *, has_cursor: bool) -> Fault | None:
        """The fault of this request, `path` without /v1."""
        for fault in self.lines:
            if fault.meets(method, path, has_cursor=has_cursor):
                fault.times -= 1
                return fault
        return None
