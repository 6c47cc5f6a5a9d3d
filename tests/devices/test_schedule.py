"""When a device is asked again."""

from datetime import datetime, timedelta

import pytest

from devices.schedule import PollIntervals, deadline, from_settings, next_poll

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
INTERVALS = PollIntervals(
    fast_interval=5 * MINUTE,
    fast_period=70 * MINUTE,
    hourly_interval=HOUR,
    hourly_period=DAY,
    daily_interval=DAY,
    deadline=14 * DAY,
    proved_interval=4 * HOUR,
)


@pytest.mark.parametrize(
    ("waited", "wait"),
    [
        (timedelta(0), 5 * MINUTE),
        (69 * MINUTE, 5 * MINUTE),
        (70 * MINUTE, HOUR),
        (70 * MINUTE + 23 * HOUR, HOUR),
        (70 * MINUTE + DAY, DAY),
        (30 * DAY, DAY),
    ],
)
def test_questions_get_rarer_the_longer_a_device_waits(now: datetime, waited: timedelta, wait: timedelta) -> None:
    assert next_poll(now - waited, now=now, proved=False, intervals=INTERVALS) == now + wait


def test_a_device_that_has_proved_it_is_asked_at_its_own_pace(now: datetime) -> None:
    assert next_poll(now - 30 * DAY, now=now, proved=True, intervals=INTERVALS) == now + 4 * HOUR


def test_a_wait_that_has_not_begun_counts_from_now(now: datetime) -> None:
    for since in (None, now + DAY):
        assert next_poll(since, now=now, proved=False, intervals=INTERVALS) == now + 5 * MINUTE


def test_the_deadline_counts_from_the_wait(now: datetime) -> None:
    assert deadline(now, INTERVALS) == now + 14 * DAY


def test_the_settings_say_five_minutes_for_seventy_then_hourly_then_daily() -> None:
    assert from_settings() == INTERVALS
