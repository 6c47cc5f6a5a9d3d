"""One connect session: an unsent report or Idle, then commands and reports until the empty 200 (mdm-protocol 2).

What a device does with each HTTP answer is in section 2.4: 401, and 403 with Apple's code, remove the management;
anything else that is no 2xx keeps the report for the next session.
"""

import json
from datetime import datetime
from enum import StrEnum

from protocol import plist
from protocol.commands import parse_command
from protocol.errors import ProtocolError
from protocol.reports import Status
from simulator import commands, enrollment
from simulator.authentication import CONNECT, mdm_request
from simulator.commands import Answer, Installation
from simulator.device import AfterDelivery, Device
from simulator.errors import ConnectionFailed
from simulator.flows import Flow, HttpResponse, fetch


class Outcome(StrEnum):
    """How a session ended. POLL: come back at once; RETRY: after a while, with what is unsent."""

    DONE = "done"
    POLL = "poll"
    RETRY = "retry"
    GONE = "gone"


class _Broken(Exception):  # noqa: N818 - not an error of the program: the session ends here
    """The session ends without the portal's word."""


def connect(device: Device, *, now: datetime) -> Flow[Outcome]:
    """Run one session. Never raises: what cannot be delivered stays `device.unsent`."""
    if not device.is_enrolled:
        return Outcome.GONE
    device.polls_after_unlock = False
    late = device.unsent is not None
    body = device.unsent or device.idle()
    while True:
        try:
            reply = yield from _deliver(device, body)
        except (ConnectionFailed, _Broken) as error:
            device.note("connect failed", str(error))
            return _unheard(device)
        if unenrolls(reply):
            device.unenroll()
            device.note("removed by the portal", f"HTTP {reply.status}")
            return Outcome.GONE
        if not reply.is_success:
            device.note("connect refused", f"HTTP {reply.status}")
            return _unheard(device)
        device.unsent = None
        if late:
            device.note("late report delivered")
            late = False
        if device.after_delivery is not None:
            yield from _leave(device, device.after_delivery)
            return Outcome.GONE
        next_body = (yield from _execute(device, reply.body, now=now)) if reply.body else None
        if next_body is None:
            return _finish(device)
        body = next_body


def unenrolls(reply: HttpResponse) -> bool:
    """401, or 403 with Apple's `com.apple.unrecognized.device` as JSON or property list."""
    if reply.status != 403:
        return reply.status == 401
    try:
        is_json = reply.content_type == "application/json"
        content = json.loads(reply.body) if is_json else plist.loads_dict(reply.body)
    except (ValueError, RecursionError, ProtocolError):
        return False
    return isinstance(content, dict) and content.get("code") == "com.apple.unrecognized.device"


def _finish(device: Device) -> Outcome:
    """After a NotNow the device polls by itself on unlock; when that happened during the session, now."""
    device.polls_after_unlock = device.last_status is Status.NOT_NOW
    if device.polls_after_unlock and device.not_now_while_locked and not device.locked:
        device.polls_after_unlock = False
        return Outcome.POLL
    return Outcome.DONE


def _unheard(device: Device) -> Outcome:
    """Nobody heard the last report. A device that erases itself does so all the same."""
    if device.after_delivery is AfterDelivery.ERASE:
        device.erase()
        device.note("erased")
        return Outcome.GONE
    return Outcome.RETRY


def _deliver(device: Device, body: bytes) -> Flow[HttpResponse]:
    script = device.script
    is_report = device.last_status is not Status.IDLE
    if not device.online or device.enrollment is None:
        raise _Broken("offline")
    if is_report and script.take("lose_reports"):
        raise _Broken("report lost")
    request = mdm_request(device, device.enrollment.facts.server_url, body, content_type=CONNECT)
    reply = yield from fetch(request)
    if is_report and script.take("repeat_reports"):
        reply = yield from fetch(request)
    if is_report and script.take("lose_responses"):
        raise _Broken("response lost")
    return reply


def _execute(device: Device, body: bytes, *, now: datetime) -> Flow[bytes | None]:
    """The report on one command; None when the answer was no command at all, which ends the session."""
    try:
        command_uuid, command = parse_command(body)
    except ProtocolError:
        return _malformed(device, body)
    answer: Answer | Installation = commands.answer(device, command)
    if isinstance(answer, Installation):
        answer = yield from enrollment.install(device, answer.profile, now=now)
    device.note(command.request_type, _summary(answer))
    device.after_delivery = answer.after
    return device.report(command_uuid, answer.status, answer.keys)


def _malformed(device: Device, body: bytes) -> bytes | None:
    try:
        command_uuid = plist.loads_dict(body).get("CommandUUID")
    except ProtocolError:
        command_uuid = None
    if not isinstance(command_uuid, str):
        device.note("answer is no command")
        return None
    device.note("malformed command", Status.COMMAND_FORMAT_ERROR.value)
    return device.report(command_uuid, Status.COMMAND_FORMAT_ERROR)


def _summary(answer: Answer) -> str:
    chain = answer.keys.get("ErrorChain")
    return f"{answer.status.value} {chain[0]['ErrorCode']}" if chain else answer.status.value


def _leave(device: Device, what: AfterDelivery) -> Flow[None]:
    device.after_delivery = None
    if what is AfterDelivery.REMOVE_MANAGEMENT:
        yield from enrollment.check_out(device)
        return
    device.erase()
    device.note("erased")
