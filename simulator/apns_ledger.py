"""What the fake APNs knows and decides, without any network: tokens, pushes, faults to play, and who is online.

The answers are Apple's ("Handling notification responses from APNs"): 200, 400 BadDeviceToken, 410 Unregistered with
the moment in milliseconds. A push for a device that is offline waits until its expiration; only the last one is kept.
"""

import json
import threading
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

MAX_PAYLOAD: Final = 4096
REASONS: Final = {
    400: "BadDeviceToken",
    403: "BadCertificate",
    410: "Unregistered",
    429: "TooManyRequests",
    500: "InternalServerError",
    503: "ServiceUnavailable",
}
GOAWAY: Final = "goaway"
CLOSE: Final = "close"
Deliver = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class PushRequest:
    """One HTTP/2 request as it came in; header names are lower case, `topic` is the client certificate's UID."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    topic: str


@dataclass(frozen=True, slots=True)
class Push:
    """A push that was accepted."""

    token: bytes
    push_magic: str
    topic: str
    expiration: int
    apns_id: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; `apns_id` is echoed or made up, as Apple does."""

    status: int
    apns_id: str
    reason: str = ""
    timestamp: int | None = None

    @property
    def body(self) -> bytes:
        """Empty for 200, else JSON with `reason` and, for 410, `timestamp` in milliseconds."""
        if self.status == 200:
            return b""
        content: dict[str, str | int] = {"reason": self.reason}
        if self.timestamp is not None:
            content["timestamp"] = self.timestamp
        return json.dumps(content).encode()


@dataclass(slots=True)
class _Registration:
    topic: str
    deliver: Deliver | None
    online: bool = True
    dead_since: datetime | None = None
    waiting: Push | None = None


@dataclass(frozen=True, slots=True)
class _Refused(Exception):  # noqa: N818 - an answer of Apple's on its way up, caught in this module
    status: int
    reason: str
    timestamp: int | None = None


@dataclass(slots=True)
class Ledger:
    """The state of one fake APNs; safe to use from several threads.

    `clock` gives the current aware UTC time; `accept_any` answers 200 for tokens nobody registered.
    """

    clock: Callable[[], datetime]
    accept_any: bool = False
    pushes: list[Push] = field(default_factory=list)
    refused: list[Answer] = field(default_factory=list)
    _tokens: dict[bytes, _Registration] = field(default_factory=dict)
    _faults: deque[int | str] = field(default_factory=deque)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def register(self, token: bytes, *, topic: str, deliver: Deliver | None = None, online: bool = True) -> None:
        """A device got this token for this topic; `deliver` is called with the PushMagic of each push."""
        with self._lock:
            self._tokens[token] = _Registration(topic, deliver, online)

    def kill_token(self, token: bytes) -> None:
        """The device was erased or unenrolled: from now on 410."""
        with self._lock:
            if token in self._tokens:
                self._tokens[token].dead_since = self.clock()

    def set_online(self, token: bytes, online: bool) -> None:  # noqa: FBT001 - a state, named by the function
        """Going online delivers what waited, if it has not expired."""
        with self._lock:
            registration = self._tokens.get(token)
            if registration is None:
                return
            registration.online = online
            waiting, registration.waiting = registration.waiting, None if online else registration.waiting
        if online and waiting is not None and waiting.expiration > self.clock().timestamp():
            _deliver(registration, waiting)

    def script(self, *faults: int | str) -> None:
        """Play these for the next requests, in order: an HTTP status, `goaway` or `close`."""
        for fault in faults:
            if fault not in REASONS and fault not in (GOAWAY, CLOSE):
                raise ValueError(f"unknown fault {fault!r}")
        with self._lock:
            self._faults.extend(faults)

    def clear_script(self) -> None:
        """Forget the faults that were not played yet."""
        with self._lock:
            self._faults.clear()

    def pushes_for(self, token: bytes) -> list[Push]:
        """The accepted pushes of one token, oldest first."""
        with self._lock:
            return [push for push in self.pushes if push.token == token]

    def next_fault(self) -> int | str | None:
        """Take the next scripted fault, if any."""
        with self._lock:
            return self._faults.popleft() if self._faults else None

    def handle(self, request: PushRequest, fault: int | None = None) -> Answer:
        """Judge one push and, when it is accepted, deliver or store it. `fault` is a scripted status to answer."""
        apns_id = request.headers.get("apns-id") or str(uuid.uuid4()).upper()
        try:
            if fault is not None:
                moment = int(self.clock().timestamp() * 1000) if fault == 410 else None
                raise _Refused(fault, REASONS[fault], moment)
            push = self._accept(request, apns_id)
        except _Refused as refusal:
            answer = Answer(refusal.status, apns_id, refusal.reason, refusal.timestamp)
            self.refused.append(answer)
            return answer
        self._pass_on(push)
        return Answer(200, apns_id)

    def _accept(self, request: PushRequest, apns_id: str) -> Push:
        token = _token(request)
        _check_headers(request)
        push_magic = _push_magic(request.body)
        with self._lock:
            registration = self._tokens.get(token)
        if registration is None and not self.accept_any:
            raise _Refused(400, "BadDeviceToken")
        if registration is not None and registration.dead_since is not None:
            raise _Refused(410, "Unregistered", int(registration.dead_since.timestamp() * 1000))
        if registration is not None and registration.topic != request.topic:
            raise _Refused(400, "DeviceTokenNotForTopic")
        expiration = int(request.headers["apns-expiration"])
        return Push(token, push_magic, request.topic, expiration, apns_id, self.clock())

    def _pass_on(self, push: Push) -> None:
        with self._lock:
            self.pushes.append(push)
            registration = self._tokens.get(push.token)
            if registration is not None and not registration.online:
                registration.waiting = push  # coalesced: APNs keeps the last one only
                return
        if registration is not None:
            _deliver(registration, push)


def _deliver(registration: _Registration, push: Push) -> None:
    if registration.deliver is not None:
        registration.deliver(push.push_magic)


def _token(request: PushRequest) -> bytes:
    if request.method != "POST":
        raise _Refused(405, "MethodNotAllowed")
    prefix, _, text = request.path.rpartition("/")
    if prefix != "/3/device":
        raise _Refused(404, "BadPath")
    if not text:
        raise _Refused(400, "MissingDeviceToken")
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise _Refused(400, "BadDeviceToken") from None


def _check_headers(request: PushRequest) -> None:
    headers = request.headers
    if headers.get("apns-push-type") != "mdm":
        raise _Refused(400, "InvalidPushType")
    topic = headers.get("apns-topic")
    if not topic:
        raise _Refused(400, "MissingTopic")
    if topic != request.topic:
        raise _Refused(400, "TopicDisallowed")
    if headers.get("apns-priority", "10") not in {"1", "5", "10"}:
        raise _Refused(400, "BadPriority")
    expiration = headers.get("apns-expiration", "")
    # Apple allows 0 ("try once"); for MDM it loses the wake-up of every device that is asleep, so it is a mistake here.
    if not (expiration.isascii() and expiration.isdigit() and int(expiration) > 0):
        raise _Refused(400, "BadExpirationDate")


def _push_magic(body: bytes) -> str:
    """The body must be exactly `{"mdm": "<PushMagic>"}`; Apple has no reason of its own for the rest."""
    if len(body) > MAX_PAYLOAD:
        raise _Refused(413, "PayloadTooLarge")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise _Refused(400, "PayloadEmpty") from None
    if not isinstance(content, dict) or set(content) != {"mdm"} or not isinstance(content["mdm"], str):
        raise _Refused(400, "PayloadEmpty")
    return content["mdm"]
