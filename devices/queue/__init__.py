"""The command queue as a device sees it: one contract, one SQL text per database (architecture section 5).

It takes its connection and the time as arguments, renders nothing and handles no results. Whoever queues commands
uses `devices.commands`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from devices.models import CommandState
from devices.queue import contract, postgresql, sqlite
from devices.queue.contract import Dialect, Offer, Outcome
from protocol.reports import Status

__all__ = ["Offer", "Outcome", "fail_unrenderable", "next_offer", "report"]

_DIALECTS: dict[str, Dialect] = {"postgresql": postgresql, "sqlite": sqlite}


def report(
    connection: BaseDatabaseWrapper,
    *,
    fingerprint: bytes,
    enrollment_id: str,
    parent_id: str | None,
    status: Status | None,
    command_uuid: str | None,
    raw: bytes,
    error_chain: Sequence[Any],
    now: datetime,
) -> Outcome:
    """Take one report and pick what to hand out next.

    `fingerprint` is the SHA-256 of the identity certificate's DER, `enrollment_id` and `parent_id` are as
    `protocol.identity` normalised them, `raw` is the answer already encrypted (`certificates.encryption.encrypt`).
    Closes the command only when it is open and belongs to this channel; an unknown status (None) closes nothing.
    NotNow leaves it open; what was put off is offered again on Idle only. Database errors pass through.
    """
    facts = contract.facts(
        fingerprint=fingerprint,
        enrollment_id=enrollment_id,
        parent_id=parent_id,
        status=status,
        command_uuid=command_uuid,
        raw=raw,
        error_chain=error_chain,
        now=now,
    )
    return contract.NOBODY if facts is None else _DIALECTS[connection.vendor].report(connection, facts)


def next_offer(
    connection: BaseDatabaseWrapper, *, enrollment_pk: int, skip_not_now: bool, now: datetime
) -> Offer | None:
    """Pick and mark the next command of an enrolled channel, as `report` does; None when nothing may be offered."""
    return _DIALECTS[connection.vendor].next_offer(connection, enrollment_pk, skip_not_now=skip_not_now, now=now)


def fail_unrenderable(connection: BaseDatabaseWrapper, command_id: int, *, reason: str, now: datetime) -> bool:
    """Close a command that cannot be rendered, so that it never stops a device; False when it was closed already."""
    cause = {"code": 0, "domain": "portal", "description": reason, "localized": None}
    text = """
        UPDATE devices_command SET state = %(state)s, completed_at = %(now)s, error_chain = {chain}
        WHERE id = %(command_id)s AND state < 3"""
    chain = "%(error_chain)s::jsonb" if connection.vendor == "postgresql" else "%(error_chain)s"
    values = {
        "state": CommandState.UNRENDERABLE.value,
        "now": connection.ops.adapt_datetimefield_value(now),
        "error_chain": contract.chain_json([cause]),
        "command_id": command_id,
    }
    with connection.cursor() as cursor:
        cursor.execute(text.replace("{chain}", chain), values)
        return bool(cursor.rowcount)
