"""The network half of the fake APNs: HTTP/2 over TLS (ALPN h2) that demands a client certificate of the fake Apple.

`Ledger` decides every answer; this module only carries frames. `ApnsServer` lives in a running asyncio loop;
`FakeApns` runs one in a thread of its own, for tests and for programs without a loop.
"""

import asyncio
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
from cryptography import x509

from simulator import apple
from simulator.apns_ledger import CLOSE, GOAWAY, Ledger, Push, PushRequest
from simulator.errors import AppleError

MAX_BODY = 64 * 1024


def utc_now() -> datetime:
    return datetime.now(UTC)


def server_context(fake_apple: apple.FakeApple) -> ssl.SSLContext:
    """TLS 1.2 or newer, ALPN h2, client certificate required and checked against the fake Apple's root."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(fake_apple.server_certificate, fake_apple.server_key)
    context.load_verify_locations(cafile=fake_apple.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    return context


class ApnsServer:
    """The fake APNs inside a running loop: `await start(...)`, `await stop()`."""

    def __init__(self, fake_apple: apple.FakeApple, ledger: Ledger) -> None:
        self.apple = fake_apple
        self.ledger = ledger
        self.port = 0
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._open: set[_Connection] = set()

    @property
    def url(self) -> str:
        """Base address for the portal's `APNS_URL`."""
        return f"https://127.0.0.1:{self.port}"

    async def start(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes a free one. OSError when the port is taken."""
        context = await asyncio.to_thread(server_context, self.apple)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, host, port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the listener and every open connection."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._open):
            connection.abort()
        if self._server is not None:
            await self._server.wait_closed()
        await asyncio.sleep(0)  # lets the aborted transports run their last callback

    def _connection(self) -> "_Connection":
        self.connections += 1
        return _Connection(self.ledger, self._open)


@dataclass(slots=True)
class _Stream:
    headers: dict[str, str]
    body: bytearray = field(default_factory=bytearray)


class _Connection(asyncio.Protocol):
    """One HTTP/2 connection. Frames in, frames out; a broken peer costs its own connection only."""

    def __init__(self, ledger: Ledger, registry: "set[_Connection]") -> None:
        self._ledger = ledger
        self._registry = registry
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self._streams: dict[int, _Stream] = {}
        self._transport: asyncio.Transport | None = None
        self._topic = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - asyncio's contract, told to mypy
        self._transport = transport
        tls = transport.get_extra_info("ssl_object")
        if tls.selected_alpn_protocol() != "h2":
            transport.abort()
            return
        self._topic = _topic(tls.getpeercert(binary_form=True))
        self._registry.add(self)
        self._h2.initiate_connection()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._registry.discard(self)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            events = self._h2.receive_data(data)
            for event in events:
                self._handle(event)
        except h2.exceptions.ProtocolError:
            self._flush()
            self.abort()
            return
        self._flush()

    def _handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            headers = {str(name): str(value) for name, value in event.headers}
            self._streams[event.stream_id] = _Stream(headers)
        elif isinstance(event, h2.events.DataReceived):
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            stream = self._streams.get(event.stream_id)
            if stream is not None and len(stream.body) <= MAX_BODY:
                stream.body += event.data
        elif isinstance(event, h2.events.StreamReset):
            self._streams.pop(event.stream_id, None)
        elif isinstance(event, h2.events.StreamEnded):
            self._answer(event.stream_id)

    def _answer(self, stream_id: int) -> None:
        stream = self._streams.pop(stream_id, None)
        if stream is None:
            return
        fault = self._ledger.next_fault()
        if fault == CLOSE:
            self.abort()
            return
        if fault == GOAWAY:
            self._h2.close_connection(h2.errors.ErrorCodes.NO_ERROR, last_stream_id=max(stream_id - 2, 0))
            self._flush()
            if self._transport is not None:
                self._transport.close()
            return
        request = PushRequest(
            stream.headers.get(":method", ""),
            stream.headers.get(":path", ""),
            stream.headers,
            bytes(stream.body),
            self._topic,
        )
        answer = self._ledger.handle(request, fault if isinstance(fault, int) else None)
        headers = [(":status", str(answer.status)), ("apns-id", answer.apns_id)]
        self._h2.send_headers(stream_id, headers, end_stream=not answer.body)
        if answer.body:
            self._h2.send_data(stream_id, answer.body, end_stream=True)

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


def _topic(certificate_der: bytes) -> str:
    """The topic a client may push for; a certificate without one may push for none."""
    try:
        return apple.topic_of(x509.load_der_x509_certificate(certificate_der))
    except (AppleError, ValueError):
        return ""


class FakeApns:
    """The fake APNs in a thread: `with FakeApns(directory) as apns: apns.url, apns.pushes, apns.script(503, 503)`.

    `directory` is a folder of `simulator.apple` (made when it is empty).
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int = 0,
        accept_any: bool = False,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.apple = apple.make(directory, now=clock())
        self.ledger = Ledger(clock, accept_any=accept_any)
        self.server = ApnsServer(self.apple, self.ledger)
        self._wanted_port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-apns", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self.server.start(port=self._wanted_port), self._loop).result(30)
        except BaseException:
            self._end_loop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            asyncio.run_coroutine_threadsafe(self.server.stop(), self._loop).result(30)
        finally:
            self._end_loop()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def topic(self) -> str:
        return self.apple.topic

    @property
    def pushes(self) -> list[Push]:
        """Every accepted push, oldest first."""
        return list(self.ledger.pushes)

    @property
    def connections(self) -> int:
        """How many TCP connections were ever opened: a good client needs one."""
        return self.server.connections

    def register(self, token: bytes, *, topic: str | None = None, deliver: Callable[[str], None] | None = None) -> None:
        """Know this token; `deliver(push_magic)` is called in the server's thread."""
        self.ledger.register(token, topic=topic or self.topic, deliver=deliver)

    def kill_token(self, token: bytes) -> None:
        self.ledger.kill_token(token)

    def set_online(self, token: bytes, *, online: bool) -> None:
        self.ledger.set_online(token, online)

    def script(self, *faults: int | str) -> None:
        """See `Ledger.script`: `apns.script(503, 503, "goaway")`."""
        self.ledger.script(*faults)
