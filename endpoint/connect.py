"""ServerURL: a device reports and asks for work (mdm-protocol 2; architecture section 5, the hot path).

An Idle with nothing to do costs the one statement of the queue. What is not believed changes nothing; what is
authenticated and makes no sense gets 200, for anything else makes the device send it again for ever.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial

from django.db import connection
from django.utils import timezone

from certificates.models import IssuedCertificate
from devices import identities, queue
from devices.models import Command, CommandState, Enrollment
from endpoint import unmatched
from endpoint.authentication import authenticate
from endpoint.errors import NotAuthenticated
from endpoint.exchange import EMPTY, PLIST, DeviceAnswer, DeviceRequest, shown
from endpoint.handlers import RenderError, render
from endpoint.reports import describe, handle_report, take
from operations.background import start_on_commit
from protocol.errors import ProtocolError
from protocol.reports import Report, Status, parse_report

log = logging.getLogger(__name__)

# More broken commands than this in a row are left for the next connect.
MOST_UNRENDERABLE = 20
_REPEATED = (CommandState.ACKNOWLEDGED, CommandState.ERROR, CommandState.FORMAT_ERROR)


def connect(request: DeviceRequest, *, now: datetime, inline: int) -> DeviceAnswer:
    """Take one report and answer with the next command, or with nothing.

    Bodies over `inline` bytes are stored unread for the worker. Raises Refusal and database errors.
    """
    fingerprint = authenticate(request)
    if len(request.body) > inline:
        return _park(request, fingerprint, now)
    try:
        report = parse_report(request.body)
    except ProtocolError as error:
        return _unreadable(request, fingerprint, now=now, reason=str(error))
    outcome = take(report, fingerprint, now)
    if outcome.enrollment_id is None and _follow_renewal(fingerprint, now):
        outcome = take(report, fingerprint, now)
    if outcome.enrollment_id is None:
        raise NotAuthenticated(_stranger(report))
    if not outcome.channel_known:
        return _other_channel(report, outcome.enrollment_id, now)
    if not outcome.matched and report.status is not Status.IDLE:
        _keep_unmatched(report, outcome.enrollment_id, now)
    return _next(report, outcome, outcome.enrollment_id, now=now)


def _next(report: Report, outcome: queue.Outcome, enrollment_pk: int, *, now: datetime) -> DeviceAnswer:
    closed, offer, after = outcome.closed_command_id, outcome.offer, None
    if closed is not None and offer is None:
        # Nothing else is open: what the answer leads to is offered in this same session.
        handle_report(closed, now)
        offer = queue.next_offer(connection, enrollment_pk=enrollment_pk, skip_not_now=True, now=now)
    elif closed is not None:
        after = partial(_handle_later, closed)
    return _offer(offer, enrollment_pk, skip_not_now=report.status is not Status.IDLE, after=after, now=now)


def _offer(
    offer: queue.Offer | None,
    enrollment_pk: int,
    *,
    skip_not_now: bool,
    after: Callable[[], None] | None,
    now: datetime,
) -> DeviceAnswer:
    """Hand out a command; one that cannot be rendered is failed and the next is tried, so none stops the device."""
    for _ in range(MOST_UNRENDERABLE):
        if offer is None:
            break
        try:
            return DeviceAnswer(body=render(offer, enrollment_pk, now), content_type=PLIST, after=after)
        except RenderError as error:
            log.error("command %s cannot be rendered: %s", offer.uuid, error, exc_info=error.__cause__)
            queue.fail_unrenderable(connection, offer.command_id, reason=str(error), now=now)
        offer = queue.next_offer(connection, enrollment_pk=enrollment_pk, skip_not_now=skip_not_now, now=now)
    return DeviceAnswer(after=after)


def _handle_later(command_pk: int) -> None:
    handle_report(command_pk, timezone.now())


def _follow_renewal(fingerprint: bytes, now: datetime) -> bool:
    """Bind a renewed identity whose binding a crash prevented; True when it can speak for a device now."""
    issued = IssuedCertificate.objects.filter(sha256=fingerprint, revoked_at=None).exclude(replaces=None).first()
    return issued is not None and identities.follow_renewal(issued, now) is not None


def _stranger(report: Report) -> str:
    return f"the certificate speaks for no device; the report names {shown(report.identity.enrollment_id)}"


def _other_channel(report: Report, device_pk: int, now: datetime) -> DeviceAnswer:
    """The certificate is a device's, but not of the channel that the report names."""
    device = Enrollment.objects.get(pk=device_pk)
    named = shown(report.identity.enrollment_id)
    if device.enrollment_id != report.identity.device_id:
        reason = f"the certificate belongs to another device than {named}"
        unmatched.keep(device.pk, reason=reason, raw=report.raw, now=now, command_uuid=report.command_uuid)
        raise NotAuthenticated(reason)
    # A user channel whose TokenUpdate we never got: nothing to do for it, and no reason to be asked again.
    log.warning("connect: the user channel %s is not known", named)
    if report.status is not Status.IDLE:
        unmatched.keep(
            device.pk, reason="unknown user channel", raw=report.raw, now=now, command_uuid=report.command_uuid
        )
    return EMPTY


def _keep_unmatched(report: Report, enrollment_pk: int, now: datetime) -> None:
    """Keep what nobody asked for. An answer that came twice is no news."""
    named = report.command_uuid
    if report.status is not None and named is not None and _answered_before(enrollment_pk, named):
        log.info("connect: enrollment %d repeats its answer to %s", enrollment_pk, shown(named))
        return
    reason = describe(report)
    log.warning("connect: enrollment %d, kept unmatched: %s (%s)", enrollment_pk, reason, shown(named))
    unmatched.keep(enrollment_pk, reason=reason, raw=report.raw, now=now, command_uuid=named)


def _answered_before(enrollment_pk: int, uuid: str) -> bool:
    if not (uuid.isascii() and uuid.isprintable()):
        return False
    return Command.objects.filter(enrollment=enrollment_pk, uuid=uuid, state__in=_REPEATED).exists()


def _unreadable(request: DeviceRequest, fingerprint: bytes, *, now: datetime, reason: str) -> DeviceAnswer:
    """Authenticated bytes that are no report: kept, and answered so that the device does not repeat them."""
    enrollment = _speaker(fingerprint, now)
    log.warning("connect: enrollment %d sent what cannot be read: %s", enrollment.pk, reason)
    unmatched.keep(enrollment.pk, reason=f"cannot be read: {reason}", raw=request.body, now=now)
    return EMPTY


def _park(request: DeviceRequest, fingerprint: bytes, now: datetime) -> DeviceAnswer:
    from endpoint.tasks import read_large_report

    enrollment = _speaker(fingerprint, now)
    kept = unmatched.park(enrollment, raw=request.body, now=now)
    log.info("connect: enrollment %d sent %d bytes, left for the worker", enrollment.pk, len(request.body))
    start_on_commit(read_large_report, kept.pk)
    return EMPTY


def _speaker(fingerprint: bytes, now: datetime) -> Enrollment:
    identity = identities.find(fingerprint)
    if identity is None and _follow_renewal(fingerprint, now):
        identity = identities.find(fingerprint)
    if identity is None:
        raise NotAuthenticated("the certificate speaks for no device, and the body cannot be read here")
    return identity.enrollment
