"""The queue's contract; the same tests run on SQLite and on PostgreSQL (DATABASE_URL)."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from certificates.encryption import encrypt
from devices import queue
from devices.models import Command, CommandState
from devices.queue import Offer, Outcome
from protocol.reports import ErrorChainItem, Status
from tests.devices.queue_rows import answered, enrolled, queued, user_channel

pytestmark = pytest.mark.django_db
RAW = b"<plist/>"
LATER = timedelta(minutes=5)


def tell(
    fingerprint: bytes,
    enrollment_id: str,
    status: Status | None,
    *,
    now: datetime,
    uuid: str | None = None,
    parent: str | None = None,
    chain: list[Any] | None = None,
) -> Outcome:
    return queue.report(
        connection,
        fingerprint=fingerprint,
        enrollment_id=enrollment_id,
        parent_id=parent,
        status=status,
        command_uuid=uuid,
        raw=encrypt(RAW),
        error_chain=chain or [],
        now=now,
    )


def offered(outcome: Outcome) -> str | None:
    return outcome.offer.uuid if outcome.offer else None


def test_an_idle_device_with_nothing_open_is_known_and_gets_nothing(now: datetime) -> None:
    enrollment, fingerprint = enrolled(now)
    outcome = tell(fingerprint, enrollment.enrollment_id, Status.IDLE, now=now)
    assert outcome == Outcome(enrollment.pk, True, "enrolled", None, "", False, None)


def test_an_unknown_certificate_is_nobody_and_changes_nothing(now: datetime) -> None:
    enrollment, _ = enrolled(now)
    command = queued(enrollment, now)
    outcome = tell(b"\1" * 32, enrollment.enrollment_id, Status.ACKNOWLEDGED, uuid=command.uuid, now=now)
    assert (outcome.enrollment_id, outcome.channel_known, outcome.offer) == (None, False, None)
    command.refresh_from_db()
    assert command.state == CommandState.QUEUED


def test_a_certificate_that_names_another_device_is_told_apart_and_changes_nothing(now: datetime) -> None:
    mine, fingerprint = enrolled(now)
    theirs, _ = enrolled(now)
    command = queued(theirs, now)
    outcome = tell(fingerprint, theirs.enrollment_id, Status.ACKNOWLEDGED, uuid=command.uuid, now=now)
    assert (outcome.enrollment_id, outcome.channel_known, outcome.matched, outcome.offer) == (
        mine.pk,
        False,
        False,
        None,
    )
    command.refresh_from_db()
    assert command.state == CommandState.QUEUED


@pytest.mark.parametrize("text", ["", "A\0B", "\ud800", "X" * 401])
def test_an_id_that_no_column_holds_is_nobody(now: datetime, text: str) -> None:
    _, fingerprint = enrolled(now)
    assert not tell(fingerprint, text, Status.IDLE, now=now).channel_known
    assert not tell(fingerprint, "A", Status.IDLE, parent=text, now=now).channel_known


def test_the_first_offer_marks_the_command_sent_once(now: datetime) -> None:
    enrollment, fingerprint = enrolled(now)
    command = queued(enrollment, now, params=b"secret parameters", request_type="SecurityInfo")
    outcome = tell(fingerprint, enrollment.enrollment_id, Status.IDLE, now=now)
    stored = Command.objects.get()
    assert isinstance(outcome.offer, Offer)
    assert (outcome.offer.command_id, outcome.offer.uuid) == (command.pk, command.uuid)
    assert outcome.offer.request_type == "SecurityInfo"
    assert outcome.offer.params.startswith(b"gAAAA")
    assert (stored.state, stored.attempts, stored.sent_at) == (CommandState.SENT, 1, now)


def test_a_command_handed_out_again_keeps_its_first_moment(now: datetime) -> None:
    enrollment, fingerprint = enrolled(now)
    queued(enrollment, now)
    tell(fingerprint, enrollment.enrollment_id, Status.IDLE, now=now)
    tell(fingerprint, enrollment.enrollment_id, Status.IDLE, now=now + LATER)
    stored = Command.objects.get()
    assert (stored.state, stored.attempts, stored.sent_at) == (CommandState.SENT, 2, now)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (Status.ACKNOWLEDGED, CommandState.ACKNOWLEDGED),
        (Status.ERROR, CommandState.ERROR),
        (Status.COMMAND_FORMAT_ERROR, CommandState.FORMAT_ERROR),
    ],
)
def test_an_answer_closes_its_command_and_gets_the_next_one(now: datetime, status: Status, state: CommandState) -> None:
    enrollment, fingerprint = enrolled(now)
    first, second = queued(enrollment, now), queued(enrollment, now)
    tell(fingerprint, enrollment.enrollment_id, Status.IDLE, now=now)
    chain = [ErrorChainItem(12021, "MCMDMErrorDomain", "Invalid request", None)]
    outcome = tell(fingerprint, enrollment.enrollment_id, status, uuid=first.uuid, chain=chain, now=now + LATER)
    assert (outcome.closed_command_id, outcome.closed_request_type) == (first.pk, "DeviceInformation")
    assert outcome.matched
    assert offered(outcome) == second.uuid
    first.refresh_from_db()
    assert (first.state, first.completed_at, first.handled_at) == (state, now + LATER, None)
    assert first.result == RAW
    assert first.error_chain == [
        {"code": 12021, "domain": "MCMDMErrorDomain", "description": "Invalid request", "localized": None}
    ]


def test_the_answered_command_is_not_offered_again_in_the_same_statement(now: datetime) -> None:
    enrollment, fingerprint = enrolled(now)
    command = queued(enrollment, now)
    outcome = tell(fingerprint, enrollment.enrollment_id, Status.ACKNOWLEDGED, uuid=command.uuid, now=now)
    assert outcome.matched
    assert outcome.offer is None
    command.refresh_from_db()
    assert (command.state, command.attempts) == (CommandState.ACKNOWLEDGED, 0)


def test_a_second_answer_changes_nothing_and_still_gets_the_next_command(now: datetime) -> None:
    enrollment, fingerprint = enrolled(now)
    first, second = queued(enrollment, now), queued(enrollment, now)
    tell(fingerprint, enrollment.enrollment_id, Status.ACKNOWLEDGED, uuid=first.uuid, now=now)
    outcome = tell(fingerprint, enrollment.enrollment_id, Status.ERROR, uuid=first.uuid, now=now + LATER)
    assert (outcome.matched, outcome.closed_command_id, offered(outcome)) == (False, None, second.uuid)
    first.refresh_from_db()
    assert (first.state, first.completed_at) == (CommandState.ACKNOWLEDGED, now)


def test_a_report_for_another_devices_command_changes_nothing_and_still_gets_its_own(now: datetime) -> None:
    mine, fingerprint = enrolled(now)
    theirs, _ = enrolled(now)
    own, foreign = queued(mine, now), queued(theirs, now)
    outcome = tell(fingerprint, mine.enrollment_id, Status.ACKNOWLEDGED, uuid=foreign.uuid, now=now)
    assert (outcome.matched, outcome.channel_known, offered(outcome)) == (False, True, own.uuid)
    foreign.refresh_from_db()
    assert foreign.state == CommandState.QUEUED


@pytest.mark.parametrize("uuid", ["nobody's", "", "A\0B", "\ud800", "X" * 5000])
def test_an_answer_with_an_odd_uuid_matches_nothing_and_gets_the_next_command(now: datetime, uuid: str) -> None:
    enrollment, fingerprint = enrolled(now)
    command = queued(enrollment, now)
    outcome = tell(fingerprint, enrollment.enrollment_id, Status.ACKNOWLEDGED, uuid=uuid, now=now)
    assert (outcome.matched, offered(outcome)) == (False, command.uuid)


def test_an_undocumented_status_closes_nothing(now: datetime) -> None:
    enrollment, fingerprint = enrolled(now)
    first, second = queued(enrollment, now), queued(enrollment, now)
    outcome = tell(fingerprint, enrollment.enrollment_id, None, uuid=first.uuid, now=now)
    assert (outcome.matched, outcome.closed_command_id, offered(outcome)) == (False, None, second.uuid)
    first.refresh_from_db()
    assert first.state == CommandState.QUEUED


def test_a_command_put_off_waits_for_the_next_idle_and_counts_its_age_anew(now: datetime) -> None:
    enrollment, fingerprint = enrolled(now)
    first, second = queued(enrollment, now), queued(enrollment, now)
    tell(fingerprint, enrollment.enrollment_id, Status.IDLE, now=now)
    outcome = tell(fingerprint, enrollment.enrollment_id, Status.NOT_NOW, uuid=first.uuid, now=now + LATER)
    assert (outcome.matched, outcome.closed_command_id, offered(outcome)) == (True, None, second.uuid)
    first.refresh_from_db()
    assert (first.state, first.sent_at, first.not_now_at) == (CommandState.NOT_NOW, None, now + LATER)
    assert (first.result, first.completed_at) == (None, None)
    outcome = tell(fingerprint, enrollment.enrollment_id, Status.ACKNOWLEDGED, uuid=second.uuid, now=now + LATER)
    assert outcome.offer is None
    again = now + 2 * LATER
    assert offered(tell(fingerprint, enrollment.enrollment_id, Status.IDLE, now=again)) == first.uuid
    first.refresh_from_db()
    assert (first.state, first.sent_at, first.attempts) == (CommandState.SENT, again, 2)


def test_a_late_not_now_does_not_open_a_closed_command(now: datetime) -> None:
    enrollment, fingerprint = enrolled(now)
    command = queued(enrollment, now, state=CommandState.CANCELLED)
    outcome = tell(fingerprint, enrollment.enrollment_id, Status.NOT_NOW, uuid=command.uuid, now=now)
    command.refresh_from_db()
    assert (outcome.matched, command.state) == (False, CommandState.CANCELLED)


def test_commands_come_by_priority_and_then_in_order(now: datetime) -> None:
    enrollment, fingerprint = enrolled(now)
    late, early, urgent = (queued(enrollment, now, priority=p) for p in (200, 100, 10))
    order, last = [], None
    while True:
        status = Status.ACKNOWLEDGED if last else Status.IDLE
        last = offered(tell(fingerprint, enrollment.enrollment_id, status, uuid=last, now=now))
        if last is None:
            break
        order.append(last)
    assert order == [urgent.uuid, early.uuid, late.uuid]


def test_commands_before_their_time_and_after_their_end_are_not_offered(now: datetime) -> None:
    enrollment, fingerprint = enrolled(now)
    later = queued(enrollment, now, not_before=now + LATER)
    queued(enrollment, now, expires_at=now)
    assert tell(fingerprint, enrollment.enrollment_id, Status.IDLE, now=now).offer is None
    assert offered(tell(fingerprint, enrollment.enrollment_id, Status.IDLE, now=now + LATER)) == later.uuid


@pytest.mark.parametrize("state", ["pending", "archived", "checked_out"])
def test_an_enrollment_that_is_not_enrolled_gets_no_commands(now: datetime, state: str) -> None:
    enrollment, fingerprint = enrolled(now, state=state)
    queued(enrollment, now)
    outcome = tell(fingerprint, enrollment.enrollment_id, Status.IDLE, now=now)
    assert (outcome.enrollment_id, outcome.state, outcome.offer) == (enrollment.pk, state, None)
    assert queue.next_offer(connection, enrollment_pk=enrollment.pk, skip_not_now=False, now=now) is None


def test_a_user_channel_has_its_own_queue(now: datetime) -> None:
    parent, fingerprint = enrolled(now)
    user = user_channel(parent, now)
    mine, devices = queued(user, now), queued(parent, now)
    outcome = tell(fingerprint, user.enrollment_id, Status.IDLE, parent=parent.enrollment_id, now=now)
    assert (outcome.enrollment_id, offered(outcome)) == (user.pk, mine.uuid)
    outcome = tell(
        fingerprint, user.enrollment_id, Status.ACKNOWLEDGED, uuid=mine.uuid, parent=parent.enrollment_id, now=now
    )
    assert (outcome.closed_command_id, outcome.offer) == (mine.pk, None)
    assert offered(tell(fingerprint, parent.enrollment_id, Status.IDLE, now=now)) == devices.uuid


def test_a_user_channel_below_another_device_is_not_known(now: datetime) -> None:
    parent, _ = enrolled(now)
    stranger, fingerprint = enrolled(now)
    user = user_channel(parent, now)
    for named in (parent.enrollment_id, stranger.enrollment_id):
        outcome = tell(fingerprint, user.enrollment_id, Status.IDLE, parent=named, now=now)
        assert (outcome.enrollment_id, outcome.channel_known) == (stranger.pk, False)


def test_a_user_channel_is_silent_once_its_device_has_left(now: datetime) -> None:
    parent, fingerprint = enrolled(now, state="checked_out")
    user = user_channel(parent, now)
    queued(user, now)
    outcome = tell(fingerprint, user.enrollment_id, Status.IDLE, parent=parent.enrollment_id, now=now)
    assert (outcome.state, outcome.offer) == ("checked_out", None)
    assert queue.next_offer(connection, enrollment_pk=user.pk, skip_not_now=False, now=now) is None


def test_an_archived_user_channel_does_not_hide_the_enrolled_one(now: datetime) -> None:
    parent, fingerprint = enrolled(now)
    user = user_channel(parent, now)
    user_channel(parent, now, state="archived")
    outcome = tell(fingerprint, user.enrollment_id, Status.IDLE, parent=parent.enrollment_id, now=now)
    assert (outcome.enrollment_id, outcome.state) == (user.pk, "enrolled")


def test_text_that_no_database_takes_is_mended_in_the_error_chain(now: datetime) -> None:
    enrollment, fingerprint = enrolled(now)
    command = queued(enrollment, now)
    chain = [{"code": 2**70, "domain": "a\0b", "description": "\ud800"}]
    tell(fingerprint, enrollment.enrollment_id, Status.ERROR, uuid=command.uuid, chain=chain, now=now)
    command.refresh_from_db()
    assert command.error_chain == [{"code": 2**70, "domain": "a\ufffdb", "description": "?"}]


def test_the_next_offer_can_be_asked_for_without_a_report(now: datetime) -> None:
    enrollment, _ = enrolled(now)
    put_off = queued(enrollment, now, state=CommandState.NOT_NOW)
    assert queue.next_offer(connection, enrollment_pk=enrollment.pk, skip_not_now=True, now=now) is None
    offer = queue.next_offer(connection, enrollment_pk=enrollment.pk, skip_not_now=False, now=now)
    assert offer is not None
    assert offer.uuid == put_off.uuid


def test_a_command_that_cannot_be_rendered_is_closed_once_with_its_reason(now: datetime) -> None:
    enrollment, fingerprint = enrolled(now)
    command, second = queued(enrollment, now), queued(enrollment, now)
    assert queue.fail_unrenderable(connection, command.pk, reason="the profile is gone", now=now)
    assert not queue.fail_unrenderable(connection, command.pk, reason="again", now=now)
    command.refresh_from_db()
    assert (command.state, command.completed_at) == (CommandState.UNRENDERABLE, now)
    assert command.error_chain[0]["description"] == "the profile is gone"
    assert offered(tell(fingerprint, enrollment.enrollment_id, Status.IDLE, now=now)) == second.uuid


def test_secrets_are_not_in_the_repr_of_an_offer(now: datetime) -> None:
    assert "gAAAA" not in repr(Offer(1, "U", "DeviceLock", b"gAAAA"))


@pytest.mark.parametrize("history", [0, 10_000])
def test_a_connect_costs_a_fixed_number_of_statements(now: datetime, history: int) -> None:
    enrollment, fingerprint = enrolled(now)
    answered(enrollment, now, history)
    on_postgresql = connection.vendor == "postgresql"
    connection.ensure_connection()
    with CaptureQueriesContext(
        connection,
    ) as idle:
        tell(fingerprint, enrollment.enrollment_id, Status.IDLE, now=now)
    assert len(idle) == 1
    first, second = queued(enrollment, now), queued(enrollment, now)
    with CaptureQueriesContext(connection) as idle_with_work:
        tell(fingerprint, enrollment.enrollment_id, Status.IDLE, now=now)
    assert len(idle_with_work) == (1 if on_postgresql else 2)
    with CaptureQueriesContext(connection) as answer:
        outcome = tell(fingerprint, enrollment.enrollment_id, Status.ACKNOWLEDGED, uuid=first.uuid, now=now)
    assert offered(outcome) == second.uuid
    assert len(answer) == (1 if on_postgresql else 3)


def test_the_open_commands_are_found_through_the_partial_index(now: datetime) -> None:
    enrollment, fingerprint = enrolled(now)
    answered(enrollment, now, 10_000)
    queued(enrollment, now)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    with CaptureQueriesContext(connection) as captured:
        tell(fingerprint, enrollment.enrollment_id, Status.IDLE, now=now)
    plans = [_plan(query["sql"]) for query in captured.captured_queries]
    assert all("command_open" in plan for plan in plans)
    assert not any("Seq Scan on devices_command" in plan or "SCAN devices_command" in plan for plan in plans)
    assert not any("Sort" in plan or "TEMP B-TREE" in plan for plan in plans)


def _plan(sql: str) -> str:
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("EXPLAIN QUERY PLAN " + sql)
            return "\n".join(str(row[3]) for row in cursor.fetchall())
        cursor.execute("EXPLAIN " + sql)
        return "\n".join(str(row[0]) for row in cursor.fetchall())
