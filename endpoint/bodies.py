"""Reading a device's body: raw, up to a limit of our own, large ones only a few at a time.

Django's limit for forms does not apply here: a refused report is sent again for ever. Bodies are kept in memory
while the signature's digest runs over them, which is why few may be large at once.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from django.conf import settings

from endpoint.errors import BadRequest, BodyTooLarge, Busy

LARGE_AT_A_TIME = 2
_large = threading.BoundedSemaphore(LARGE_AT_A_TIME)


class Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


@contextmanager
def read(environ: dict[str, Any], *, limit: int) -> Iterator[bytes]:
    """The body of a WSGI request of at most `limit` bytes, for as long as the context lasts.

    Raises BodyTooLarge, Busy when too many large ones are being read, and BadRequest when it ends too early.
    """
    length = _length(environ)
    if length is not None and length > limit:
        raise BodyTooLarge(f"a body of {length} bytes")
    if length is None and not environ.get("wsgi.input_terminated"):
        # Without either, a server may wait for ever at the end of the body.
        length = 0
    inline: int = settings.DEVICE_BODY_INLINE
    stream: Stream = environ["wsgi.input"]
    if length is not None and length <= inline:
        yield _exactly(stream, length)
        return
    # Of unknown length: what fits is read first, so that a small body needs no place among the large ones.
    start = b"" if length is not None else _up_to(stream, inline + 1)
    if length is None and len(start) <= inline:
        yield start
        return
    if not _large.acquire(blocking=False):
        raise Busy("too many large bodies at once")
    try:
        yield _exactly(stream, length) if length is not None else _rest(stream, start, limit=limit)
    finally:
        _large.release()


def _length(environ: dict[str, Any]) -> int | None:
    value = str(environ.get("CONTENT_LENGTH") or "")
    if not value:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 20):
        raise BadRequest("Content-Length is no number")
    return int(value)


def _exactly(stream: Stream, length: int) -> bytes:
    body = _up_to(stream, length)
    if len(body) != length:
        raise BadRequest(f"the body ended after {len(body)} of {length} bytes")
    return body


def _rest(stream: Stream, start: bytes, *, limit: int) -> bytes:
    body = start + _up_to(stream, limit + 1 - len(start))
    if len(body) > limit:
        raise BodyTooLarge(f"a body of more than {limit} bytes")
    return body


def _up_to(stream: Stream, size: int) -> bytes:
    """Read until `size` bytes or the end; a stream may give less than asked for. A broken connection is BadRequest."""
    pieces, left = [], size
    while left > 0:
        try:
            piece = stream.read(left)
        except OSError:
            raise BadRequest("the connection broke while the body was read") from None
        if not piece:
            break
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)
