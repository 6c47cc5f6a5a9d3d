"""APNs over HTTP/2: one long-lived connection per topic, many streams, in an event loop of its own thread.

Apple's "Sending notification requests to APNs" and "Establishing a certificate-based connection to APNs".
It knows no database; an answer is a value, and a failed connection is one too. Nothing here is logged, for an
address holds a device's token.
"""

import asyncio
import hashlib
import os
import secrets
import ssl
import tempfile
import threading
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from devices.apns.network import ERRORS, Http2Connection
from protocol.push import PushAnswer, PushNotification, PushOutcome, classify

STREAMS = 64
# A batch that is not through by then is given up and retried later; well below `devices.push.LEASE`.
BATCH_SECONDS = 75.0
# Reasons of our own, beside Apple's.
UNUSABLE_CERTIFICATE = "UnusableCertificate"
NO_CA_FILE = "UnusableCaFile"
TOO_SLOW = "Timeout"
ENDED = "ConnectionEnded"
SHUTDOWN = "Shutdown"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a connection is made from: the topic's push certificate with its key, and where APNs is.

    `ca_file` is empty for the public roots. PEM throughout.
    """

    topic: str
    certificate_pem: str = field(repr=False)
    private_key_pem: bytes = field(repr=False)
    url: str
    ca_file: str = ""

    def version(self) -> str:
        """Changes whenever the connection has to be made anew."""
        parts = (self.certificate_pem.encode(), self.private_key_pem, self.url.encode(), self.ca_file.encode())
        return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


class UnusableError(Exception):
    """No connection can be made from these credentials; `answer` is what every push gets."""

    def __init__(self, answer: PushAnswer) -> None:
        super().__init__(answer.reason)
        self.answer = answer


class Apns:
    """The synchronous face; safe to use from several threads."""

    def __init__(self, directory: Path | None = None) -> None:
        """`directory` holds the encrypted key file during the moment that OpenSSL reads it."""
        self._directory = directory
        self._loop = asyncio.new_event_loop()
        self._topics: dict[str, _Topic] = {}
        self._thread = threading.Thread(target=self._loop.run_forever, name="apns", daemon=True)
        self._thread.start()

    def deliver(self, credentials: Credentials, notifications: Sequence[PushNotification]) -> list[PushAnswer]:
        """Push all of them; one answer each, in their order. Never raises for what the network or APNs does."""
        return self._run(self._deliver(credentials, notifications))

    def close(self) -> None:
        """Close all connections and end the thread."""
        self._run(self._close_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _deliver(self, credentials: Credentials, notifications: Sequence[PushNotification]) -> list[PushAnswer]:
        # Only this loop's thread touches the topics, so that no lock is needed between two awaits.
        topic = self._topics.setdefault(credentials.topic, _Topic(self._directory))
        return await topic.deliver(credentials, notifications)

    async def _close_all(self) -> None:
        for topic in self._topics.values():
            await topic.close()


class _Topic:
    """One topic's connection. It is made anew when the credentials change and when Apple or the network ends it."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._connection: Http2Connection | None = None
        self._version = ""
        self._proved = False
        self._connecting = asyncio.Lock()

    async def deliver(self, credentials: Credentials, notifications: Sequence[PushNotification]) -> list[PushAnswer]:
        deadline = asyncio.get_running_loop().time() + BATCH_SECONDS
        try:
            connection = await self._connected(credentials, instead_of=None)
            answers = await self._round(connection, notifications, deadline=deadline)
            again = [index for index, answer in enumerate(answers) if _connection_ended(answer)]
            if again:
                # Once, on a new connection: Apple drains connections with GOAWAY or Shutdown when it likes.
                connection = await self._connected(credentials, instead_of=connection)
                retried = await self._round(connection, [notifications[i] for i in again], deadline=deadline)
                for index, answer in zip(again, retried, strict=True):
                    answers[index] = answer
        except UnusableError as error:
            return [error.answer] * len(notifications)
        return answers

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _connected(self, credentials: Credentials, *, instead_of: Http2Connection | None) -> Http2Connection:
        async with self._connecting:
            version = credentials.version()
            current = self._connection
            if current is not None and current is not instead_of and version == self._version:
                return current
            context = await asyncio.to_thread(ssl_context, credentials, self._directory)
            await self.close()
            self._connection = Http2Connection(credentials.url, context)
            self._version, self._proved = version, False
            return self._connection

    async def _round(
        self, connection: Http2Connection, notifications: Sequence[PushNotification], *, deadline: float
    ) -> list[PushAnswer]:
        batch = _Batch(connection, notifications)
        if not self._proved:
            # One push goes ahead: where nobody answers, 500 need not wait for a connection one after the other.
            await _until(deadline, [asyncio.create_task(batch.send_one())])
            if batch.answer(0).status == 0:
                return [batch.answer(0)] * len(notifications)
            self._proved = True
        await _until(deadline, [asyncio.create_task(batch.send()) for _ in range(min(STREAMS, len(notifications)))])
        return [batch.answer(index) for index in range(len(notifications))]


class _Batch:
    """One batch on one connection, worked off by several streams at a time."""

    def __init__(self, connection: Http2Connection, notifications: Sequence[PushNotification]) -> None:
        self._connection = connection
        self._notifications = notifications
        self._waiting = deque(range(len(notifications)))
        self._answers: dict[int, PushAnswer] = {}
        self._ended = False

    async def send_one(self) -> None:
        if self._waiting:
            index = self._waiting.popleft()
            self._answers[index] = answer = await _push(self._connection, self._notifications[index])
            self._ended = self._ended or _connection_ended(answer)

    async def send(self) -> None:
        # What was not sent when the connection ends goes over the next one, together with what was lost.
        while self._waiting and not self._ended:
            await self.send_one()

    def answer(self, index: int) -> PushAnswer:
        return self._answers.get(index) or _failed(ENDED if self._ended else TOO_SLOW)


async def _until(deadline: float, tasks: "list[asyncio.Task[None]]") -> None:
    """Wait for the tasks; those that are not done by `deadline` (loop time) are cancelled."""
    left = max(deadline - asyncio.get_running_loop().time(), 0.0)
    _, late = await asyncio.wait(tasks, timeout=left)
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _push(connection: Http2Connection, notification: PushNotification) -> PushAnswer:
    try:
        status, body = await connection.post(notification.path(), notification.headers(), notification.body())
    except ERRORS as error:
        return _failed(type(error).__name__)
    return classify(status, body)


def _failed(reason: str) -> PushAnswer:
    return PushAnswer(0, reason, None, PushOutcome.RETRY)


def _connection_ended(answer: PushAnswer) -> bool:
    return (answer.status == 0 and answer.reason != TOO_SLOW) or answer.reason == SHUTDOWN


def ssl_context(credentials: Credentials, directory: Path | None = None) -> ssl.SSLContext:
    """A TLS context that shows the push certificate. UnusableError when the certificate or the CA file is no good."""
    try:
        context = (
            ssl.create_default_context(cafile=credentials.ca_file)
            if credentials.ca_file
            else httpx.create_ssl_context(trust_env=False)
        )
    except (OSError, ValueError) as error:
        raise UnusableError(_failed(NO_CA_FILE)) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        _load_certificate(context, credentials, directory)
    except (OSError, ValueError, TypeError) as error:
        raise UnusableError(PushAnswer(0, UNUSABLE_CERTIFICATE, None, PushOutcome.TOPIC_REFUSED)) from error
    return context


def _load_certificate(context: ssl.SSLContext, credentials: Credentials, directory: Path | None) -> None:
    """OpenSSL reads keys from files only: ours lies there encrypted by a password that nobody else knows."""
    password = secrets.token_bytes(32).hex()
    key = load_pem_private_key(credentials.private_key_pem, password=None)
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password.encode()))
    handle, name = tempfile.mkstemp(prefix="apns-", suffix=".pem", dir=directory)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(credentials.certificate_pem.encode() + b"\n" + encrypted)
        context.load_cert_chain(name, password=password)
    finally:
        Path(name).unlink(missing_ok=True)


_shared: dict[int, Apns] = {}
_shared_lock = threading.Lock()


def shared(directory: Path | None = None) -> Apns:
    """This process's APNs; a forked worker makes its own, for threads and sockets do not survive a fork."""
    with _shared_lock:
        if os.getpid() not in _shared:
            _shared.clear()
            _shared[os.getpid()] = Apns(directory)
        return _shared[os.getpid()]
