"""MDM push notifications as values: the request to make of APNs and the meaning of its answer.

After Apple's "Sending notification requests to APNs" and "Handling notification
responses from APNs". No connection here, and no retry: `classify` only says
which of the five ways an answer points.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

__all__ = ["PushAnswer", "PushNotification", "PushOutcome", "classify"]

_TOKEN_DEAD = {(410, "Unregistered"), (410, "ExpiredToken"), (400, "BadDeviceToken")}
_TOPIC_REFUSED = {(400, "BadTopic"), (400, "MissingTopic"), (400, "TopicDisallowed"), (400, "DeviceTokenNotForTopic")}
_LONGEST_REASON = 100


class PushOutcome(StrEnum):
    """What to do about an answer of APNs."""

    ACCEPTED = "accepted"  # taken, which is not delivered
    TOKEN_DEAD = "token_dead"  # push no more until the next TokenUpdate; a later token is not meant
    TOPIC_REFUSED = "topic_refused"  # the push certificate's trouble: stop the topic, blame no device
    RETRY = "retry"
    BUG = "bug"  # we sent something wrong: log it, retrying cannot help


@dataclass(frozen=True, slots=True, kw_only=True)
class PushNotification:
    """One wake-up of one channel. `expiration` is in unix seconds; APNs keeps the push until then."""

    token: bytes = field(repr=False)
    push_magic: str = field(repr=False)
    topic: str
    expiration: int

    def path(self) -> str:
        """The path of the POST."""
        return f"/3/device/{self.token.hex()}"

    def headers(self) -> dict[str, str]:
        """APNs headers, in lower case as HTTP/2 has them."""
        return {
            "apns-push-type": "mdm",
            "apns-topic": self.topic,
            "apns-priority": "10",
            "apns-expiration": str(self.expiration),
        }

    def body(self) -> bytes:
        """The JSON body: the PushMagic and nothing else, for an `aps` key would break it."""
        return json.dumps({"mdm": self.push_magic}, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class PushAnswer:
    """An answer of APNs. `timestamp` (aware, UTC) is since when a token is dead, with status 410 only."""

    status: int
    reason: str
    timestamp: datetime | None
    outcome: PushOutcome


def classify(status: int, body: bytes) -> PushAnswer:
    """Say what an HTTP answer of APNs means; any body is allowed, one without a reason counts by its status."""
    reason, timestamp = _read(body)
    return PushAnswer(status, reason, timestamp, _outcome(status, reason))


def _outcome(status: int, reason: str) -> PushOutcome:
    if status == 200:
        return PushOutcome.ACCEPTED
    if (status, reason) in _TOKEN_DEAD:
        return PushOutcome.TOKEN_DEAD
    if status == 403 or (status, reason) in _TOPIC_REFUSED:
        return PushOutcome.TOPIC_REFUSED
    if status == 429 or status >= 500 or reason == "IdleTimeout":
        return PushOutcome.RETRY
    return PushOutcome.BUG


def _read(body: bytes) -> tuple[str, datetime | None]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return "", None
    if not isinstance(answer, dict):
        return "", None
    reason = answer.get("reason")
    return (reason[:_LONGEST_REASON] if isinstance(reason, str) else ""), _milliseconds(answer.get("timestamp"))


def _milliseconds(value: object) -> datetime | None:
    if not isinstance(value, int | float):
        return None
    try:
        return datetime.fromtimestamp(value / 1000, tz=UTC)
    except (ValueError, OverflowError, OSError):
        return None
