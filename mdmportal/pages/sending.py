"""Sending one command from the command line, with its audit event."""

from collections.abc import Mapping
from datetime import datetime

from django.db import transaction

from devices import sending
from devices.models import Command, Enrollment
from operations import audit
from protocol.plist import PlistValue


def send_from_command_line(
    enrollment: Enrollment, request_type: str, *, params: Mapping[str, PlistValue], now: datetime
) -> Command:
    """Queue the command and record who asked; only the names of its keys, for values may be secrets.

    Raises CommandRefused in words for IT staff.
    """
    with transaction.atomic():
        command = sending.send(enrollment, request_type, params, origin="command line", now=now)
        details = {"uuid": command.uuid, "keys": sorted(params)}
        audit.record(None, f"command.{request_type}"[:64], subject=enrollment.device, now=now, details=details)
    return command
