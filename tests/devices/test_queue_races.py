"""Overlapping connects on real threads and real connections, on either database."""

from collections.abc import Callable
from datetime import datetime

import pytest
from django.db import connection

from certificates.encryption import encrypt
from devices import queue
from devices.models import Command, CommandState
from devices.queue import Outcome
from protocol.reports import Status
from tests.devices.queue_rows import enrolled, queued
from tests.devices.racing import at_once

pytestmark = pytest.mark.django_db(transaction=True)
THREADS = 6


def saying(
    fingerprint: bytes, enrollment_id: str, status: Status, *, now: datetime, uuid: str | None = None
) -> Callable[[], Outcome]:
    def act() -> Outcome:
        return queue.report(
            connection,
            fingerprint=fingerprint,
            enrollment_id=enrollment_id,
            parent_id=None,
            status=status,
            command_uuid=uuid,
            raw=encrypt(status.encode()),
            error_chain=[],
            now=now,
        )

    return act


def test_overlapping_connects_close_a_command_to_one_end_only(now: datetime) -> None:
    enrollment, fingerprint = enrolled(now)
    ends = [Status.ACKNOWLEDGED, Status.ERROR, Status.COMMAND_FORMAT_ERROR] * (THREADS // 3)
    for _ in range(5):
        command = queued(enrollment, now)
        acts = [saying(fingerprint, enrollment.enrollment_id, end, uuid=command.uuid, now=now) for end in ends]
        outcomes = at_once(*acts)
        command.refresh_from_db()
        [winner] = [end for end, outcome in zip(ends, outcomes, strict=True) if outcome.matched]
        assert command.result == winner.encode()
        assert CommandState(command.state).name == {"CommandFormatError": "FORMAT_ERROR"}.get(winner, winner.upper())


def test_connects_that_answer_each_others_next_command_do_not_block(now: datetime) -> None:
    enrollment, fingerprint = enrolled(now)
    for _ in range(10):
        commands = [queued(enrollment, now) for _ in range(THREADS)]
        acts = [
            saying(fingerprint, enrollment.enrollment_id, Status.ACKNOWLEDGED, uuid=command.uuid, now=now)
            for command in commands
        ]
        assert all(outcome.matched for outcome in at_once(*acts))
    assert not Command.objects.open().exists()


def test_overlapping_idles_never_lose_a_command(now: datetime) -> None:
    enrollment, fingerprint = enrolled(now)
    command = queued(enrollment, now)
    idle = saying(fingerprint, enrollment.enrollment_id, Status.IDLE, now=now)
    outcomes = at_once(*[idle] * THREADS)
    offers = [outcome.offer.uuid for outcome in outcomes if outcome.offer]
    assert set(offers) == {command.uuid}
    stored = Command.objects.get()
    assert (stored.state, stored.attempts, stored.sent_at) == (CommandState.SENT, len(offers), now)
