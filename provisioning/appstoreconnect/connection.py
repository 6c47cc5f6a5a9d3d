"""HTTP with Apple's APIs: signed requests in, JSON documents out, every failure an AppStoreConnectError.

A GET may be tried again, a POST never: after a lost answer somebody has to look first. The token goes to the one
host it is for, over TLS, and answers are bounded in size and time. What the documents mean is `client`.
"""

import ipaddress
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from ssl import SSLContext
from typing import Any, Final

import httpx

from provisioning.appstoreconnect.errors import AppStoreConnectError, ErrorKind, first_error, refusal
from provisioning.appstoreconnect.rates import RateLimit, budget_of, read_rate_limit
from provisioning.appstoreconnect.resources import malformed
from provisioning.appstoreconnect.tokens import HOSTS, KeyMaterial, signer_of

Document = dict[str, Any]
MAX_BODY: Final = 64 * 1024 * 1024
# Seconds for one whole answer: httpx bounds only the silence between two pieces.
MAX_TIME: Final = 120.0
TRIES: Final = 3
_SKEW: Final = timedelta(seconds=60)
_LONGEST_WAIT: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer, for the record of a renewal; no query, no body, no headers."""

    method: str
    path: str
    status: int | None
    milliseconds: int
    remaining: int | None = None
    apple_code: str = ""
    apple_id: str = ""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: httpx.Headers = field(repr=False)
    body: bytes = field(repr=False)

    def document(self) -> object:
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


class Connection:
    """One key's connection to its host. Used by one thread at a time."""

    def __init__(
        self,
        key: KeyMaterial,
        *,
        base_url: str | None,
        transport: httpx.BaseTransport | None,
        proxy: str | None,
        timeout: float,
        clock: Callable[[], datetime],
        pause: Callable[[float], None],
        on_rate: Callable[[RateLimit], None],
    ) -> None:
        self._signer = signer_of(key)
        self._budget = budget_of(key.key_id)
        self._base = _checked(base_url or HOSTS[key.program][0])
        self._clock, self._pause, self._on_rate = clock, pause, on_rate
        self._skew = timedelta(0)
        self.last_exchange: Exchange | None = None
        self._http = httpx.Client(
            transport=transport,
            proxy=proxy or None,
            verify=_tls(),
            timeout=httpx.Timeout(timeout, connect=min(timeout, 10)),
            follow_redirects=False,
            trust_env=False,
        )

    def close(self) -> None:
        """Close the sockets."""
        self._http.close()

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Document:
        """A document under /v1; tried up to three times while Apple is unavailable."""
        return self._patiently("GET", self._url(path), params)

    def get_link(self, link: object) -> Document:
        """A link out of Apple's own answer, verbatim; refused when it leads to another host, for the token goes along."""
        if not isinstance(link, str):
            raise malformed("a link to the next page is no text")
        try:
            url = httpx.URL(link)
        except httpx.InvalidURL:
            raise malformed("a link to the next page is no address") from None
        if (url.scheme, url.host, url.port, url.userinfo) != (
            self._base.scheme, self._base.host, self._base.port, b"",
        ) or not url.path.startswith(self._url("").path):  # fmt: skip
            raise malformed("a link to the next page leads to another host")
        return self._patiently("GET", url, None)

    def post(self, path: str, body: Document) -> Document:
        """Send once. After UNAVAILABLE it may or may not have been carried out."""
        return self._send("POST", self._url(path), None, body=body)

    def delete(self, path: str) -> None:
        """Delete what the path names; NOT_FOUND when it is gone already."""
        self._patiently("DELETE", self._url(path), None)

    def _url(self, path: str) -> httpx.URL:
        return self._base.copy_with(path=f"{self._base.path.rstrip('/')}/v1/{path}")

    def _patiently(self, method: str, url: httpx.URL, params: Mapping[str, str] | None) -> Document:
        for attempt in range(1, TRIES):
            try:
                return self._send(method, url, params)
            except AppStoreConnectError as error:
                if error.kind is not ErrorKind.UNAVAILABLE:
                    raise
            self._pause(2.0**attempt)
        return self._send(method, url, params)

    def _send(
        self, method: str, url: httpx.URL, params: Mapping[str, str] | None, *, body: Document | None = None
    ) -> Document:
        answer = self._exchange(method, url, params, body=body)
        if answer.status == 401:
            # Refused before anything was done, so this is safe for a POST as well.
            is_skewed = self._correct_clock(answer)
            self._signer.forget()
            answer = self._exchange(method, url, params, body=body)
            if answer.status == 401 and is_skewed:
                raise AppStoreConnectError(ErrorKind.CLOCK, status=401)
        if answer.status == 204:
            return {}
        document = answer.document()
        if not 200 <= answer.status < 300:
            raise refusal(answer.status, first_error(document), retry_after=self._retry_after(answer))
        if not isinstance(document, dict):
            raise malformed("it is no JSON object")
        return document

    def _exchange(
        self, method: str, url: httpx.URL, params: Mapping[str, str] | None, *, body: Document | None
    ) -> _Answer:
        wait = self._budget.take(self._clock())
        if wait:
            raise AppStoreConnectError(
                ErrorKind.RATE_LIMIT, "Half of Apple's hourly limit of requests is used up.", retry_after=wait
            )
        began, answer = time.monotonic(), None
        try:
            with self._http.stream(method, url, params=params, json=body, headers=self._headers()) as response:
                answer = _Answer(response.status_code, response.headers, _read(response, began))
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            # The class says enough (ConnectTimeout, RemoteProtocolError); the text may hold an address with a proxy's
            # password, and the request in it the token.
            text = f"Apple could not be reached, or the connection broke ({type(error).__name__})."
            raise AppStoreConnectError(ErrorKind.UNAVAILABLE, text) from None
        finally:
            self._remember(method, url, answer, milliseconds=round((time.monotonic() - began) * 1000))
        return answer

    def _headers(self) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self._signer.token(self._clock() + self._skew)}",
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": "mdmportal",
        }

    def _remember(self, method: str, url: httpx.URL, answer: _Answer | None, *, milliseconds: int) -> None:
        if answer is None:
            self.last_exchange = Exchange(method, url.path, None, milliseconds)
            return
        rate = read_rate_limit(answer.headers.get("X-Rate-Limit", ""))
        apple = first_error(answer.document()) if answer.status >= 400 else None
        self.last_exchange = Exchange(
            method, url.path, answer.status, milliseconds,
            remaining=rate.remaining if rate else None,
            apple_code=apple.code if apple else "",
            apple_id=apple.id if apple else "",
        )  # fmt: skip
        if rate is not None:
            self._budget.learn(rate)
            self._on_rate(rate)

    def _correct_clock(self, answer: _Answer) -> bool:
        """Go by Apple's Date from now on when ours is more than a minute off; whether it is."""
        date = _http_date(answer.headers.get("Date", ""))
        if date is None or abs(date - self._clock() - self._skew) <= _SKEW:
            return False
        self._skew = date - self._clock()
        return True

    def _retry_after(self, answer: _Answer) -> float | None:
        value = answer.headers.get("Retry-After", "").strip()
        if value.isascii() and value.isdigit():
            return min(float(value[:9]), _LONGEST_WAIT)
        date = _http_date(value)
        if date is None:
            return None
        return min(max(0.0, (date - self._clock() - self._skew).total_seconds()), _LONGEST_WAIT)


@lru_cache(maxsize=1)
def _tls() -> SSLContext:
    """Made once: reading the roots takes longer than a request."""
    return httpx.create_ssl_context(trust_env=False)


def _read(response: httpx.Response, began: float) -> bytes:
    """The body, bounded; it is counted unpacked, for a small gzip may hold gigabytes."""
    parts, size = [], 0
    for part in response.iter_bytes():
        size += len(part)
        if size > MAX_BODY:
            raise malformed("it is larger than 64 MiB")
        if time.monotonic() - began > MAX_TIME:
            raise AppStoreConnectError(ErrorKind.UNAVAILABLE, "Apple's answer came too slowly.")
        parts.append(part)
    return b"".join(parts)


def _http_date(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _checked(address: str) -> httpx.URL:
    """The base address: https, or http to this very machine (a fake for tests and the demo)."""
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.host and (url.scheme == "https" or (url.scheme == "http" and _is_loopback(url.host))):
        return url
    raise AppStoreConnectError(
        ErrorKind.BUG, "The configured address of Apple's API must be https://: tokens are never sent in clear."
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
