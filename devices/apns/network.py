"""One HTTP/2 connection of httpcore (the layer below httpx) that sends what many streams have to say in one go.

httpcore writes each stream's headers, body and end by themselves: three TLS records and system calls per push.
Here they wait for the end of the loop's turn; measured, that and leaving out httpx halve the cost of a push.
"""

import asyncio
import ssl
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpcore

# Seconds. `pool` is the wait for a free stream.
TIMEOUT: Mapping[str, float] = {"connect": 10.0, "read": 20.0, "write": 20.0, "pool": 60.0}
ERRORS = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError, RuntimeError)
_TOO_BIG = 64 * 1024


class Http2Connection:
    """A connection to one origin, made at the first request, and again when it has ended."""

    def __init__(self, url: str, context: ssl.SSLContext) -> None:
        """`url` is https; its path is ignored."""
        parts = urlsplit(url)
        self._host, self._port = (parts.hostname or "").encode(), parts.port or 443
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=1,
            http1=False,
            http2=True,
            network_backend=_GatheringBackend(),
        )

    async def post(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer. Raises one of `ERRORS`."""
        url = httpcore.URL(scheme=b"https", host=self._host, port=self._port, target=path.encode("ascii"))
        answer = await self._pool.request(
            "POST",
            url,
            headers=list(headers.items()),
            content=body,
            extensions={"timeout": dict(TIMEOUT)},
        )
        return answer.status, answer.content[:_TOO_BIG]

    async def close(self) -> None:
        await self._pool.aclose()


class _GatheringBackend(httpcore.AsyncNetworkBackend):
    def __init__(self) -> None:
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        stream = await self._backend.connect_tcp(host, port, timeout, local_address, socket_options)
        return _GatheringStream(stream)


class _GatheringStream(httpcore.AsyncNetworkStream):
    """Writes are collected and sent by a task of their own; what fails there ends the connection."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._waiting = bytearray()
        self._sender: asyncio.Task[None] | None = None
        self._broken = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if self._broken:
            raise httpcore.WriteError("the connection has ended")
        self._waiting += buffer
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send(timeout))

    async def _send(self, timeout: float | None) -> None:
        try:
            while self._waiting:
                data = bytes(self._waiting)
                self._waiting.clear()
                await self._stream.write(data, timeout)
        except ERRORS:
            # Nobody waits for this task: closing makes the readers see it.
            self._broken = True
            await self._stream.aclose()

    async def aclose(self) -> None:
        self._broken = True
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return _GatheringStream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
