"""The door for devices, free of any framework: a DeviceRequest in, a DeviceAnswer out, and never an exception.

`endpoint.views` is one way to it. Turns refusals and outages into HTTP: 4xx as `endpoint.errors` says, 503 for
whatever is our own fault, and one log line with the reason for each.
"""

import logging
from collections.abc import Callable
from datetime import datetime

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from certificates.encryption import EncryptionError
from endpoint import check_in as checking_in
from endpoint import connect as connecting
from endpoint import scep as scep_door
from endpoint.errors import MethodNotAllowed, Refusal
from endpoint.exchange import DeviceAnswer, DeviceRequest, shown

log = logging.getLogger(__name__)

_CHECK_IN_TYPE = "application/x-apple-aspen-mdm-checkin"
# How long a device or proxy should wait during an outage, in seconds.
_RETRY_AFTER = "60"


def connect(request: DeviceRequest, now: datetime | None = None) -> DeviceAnswer:
    """Answer ServerURL. Check-in messages that come here by their Content-Type are checked in."""
    if request.header("content-type").lower().startswith(_CHECK_IN_TYPE):
        return check_in(request, now)
    return answered(request, lambda at: connecting.connect(_put(request), now=at, inline=_inline()), now)


def check_in(request: DeviceRequest, now: datetime | None = None) -> DeviceAnswer:
    """Answer CheckInURL."""
    return answered(request, lambda at: checking_in.check_in(_put(request), now=at), now)


def scep(request: DeviceRequest, now: datetime | None = None) -> DeviceAnswer:
    """Answer the SCEP URL."""
    return answered(request, lambda at: scep_door.answer(request, now=at), now)


def answered(
    request: DeviceRequest, answer: Callable[[datetime], DeviceAnswer], now: datetime | None = None
) -> DeviceAnswer:
    """What `answer(now)` gives, or the answer to what it raised."""
    try:
        return answer(now or timezone.now())
    except Refusal as refusal:
        return refuse(request, refusal)
    except (DatabaseError, InterfaceError, EncryptionError) as error:
        log.error("%s: 503, our own outage: %s: %s", _line(request), type(error).__name__, shown(error, 200))
    except Exception:  # the last door: a device must get a status it can repeat its message after
        log.exception("%s: 503, a mistake of ours", _line(request))
    return DeviceAnswer(status=503, body=b"try again later\n", headers={"Retry-After": _RETRY_AFTER})


def refuse(request: DeviceRequest, refusal: Refusal) -> DeviceAnswer:
    """The answer to a refusal; its reason goes into the log only."""
    log.warning("%s: %d, %s", _line(request), refusal.status, refusal, exc_info=refusal.__cause__)
    headers = {"Allow": refusal.allowed} if isinstance(refusal, MethodNotAllowed) else {}
    return DeviceAnswer(status=refusal.status, body=b"refused\n", headers=headers)


def _put(request: DeviceRequest) -> DeviceRequest:
    if request.method != "PUT":
        raise MethodNotAllowed("PUT")
    return request


def _inline() -> int:
    return int(settings.DEVICE_BODY_INLINE)


def _line(request: DeviceRequest) -> str:
    return f"{shown(request.method, 10)} {request.path} from {request.remote_addr or 'nowhere'}"
