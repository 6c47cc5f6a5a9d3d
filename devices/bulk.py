"""One command to many devices, as an operation: written down first, then sent device by device.

Each device has a transaction of its own, so that a crash sends nothing twice and loses nothing: what still waits is
found by the sweep. What the devices answer is `endpoint`'s; the page with the progress bar is `operations.admin`'s.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import QuerySet

from devices import sending
from devices.acts import channels, full_name, origin
from devices.errors import CommandRefused
from devices.models import BulkCommand, Device, Enrollment
from operations import audit
from operations.audit import Actor
from operations.background import start_on_commit
from operations.models import Operation, OperationItem
from protocol.plist import PlistValue, dumps, loads_dict

# Apple's keys for the values a confirmation page asks for.
KEYS = {"message": "Message", "phone_number": "PhoneNumber", "pin": "PIN"}
SECRET_KEYS = frozenset({"PIN"})
# So many are done before the page answers; more are a background job.
INLINE = 50
CHUNK = 100
# Longer than a chunk takes: whoever was at work is no more.
ABANDONED_AFTER = timedelta(minutes=1)
_KIND = "command."

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Order:
    """What is sent to each device of an operation, and in whose name."""

    request_type: str
    reason: str
    actor: Actor
    params: Mapping[str, PlistValue] = field(repr=False)


def start(
    devices: QuerySet[Device], request_type: str, *, values: Mapping[str, Any], reason: str, actor: Actor, now: datetime
) -> Operation:
    """Send a command to each of the devices; the operation tells how far that is.

    At most 50 devices are done on return, more by a background job. `values` are named as in `KEYS`; empty ones are
    left out.
    """
    from devices import tasks  # the tasks import this module

    params = {KEYS[name]: value for name, value in values.items() if value}
    with transaction.atomic():
        items = {device.pk: full_name(device) for device in devices.only("name", "serial_number", "udid")}
        operation = Operation.objects.begin(
            f"{_KIND}{request_type}", title=f"{request_type}: {reason}", items=items, actor=actor, now=now
        )
        BulkCommand.objects.create(
            operation=operation,
            request_type=request_type,
            params=dumps(params) if params else b"",
            reason=reason,
            actor_id=actor.pk if actor is not None else None,
        )
        if len(items) > INLINE:
            start_on_commit(tasks.run_bulk, operation.pk)
    if len(items) <= INLINE:
        run(operation.pk, now)
        operation.refresh_from_db()
    return operation


def run(operation_pk: int, now: datetime) -> bool:
    """Send the next 100 commands of an operation; whether some still wait. Safe to repeat, and at the same time."""
    operation = Operation.objects.unfinished().filter(pk=operation_pk).first()
    if operation is None:
        return False
    order = _order(operation)
    chunk = list(operation.items.waiting()[:CHUNK])
    devices = Device.objects.filter(pk__in=[item.subject_id for item in chunk])
    reached = {enrollment.device_id: enrollment for enrollment in channels(devices)}
    for item in chunk:
        _settle(item, order, enrollment=reached.get(item.subject_id), now=now)
    with transaction.atomic():
        operation.tally(now)
        if operation.finished_at is not None:
            BulkCommand.objects.filter(operation=operation).update(params=b"")
    return operation.finished_at is None


def abandoned(now: datetime) -> list[int]:
    """Unfinished operations of this kind at which nobody is at work."""
    left = Operation.objects.unfinished().quiet(now - ABANDONED_AFTER).filter(kind__startswith=_KIND)
    return list(left.order_by("pk").values_list("pk", flat=True))


def _order(operation: Operation) -> _Order | None:
    """What to send; None when the account that ordered it was deleted."""
    command = BulkCommand.objects.select_related("actor").filter(operation=operation).first()
    if command is None:
        return None
    params = loads_dict(bytes(command.params)) if command.params else {}
    return _Order(command.request_type, command.reason, command.actor, params)


def _settle(item: OperationItem, order: _Order | None, *, enrollment: Enrollment | None, now: datetime) -> None:
    """Send one command or say why not, once: claim, command and audit event are one transaction."""
    with transaction.atomic():
        if not item.claim():
            return
        if order is None:
            item.fail("Not sent: the account that ordered it was deleted.")
        elif enrollment is None:
            item.fail("The device is not enrolled.")
        else:
            try:
                _send(enrollment, order, now)
            except CommandRefused as error:
                item.fail(error.reason)
            except (OperationalError, InterfaceError):
                # The database is the trouble, not the device: the item keeps waiting.
                raise
            except Exception as error:
                log.exception("bulk: operation %s, device %s", item.operation_id, item.subject_id)
                item.fail(f"The portal failed ({type(error).__name__}); its log says more.")


@transaction.atomic
def _send(enrollment: Enrollment, order: _Order, now: datetime) -> None:
    command = sending.send(
        enrollment, order.request_type, order.params, origin=origin(order.actor, order.reason), now=now
    )
    shown = {key: "(kept secret)" if key in SECRET_KEYS else value for key, value in order.params.items()}
    audit.record(
        order.actor,
        f"command.{order.request_type}",
        subject=enrollment.device,
        now=now,
        reason=order.reason,
        details={"uuid": command.uuid, **shown},
    )
