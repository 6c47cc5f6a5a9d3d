"""Conversations as generators: they yield what they need (an HTTP answer, a new key) and are sent it.

So the same enrollment runs over a blocking client in a test and over asyncio in a fleet of hundreds
(`simulator.transport`). A driver throws ConnectionFailed into a flow whose request got no answer.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request, ready to be sent; `body` is sent as it is."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What came back; header names are lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def content_type(self) -> str:
        """Media type without parameters, lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """A new RSA key of `size` bits: the one thing that takes real CPU time."""

    size: int


Flow: TypeAlias = Generator[HttpRequest | KeyRequest, HttpResponse | RSAPrivateKey, T]


def fetch(request: HttpRequest) -> Flow[HttpResponse]:
    """Ask the driver for an HTTP answer; ConnectionFailed when there is none."""
    reply = yield request
    if not isinstance(reply, HttpResponse):
        raise TypeError("the driver answered an HTTP request with a key")
    return reply


def new_key(size: int) -> Flow[RSAPrivateKey]:
    """Ask the driver for a key."""
    reply = yield KeyRequest(size)
    if not isinstance(reply, RSAPrivateKey):
        raise TypeError("the driver answered a key request with an HTTP answer")
    return reply
