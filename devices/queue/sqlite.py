"""The queue in SQLite: one read when nothing is open, two or three statements otherwise, each its own transaction.

A lone writing statement takes the write lock at its start and waits for it (busy time-out), as BEGIN IMMEDIATE does.
A crash between closing and offering costs nothing: the device had no answer and comes again.
"""

from datetime import datetime
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from devices.queue.contract import CLOSING, Found, Offer, Outcome, ReportFacts

_IDENTITY = """
FROM devices_identity i JOIN devices_enrollment d ON d.id = i.enrollment_id"""
_OWN = " WHERE i.sha256 = %(fingerprint)s"
_DEVICE_CHANNEL = "CASE WHEN d.enrollment_id = %(enrollment_id)s THEN d.id END"
_USER_CHANNEL = """(
    SELECT u.id FROM devices_enrollment u
    WHERE u.parent_id = d.id AND u.enrollment_id = %(enrollment_id)s AND d.enrollment_id = %(parent_id)s
    ORDER BY (u.state = 'enrolled') DESC, u.id DESC LIMIT 1
)"""
_PICK = """
    SELECT c.id FROM devices_command c
    WHERE c.enrollment_id = {enrollment} AND c.state < 3
      AND (c.not_before IS NULL OR c.not_before <= %(now)s)
      AND (c.expires_at IS NULL OR c.expires_at > %(now)s)
      {more}
    ORDER BY c.priority, c.id LIMIT 1"""
_LOOK = """
SELECT d.id, ch.id, CASE WHEN d.state = 'enrolled' THEN ch.state ELSE d.state END, ({pick}
)""" + _IDENTITY + " LEFT JOIN devices_enrollment ch ON ch.id = {channel}" + _OWN  # fmt: skip
_CLOSE = """
UPDATE devices_command
SET state = %(state)s, completed_at = %(now)s, result = %(raw)s, error_chain = %(error_chain)s"""
_PUT_OFF = """
UPDATE devices_command
SET state = 2, not_now_at = %(now)s, sent_at = NULL"""
# `state < 3` in the one statement closes the race of two connects that end one command.
_IF_OPEN = """
WHERE uuid = %(uuid)s AND state < 3
  AND enrollment_id = (SELECT {channel}""" + _IDENTITY + _OWN + ")\nRETURNING id, request_type"  # fmt: skip
_SEND = """
UPDATE devices_command
SET state = 1, attempts = attempts + 1, sent_at = COALESCE(sent_at, %(now)s)
WHERE id = ({pick}
)
RETURNING id, uuid, request_type, params"""
_LOOK_NEXT = """
SELECT ({pick}
)
FROM devices_enrollment e LEFT JOIN devices_enrollment p ON p.id = e.parent_id
WHERE e.id = %(enrollment_pk)s AND e.state = 'enrolled' AND (p.id IS NULL OR p.state = 'enrolled')"""

_NOT_PUT_OFF = "AND c.state <> 2"
_NOT_THIS_ONE = "AND c.uuid <> %(uuid)s"


def report(connection: BaseDatabaseWrapper, facts: ReportFacts) -> Outcome:
    """See `devices.queue.report`."""
    channel_text = _DEVICE_CHANNEL if facts.parent_id is None else _USER_CHANNEL
    values = _values(connection, facts)
    more = (_NOT_PUT_OFF if facts.skip_not_now else "") + (f" {_NOT_THIS_ONE}" if facts.uuid else "")
    changed: tuple[Any, ...] | None = None
    if facts.changes:
        change = _CLOSE if facts.status in CLOSING else _PUT_OFF
        changed = _row(connection, (change + _IF_OPEN).replace("{channel}", channel_text), values)
    pick = _PICK.replace("{more}", more)
    look = _LOOK.replace("{pick}", pick.replace("{enrollment}", "ch.id")).replace("{channel}", channel_text)
    row = _row(connection, look, values)
    if row is None:
        return Found().outcome(facts)
    device, channel, state, waiting = row
    offer = None
    if waiting is not None and state == "enrolled":
        offer = _send(connection, pick, values={**values, "enrollment_pk": channel})
    return Found(device, channel, state or "", changed, offer).outcome(facts)


def next_offer(
    connection: BaseDatabaseWrapper, enrollment_pk: int, *, skip_not_now: bool, now: datetime
) -> Offer | None:
    """See `devices.queue.next_offer`."""
    pick = _PICK.replace("{more}", _NOT_PUT_OFF if skip_not_now else "")
    values = {"enrollment_pk": enrollment_pk, "now": connection.ops.adapt_datetimefield_value(now)}
    row = _row(connection, _LOOK_NEXT.replace("{pick}", pick.replace("{enrollment}", "e.id")), values)
    return None if row is None or row[0] is None else _send(connection, pick, values=values)


def _send(connection: BaseDatabaseWrapper, pick: str, *, values: dict[str, Any]) -> Offer | None:
    # It picks again: between the look and this statement another connect may have closed what was seen.
    text = _SEND.replace("{pick}", pick.replace("{enrollment}", "%(enrollment_pk)s"))
    row = _row(connection, text, values)
    return None if row is None else Offer(row[0], row[1], row[2], bytes(row[3]))


def _row(connection: BaseDatabaseWrapper, text: str, values: dict[str, Any]) -> tuple[Any, ...] | None:
    with connection.cursor() as cursor:
        cursor.execute(text, values)
        # All rows are fetched: an UPDATE … RETURNING that is not read to its end stays open and keeps the lock.
        rows = cursor.fetchall()
    return tuple(rows[0]) if rows else None


def _values(connection: BaseDatabaseWrapper, facts: ReportFacts) -> dict[str, Any]:
    return {
        "fingerprint": facts.fingerprint,
        "enrollment_id": facts.enrollment_id,
        "parent_id": facts.parent_id,
        "uuid": facts.uuid,
        "state": facts.new_state.value,
        "raw": facts.raw,
        "error_chain": facts.error_chain,
        "now": connection.ops.adapt_datetimefield_value(facts.now),
    }
