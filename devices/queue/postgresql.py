"""The queue in PostgreSQL: one statement for a report with its next command, nothing written when nothing is open.

The statement changes rows in its WITH parts. All of them see the snapshot from before it, so the part that picks
the next command still sees the answered one as open and must leave it out by its UUID.
"""

from datetime import datetime
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from devices.queue.contract import CLOSING, Found, Offer, Outcome, ReportFacts

_DEVICE = """
WITH device AS MATERIALIZED (
    SELECT e.id, e.enrollment_id, e.state
    FROM devices_identity i JOIN devices_enrollment e ON e.id = i.enrollment_id
    WHERE i.sha256 = %(fingerprint)s
)"""
_DEVICE_CHANNEL = """, channel AS MATERIALIZED (
    SELECT d.id, d.state FROM device d WHERE d.enrollment_id = %(enrollment_id)s
)"""
_USER_CHANNEL = """, channel AS MATERIALIZED (
    SELECT u.id, CASE WHEN d.state = 'enrolled' THEN u.state ELSE d.state END AS state
    FROM device d JOIN devices_enrollment u ON u.parent_id = d.id AND u.enrollment_id = %(enrollment_id)s
    WHERE d.enrollment_id = %(parent_id)s
    ORDER BY (u.state = 'enrolled') DESC, u.id DESC LIMIT 1
)"""
# The row lock of the UPDATE and its `state < 3` close the race of two connects that end one command.
_CLOSED = """, changed AS (
    UPDATE devices_command c
    SET state = %(state)s, completed_at = %(now)s, result = %(raw)s, error_chain = %(error_chain)s::jsonb
    WHERE c.uuid = %(uuid)s AND c.enrollment_id = (SELECT id FROM channel) AND c.state < 3
    RETURNING c.id, c.request_type
)"""
_PUT_OFF = """, changed AS (
    UPDATE devices_command c
    SET state = 2, not_now_at = %(now)s, sent_at = NULL
    WHERE c.uuid = %(uuid)s AND c.enrollment_id = (SELECT id FROM channel) AND c.state < 3
    RETURNING c.id, c.request_type
)"""
# SKIP LOCKED: a connect never waits for another one or for a bulk cancel. What it passes over is offered next time.
_PICK = """, pick AS (
    SELECT c.id FROM devices_command c
    WHERE c.enrollment_id = (SELECT id FROM channel WHERE state = 'enrolled') AND c.state < 3
      AND (c.not_before IS NULL OR c.not_before <= %(now)s)
      AND (c.expires_at IS NULL OR c.expires_at > %(now)s)
      {more}
    ORDER BY c.priority, c.id LIMIT 1
    FOR NO KEY UPDATE SKIP LOCKED
), sent AS (
    UPDATE devices_command c
    SET state = 1, attempts = c.attempts + 1, sent_at = COALESCE(c.sent_at, %(now)s)
    FROM pick WHERE c.id = pick.id
    RETURNING c.id, c.uuid, c.request_type, c.params
)"""
_SELECT_IDLE = """
SELECT d.id, ch.id, ch.state, NULL, NULL, s.id, s.uuid, s.request_type, s.params
FROM device d LEFT JOIN channel ch ON true LEFT JOIN sent s ON true"""
_SELECT_CHANGED = """
SELECT d.id, ch.id, ch.state, m.id, m.request_type, s.id, s.uuid, s.request_type, s.params
FROM device d LEFT JOIN channel ch ON true LEFT JOIN changed m ON true LEFT JOIN sent s ON true"""
_NEXT = """
WITH channel AS MATERIALIZED (
    SELECT e.id, e.state FROM devices_enrollment e LEFT JOIN devices_enrollment p ON p.id = e.parent_id
    WHERE e.id = %(enrollment_pk)s AND (p.id IS NULL OR p.state = 'enrolled')
)"""
_SELECT_NEXT = "\nSELECT s.id, s.uuid, s.request_type, s.params FROM sent s"

_NOT_PUT_OFF = "AND c.state <> 2"
_NOT_THIS_ONE = "AND c.uuid <> %(uuid)s"
# Makes the change happen before the pick: then a connect only ever waits while it holds no lock of its own.
_AFTER_CHANGE = "AND (SELECT count(*) FROM changed) >= 0"


def statement(facts: ReportFacts) -> str:
    """The text for this kind of report; there are a dozen, each prepared once per connection."""
    channel = _DEVICE_CHANNEL if facts.parent_id is None else _USER_CHANNEL
    change, more, select = "", [], _SELECT_IDLE
    if facts.skip_not_now:
        more.append(_NOT_PUT_OFF)
    if facts.uuid:
        more.append(_NOT_THIS_ONE)
    if facts.changes:
        change, select = _CLOSED if facts.status in CLOSING else _PUT_OFF, _SELECT_CHANGED
        more.append(_AFTER_CHANGE)
    return _DEVICE + channel + change + _PICK.replace("{more}", " ".join(more)) + select


def parameters(facts: ReportFacts) -> dict[str, Any]:
    """The values for `statement(facts)`; those it does not name are ignored."""
    return {
        "fingerprint": facts.fingerprint,
        "enrollment_id": facts.enrollment_id,
        "parent_id": facts.parent_id,
        "uuid": facts.uuid,
        "state": facts.new_state.value,
        "raw": facts.raw,
        "error_chain": facts.error_chain,
        "now": facts.now,
    }


def report(connection: BaseDatabaseWrapper, facts: ReportFacts) -> Outcome:
    """See `devices.queue.report`."""
    with connection.cursor() as cursor:
        cursor.execute(statement(facts), parameters(facts))
        row = cursor.fetchone()
    if row is None:
        return Found().outcome(facts)
    device, channel, state, changed, request_type, *sent = row
    changed_command = None if changed is None else (changed, request_type)
    return Found(device, channel, state or "", changed_command, _offer(sent)).outcome(facts)


def next_offer(
    connection: BaseDatabaseWrapper, enrollment_pk: int, *, skip_not_now: bool, now: datetime
) -> Offer | None:
    """See `devices.queue.next_offer`."""
    text = _NEXT + _PICK.replace("{more}", _NOT_PUT_OFF if skip_not_now else "") + _SELECT_NEXT
    with connection.cursor() as cursor:
        cursor.execute(text, {"enrollment_pk": enrollment_pk, "now": now})
        row = cursor.fetchone()
    return None if row is None else _offer(row)


def _offer(columns: Any) -> Offer | None:
    command_id, uuid, request_type, params = columns
    return None if command_id is None else Offer(command_id, uuid, request_type, bytes(params))
