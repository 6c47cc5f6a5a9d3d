"""Django's way to the door: reads the raw body, calls one function, writes the answer as it is.

No login, no CSRF page, no redirect and no HTML on these URLs: a device cannot read any of them.
"""

import logging
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from endpoint import bodies, door
from endpoint.errors import Refusal
from endpoint.exchange import DeviceAnswer, DeviceRequest

log = logging.getLogger(__name__)

# A PKCSReq with a 4096 bit key is 6 KB. Reading hostile BER costs time, and anybody may send it.
SCEP_LIMIT = 64 * 1024


class DeviceResponse(HttpResponse):
    """An answer with work to be done after it went out (PEP 3333: the server calls close() then)."""

    after: Callable[[], None] | None = None

    def close(self) -> None:
        # Before Django's own close, which gives the database connection back.
        after, self.after = self.after, None
        if after is not None:
            try:
                after()
            except Exception:  # the device has its answer; what is left undone, the sweep finds
                log.exception("work after an answer failed")
        super().close()


@csrf_exempt
def connect(request: HttpRequest) -> HttpResponse:
    """PUT /mdm/connect"""
    return _through(door.connect, request, limit=settings.DEVICE_BODY_LIMIT)


@csrf_exempt
def check_in(request: HttpRequest) -> HttpResponse:
    """PUT /mdm/checkin"""
    return _through(door.check_in, request, limit=settings.DEVICE_BODY_INLINE)


@csrf_exempt
def scep(request: HttpRequest) -> HttpResponse:
    """GET and POST /scep"""
    return _through(door.scep, request, limit=SCEP_LIMIT)


def _through(answer: Callable[[DeviceRequest], DeviceAnswer], request: HttpRequest, *, limit: int) -> HttpResponse:
    bare = device_request(request)
    try:
        with bodies.read(request.META, limit=limit) as body:
            return respond(answer(device_request(request, body)))
    except Refusal as refusal:
        return respond(door.refuse(bare, refusal))


def device_request(request: HttpRequest, body: bytes = b"") -> DeviceRequest:
    """The request as the door takes it. Nothing but CGI's own variables and the headers is looked at."""
    environ = request.META
    headers = {key[5:].replace("_", "-").lower(): str(value) for key, value in environ.items() if key[:5] == "HTTP_"}
    headers["content-type"] = environ.get("CONTENT_TYPE") or ""
    return DeviceRequest(
        method=request.method or "",
        path=request.path,
        query=environ.get("QUERY_STRING") or "",
        headers=headers,
        body=body,
        remote_addr=environ.get("REMOTE_ADDR") or "",
    )


def respond(answer: DeviceAnswer) -> HttpResponse:
    """The answer as Django sends it; the content type is exactly the one given."""
    headers = {"Cache-Control": "no-store", **answer.headers}
    response = DeviceResponse(answer.body, status=answer.status, content_type=answer.content_type, headers=headers)
    response.after = answer.after
    return response
