import threading
from datetime import datetime, timedelta

import pytest

from devices import seen
from devices.enrollment import token_update
from devices.models import Device, Enrollment
from tests.devices.enrolling import device, enroll, our_topic, token, user


@pytest.fixture
def enrollment(db: None, now: datetime) -> Enrollment:
    our_topic(now)
    seen.flush()
    return enroll(now)[0].enrollment


def last_seen() -> tuple[datetime | None, datetime | None]:
    return Enrollment.objects.get().last_seen_at, Device.objects.get().last_seen_at


def test_noting_runs_no_statement_and_flushing_writes(
    enrollment: Enrollment,
    now: datetime,
    django_assert_num_queries,  # type: ignore[no-untyped-def]
) -> None:
    with django_assert_num_queries(0):
        seen.note(enrollment.pk, now)
    assert last_seen() == (None, None)
    assert seen.flush() == 1
    assert last_seen() == (now, now)
    assert seen.flush() == 0


def test_last_seen_never_moves_backwards(enrollment: Enrollment, now: datetime) -> None:
    seen.note(enrollment.pk, now)
    seen.note(enrollment.pk, now - timedelta(hours=1))
    seen.flush()
    assert last_seen() == (now, now)
    seen.note(enrollment.pk, now - timedelta(hours=1))
    seen.flush()
    assert last_seen() == (now, now)
    seen.note(enrollment.pk, now + timedelta(hours=1))
    seen.flush()
    assert last_seen() == (now + timedelta(hours=1),) * 2


def test_a_user_channel_is_a_sight_of_its_device(enrollment: Enrollment, now: datetime) -> None:
    _, issued = enroll(now)
    child = token_update(token(user("GUID")), issued, now=now).enrollment
    seen.note(child.pk, now)
    seen.flush()
    child.refresh_from_db()
    assert (child.last_seen_at, Device.objects.get().last_seen_at) == (now, now)
    assert enrollment.last_seen_at is None


def test_a_channel_that_is_gone_stops_nothing(enrollment: Enrollment, now: datetime) -> None:
    seen.note(10**9, now)
    seen.note(enrollment.pk, now)
    seen.flush()
    assert last_seen() == (now, now)


def test_many_devices_of_one_second_are_few_statements(
    db: None,
    now: datetime,
    django_assert_max_num_queries,  # type: ignore[no-untyped-def]
) -> None:
    our_topic(now)
    seen.flush()
    for number in range(30):
        seen.note(enroll(now, identity=device(f"D{number}"))[0].enrollment.pk, now + timedelta(milliseconds=number))
    # Four statements and two savepoints.
    with django_assert_max_num_queries(8):
        assert seen.flush() == 30
    assert not Device.objects.filter(last_seen_at=None).exists()


@pytest.mark.django_db(transaction=True)
def test_the_thread_writes_by_itself_and_ends_with_the_rest_written(now: datetime) -> None:
    known = Device.objects.create(udid="A", created_at=now)
    row = Enrollment.objects.create(device=known, kind="device", enrollment_id="A", authenticated_at=now)
    sightings = seen.Sightings()
    sightings.note(row.pk, now, interval=3600)
    sightings.note(row.pk, now + timedelta(seconds=1), interval=3600)
    assert [thread.name for thread in threading.enumerate()].count("last-seen") == 1
    sightings.stop()
    row.refresh_from_db()
    assert row.last_seen_at == now + timedelta(seconds=1)
