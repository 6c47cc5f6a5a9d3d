"""Putting commands into the queue, and taking them out again; set-based, whatever the number of devices.

Handing commands out and closing them is `devices.queue`. Only enrolled channels get commands: nothing may wait for
one that has ended. What humans send goes through `devices.sending`, which refuses what a device cannot take.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from devices.models import OPEN_BELOW, Command, CommandState, Enrollment
from devices.push import push_soon
from protocol.plist import PlistValue, dumps, loads_dict

DEFAULT_PRIORITY = 100
# Two of these on one device are two PINs, of which only one opens it.
ONE_AT_A_TIME = frozenset({"EraseDevice", "DeviceLock"})
_BATCH = 500


def new_uuid() -> str:
    """A CommandUUID, in upper case as Apple writes them."""
    return str(uuid.uuid4()).upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSpec:
    """One command to be queued. `params` are small property list values that refer to content.

    `uuid` is known beforehand, so that a ladder row can name its command in the same transaction. Lower priorities
    go first; `not_before` and `expires_at` are aware UTC.
    """

    enrollment_id: int
    request_type: str
    origin: str
    params: Mapping[str, PlistValue] = field(default_factory=dict, repr=False)
    priority: int = DEFAULT_PRIORITY
    not_before: datetime | None = None
    expires_at: datetime | None = None
    uuid: str = field(default_factory=new_uuid)


def enqueue(specs: Sequence[CommandSpec], now: datetime, *, wake: bool = True) -> list[Command]:
    """Queue commands and push their devices on commit; a fixed number of statements per 500.

    Without `wake` a device gets them when it connects for another reason. Left out, so look at the `uuid` of what is returned: specs for channels that are not enrolled, and a second open
    EraseDevice or DeviceLock.
    """
    queued: list[Command] = []
    with transaction.atomic():
        for start in range(0, len(specs), _BATCH):
            queued += _enqueue_batch(specs[start : start + _BATCH], now, wake=wake)
    return queued


def enqueue_each(
    enrollment_ids: Sequence[int],
    request_type: str,
    *,
    origin: str,
    now: datetime,
    params: Mapping[str, PlistValue] | None = None,
    priority: int = DEFAULT_PRIORITY,
    not_before: datetime | None = None,
    expires_at: datetime | None = None,
) -> list[Command]:
    """Queue the same command for many enrollments."""
    specs = [
        CommandSpec(
            enrollment_id=pk,
            request_type=request_type,
            origin=origin,
            params=params or {},
            priority=priority,
            not_before=not_before,
            expires_at=expires_at,
        )
        for pk in enrollment_ids
    ]
    return enqueue(specs, now)


def enqueue_once(
    enrollment_ids: Sequence[int],
    request_type: str,
    *,
    origin: str,
    now: datetime,
    params: Mapping[str, PlistValue] | None = None,
    priority: int = DEFAULT_PRIORITY,
    expires_at: datetime | None = None,
) -> list[Command]:
    """Queue a command for those that have none of this request type open, such as an inventory poll."""
    with transaction.atomic():
        _lock_enrolled(enrollment_ids)
        asked = {pk for pk, _ in _holders(enrollment_ids, [request_type])}
        wanted = [pk for pk in dict.fromkeys(enrollment_ids) if pk not in asked]
        return enqueue_each(
            wanted,
            request_type,
            origin=origin,
            now=now,
            params=params,
            priority=priority,
            expires_at=expires_at,
        )


def cancel(commands: QuerySet[Command], *, now: datetime, reason: str) -> int:
    """Cancel those of the commands that are still open; how many. A late answer then changes nothing."""
    why = [{"code": 0, "domain": "portal", "description": reason}]
    return commands.filter(state__lt=OPEN_BELOW).update(state=CommandState.CANCELLED, completed_at=now, error_chain=why)


def params_of(command: Command) -> dict[str, PlistValue]:
    """The parameters of a stored command."""
    return loads_dict(bytes(command.params)) if command.params else {}


def _enqueue_batch(specs: Sequence[CommandSpec], now: datetime, *, wake: bool) -> list[Command]:
    enrolled = _lock_enrolled([spec.enrollment_id for spec in specs])
    taken = _open_alone(specs)
    commands = []
    for spec in specs:
        alone = (spec.enrollment_id, spec.request_type)
        if spec.enrollment_id not in enrolled or alone in taken:
            continue
        if spec.request_type in ONE_AT_A_TIME:
            taken.add(alone)
        commands.append(_command(spec, now))
    Command.objects.bulk_create(commands, batch_size=_BATCH)
    if wake:
        push_soon(sorted({command.enrollment_id for command in commands}), now)
    return commands


def _command(spec: CommandSpec, now: datetime) -> Command:
    return Command(
        uuid=spec.uuid,
        enrollment_id=spec.enrollment_id,
        request_type=spec.request_type,
        params=dumps(dict(spec.params)) if spec.params else b"",
        priority=spec.priority,
        not_before=spec.not_before,
        expires_at=spec.expires_at,
        created_at=now,
        origin=spec.origin[:255],
    )


def _lock_enrolled(enrollment_ids: Collection[int]) -> set[int]:
    """Which of them are enrolled. The locks, taken in order, close the race with an enrollment that ends meanwhile."""
    rows = Enrollment.objects.enrolled().filter(pk__in=set(enrollment_ids)).order_by("pk")
    return set(rows.select_for_update(no_key=True).values_list("pk", flat=True))


def _open_alone(specs: Sequence[CommandSpec]) -> set[tuple[int, str]]:
    """Which (enrollment, request type) already hold a command that must be the only one."""
    alone = [spec.enrollment_id for spec in specs if spec.request_type in ONE_AT_A_TIME]
    if not alone:
        return set()
    return _holders(alone, ONE_AT_A_TIME)


def _holders(enrollment_ids: Collection[int], request_types: Collection[str]) -> set[tuple[int, str]]:
    rows = Command.objects.open().filter(enrollment__in=set(enrollment_ids), request_type__in=request_types)
    return set(rows.order_by().values_list("enrollment_id", "request_type"))
