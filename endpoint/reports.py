"""Stored answers taking effect: each in a transaction of its own that sets `handled_at` (architecture section 5).

Called by the connect that brought the answer, or by the worker for what a crash left; twice is harmless.
"""

import logging
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import F, Q

from certificates.encryption import encrypt
from devices import queue, seen
from devices.models import Command, CommandState, EnrollmentState, Identity, UnmatchedReport
from devices.push import push_soon
from endpoint import unmatched
from endpoint.exchange import shown
from endpoint.handlers import handle
from operations.alerts import raise_alert
from protocol.errors import ProtocolError
from protocol.reports import Report, parse_report

log = logging.getLogger(__name__)

# After so many failures an answer is left alone, with an alert: the handler is at fault, and trying costs.
MOST_ATTEMPTS = 10
# Attempts are spaced by this times their number, so that a broken handler does not keep the worker busy.
ATTEMPT_INTERVAL = timedelta(seconds=30)
_ANSWERED = (CommandState.ACKNOWLEDGED, CommandState.ERROR, CommandState.FORMAT_ERROR)


def handle_report(command_pk: int, now: datetime) -> bool:
    """Let one stored answer take effect; False when there is nothing to do or it failed. Never raises."""
    try:
        with transaction.atomic():
            # The lock closes the race of a connect and the sweep for one answer.
            rows = Command.objects.select_for_update(of=("self",), no_key=True).select_related("enrollment")
            command = rows.filter(pk=command_pk, handled_at=None, state__in=_ANSWERED).first()
            if command is None:
                return False
            handle(command, parse_report(bytes(command.result or b"")), now)
            Command.objects.filter(pk=command_pk).update(handled_at=now)
        return True
    except Exception:  # the answer is stored: whatever is wrong, the device has done its part
        log.exception("handler of command %s failed", command_pk)
    _count_failure(command_pk, now)
    return False


def _count_failure(command_pk: int, now: datetime) -> None:
    try:
        Command.objects.filter(pk=command_pk).update(handle_attempts=F("handle_attempts") + 1)
        command = Command.objects.filter(pk=command_pk, handle_attempts__gte=MOST_ATTEMPTS).first()
        if command is None:
            return
        Command.objects.filter(pk=command_pk).update(handled_at=now)
        raise_alert(
            f"endpoint.handler:{command.request_type}",
            f"Answers to {command.request_type} cannot be processed",
            text=f"The answer to command {command.uuid} failed {MOST_ATTEMPTS} times; the log says why.",
            now=now,
        )
    except Exception:  # an outage: the sweep comes again
        log.exception("the failure of command %s could not be noted", command_pk)


def unhandled(now: datetime, *, limit: int) -> list[int]:
    """Answers that nobody handled, oldest first; what failed before waits longer each time."""
    # Chosen in the database, so that a thousand answers that wait for their next attempt hide nothing behind them.
    due = Q()
    for attempts in range(MOST_ATTEMPTS):
        due |= Q(handle_attempts=attempts, completed_at__lte=now - attempts * ATTEMPT_INTERVAL)
    rows = Command.objects.unhandled(now - ATTEMPT_INTERVAL / 3).filter(due).order_by("completed_at")
    return list(rows.values_list("pk", flat=True)[:limit])


def read_large_report(kept_pk: int, now: datetime) -> bool:
    """Read a parked report and take it as a connect would; what it asks for goes out by push. Never raises."""
    kept = UnmatchedReport.objects.select_related("enrollment").filter(pk=kept_pk, reason=unmatched.WAITING).first()
    if kept is None or kept.enrollment is None:
        return False
    try:
        report = parse_report(bytes(kept.raw))
    except ProtocolError as error:
        unmatched.give_up(kept, f"cannot be read: {error}")
        log.warning("large report %s cannot be read: %s", kept_pk, error)
        return False
    channel = kept.enrollment
    identity = Identity.objects.filter(enrollment=channel.parent_id or channel.pk).first()
    if identity is None:
        unmatched.give_up(kept, "large, and its device's certificate is gone")
        return False
    outcome = take(report, bytes(identity.sha256), kept.received_at)
    if outcome.matched:
        kept.delete()
    else:
        unmatched.give_up(kept, "large, and matches no open command")
    if outcome.closed_command_id is not None:
        handle_report(outcome.closed_command_id, now)
    if outcome.enrollment_id is not None:
        push_soon([outcome.enrollment_id], now)
    return True


def take(report: Report, fingerprint: bytes, now: datetime) -> queue.Outcome:
    """Give a report to the queue; one statement on PostgreSQL. Encrypts only what will be stored."""
    has_answer = report.command_uuid is not None and report.status is not None
    outcome = queue.report(
        connection,
        fingerprint=fingerprint,
        enrollment_id=report.identity.enrollment_id,
        parent_id=report.identity.parent_id,
        status=report.status,
        command_uuid=report.command_uuid,
        raw=encrypt(report.raw) if has_answer else b"",
        error_chain=report.error_chain,
        now=now,
    )
    # A pending claim or a former identity says nothing about the device that is enrolled.
    if outcome.enrollment_id is not None and outcome.channel_known and outcome.state == EnrollmentState.ENROLLED:
        seen.note(outcome.enrollment_id, now)
    return outcome


def describe(report: Report) -> str:
    """Why a report matched nothing, for people."""
    if report.status is None:
        return f"unknown Status {shown(report.status_text)}"
    if report.command_uuid is None:
        return f"{report.status.value} without a CommandUUID"
    return f"{report.status.value} for a command that is not open on this device"
