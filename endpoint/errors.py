"""What the device endpoint refuses, and with which HTTP status (mdm-protocol 2.4).

Refusal                     an answer that is no success, with a reason for the log
 ├─ NotAuthenticated        no proof of an identity of ours: 400, never 401, which would unenroll the device
 │   └─ CertificateHeaderError  the certificate header came from where it must not, twice, or unreadable
 ├─ BadRequest              an authenticated message that cannot be believed or read: 400
 ├─ NotFound                nothing of that name here: 404
 ├─ MethodNotAllowed        405
 ├─ BodyTooLarge            413
 └─ Busy                    come back later: 503
"""


class Refusal(Exception):  # noqa: N818 (says what happened in the words of the trade)
    """str() is a reason for the log: device strings in it are shortened and quoted, secrets are not in it."""

    status = 400


class NotAuthenticated(Refusal):
    """Nothing in the request was believed."""


class CertificateHeaderError(NotAuthenticated):
    """The certificate header is not to be believed."""


class BadRequest(Refusal):
    """Nothing was changed."""


class NotFound(Refusal):
    status = 404


class MethodNotAllowed(Refusal):
    """`allowed` goes into the Allow header."""

    status = 405

    def __init__(self, allowed: str) -> None:
        super().__init__(f"only {allowed} is served here")
        self.allowed = allowed


class BodyTooLarge(Refusal):
    status = 413


class Busy(Refusal):
    status = 503
