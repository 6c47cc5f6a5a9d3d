"""One command to many devices: each once, whatever stops on the way, and no parameter stays behind."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from devices import bulk, tasks
from devices.models import BulkCommand, Command, Device, Enrollment, EscrowedSecret
from operations import audit
from operations.models import AuditEvent, Operation
from tests.published import published

pytestmark = pytest.mark.django_db
PIN = "271828"


def fleet(count, now, **values):
    devices = Device.objects.bulk_create(
        [Device(udid=f"U{number}", name="same", created_at=now, **values) for number in range(count)]
    )
    Enrollment.objects.bulk_create(
        [
            Enrollment(device=device, kind="device", enrollment_id=device.udid, state="enrolled", authenticated_at=now)
            for device in devices
        ]
    )
    return devices


def start(now, request_type="RestartDevice", *, actor=None, devices=None, **values):
    devices = Device.objects.all() if devices is None else devices
    return bulk.start(devices, request_type, values=values, reason="because", actor=actor, now=now)


def counts(operation):
    operation.refresh_from_db()
    return operation.done, operation.failed, operation.total, operation.state


def finish(operation, now):
    while bulk.run(operation.pk, now):
        pass


def stored_params():
    """The column as it stands in the database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT params FROM devices_bulkcommand")
        return [bytes(row[0]) for row in cursor.fetchall()]


class Stopped(BaseException):
    """The process ends here, whatever it was doing."""


def failing_at(insert_into, number, error):
    """A wrapper of the database's statements that raises at the n-th INSERT into a table."""
    seen = []

    def execute(execute, sql, params, many, context):
        if sql.startswith(f'INSERT INTO "{insert_into}"'):
            seen.append(sql)
            if len(seen) == number:
                raise error
        return execute(sql, params, many, context)

    return execute


def test_a_few_devices_are_done_at_once(now):
    fleet(3, now)
    operation = start(now)
    assert counts(operation) == (3, 0, 3, "done")
    assert operation.finished_at == now
    assert Command.objects.count() == 3
    assert {event.reason for event in AuditEvent.objects.filter(action="command.RestartDevice")} == {"because"}
    assert AuditEvent.objects.filter(action="command.RestartDevice").count() == 3
    assert audit.first_broken() is None


def test_nothing_selected_is_finished_and_sends_nothing(now):
    assert counts(start(now)) == (0, 0, 0, "done")


def test_devices_that_cannot_are_named_and_stop_no_others(now):
    one, two, three = fleet(3, now, platform="iOS", is_supervised=True)
    Device.objects.filter(pk=one.pk).update(is_supervised=False)
    Enrollment.objects.filter(device=two).update(state="checked_out")
    operation = start(now)
    assert counts(operation) == (1, 2, 3, "failed")
    assert Command.objects.get().enrollment.device == three
    assert {(item.subject_id, item.label, item.sentence) for item in operation.items.failed()} == {
        (one.pk, "same (U0)", "RestartDevice needs a supervised device."),
        (two.pk, "same (U1)", "The device is not enrolled."),
    }


def test_a_device_deleted_meanwhile_is_told(now):
    devices = fleet(bulk.INLINE + 1, now)
    operation = start(now)
    devices[0].delete()
    finish(operation, now)
    assert counts(operation)[:2] == (bulk.INLINE, 1)


def test_more_than_fifty_are_a_background_job(now, django_capture_on_commit_callbacks):
    published()
    fleet(bulk.INLINE + 1, now)
    with django_capture_on_commit_callbacks(execute=True):
        operation = start(now)
    assert counts(operation) == (0, 0, bulk.INLINE + 1, "running")
    assert not Command.objects.exists()
    assert ("devices.tasks.run_bulk", [operation.pk]) in published()
    tasks.run_bulk(operation.pk)
    assert counts(operation) == (bulk.INLINE + 1, 0, bulk.INLINE + 1, "done")


def test_each_run_does_a_chunk_tells_how_far_it_is_and_calls_the_next(now, django_capture_on_commit_callbacks):
    fleet(bulk.CHUNK + 1, now)
    operation = start(now)
    published()
    with django_capture_on_commit_callbacks(execute=True):
        tasks.run_bulk(operation.pk)
    assert counts(operation) == (bulk.CHUNK, 0, bulk.CHUNK + 1, "running")
    assert ("devices.tasks.run_bulk", [operation.pk]) in published()
    with django_capture_on_commit_callbacks(execute=True):
        tasks.run_bulk(operation.pk)
    assert counts(operation) == (bulk.CHUNK + 1, 0, bulk.CHUNK + 1, "done")
    assert "devices.tasks.run_bulk" not in dict(published())
    assert not bulk.run(operation.pk, now)
    assert Command.objects.count() == bulk.CHUNK + 1


@pytest.mark.parametrize("table", ["devices_command", "operations_auditevent"])
@pytest.mark.parametrize("error", [Stopped(), OperationalError("the server is gone")])
def test_a_crash_in_the_middle_is_resumed_and_nothing_is_sent_twice(now, table, error):
    fleet(5, now)
    with connection.execute_wrapper(failing_at(table, 3, error)), pytest.raises(type(error)):
        start(now)
    operation = Operation.objects.get()
    assert operation.finished_at is None
    assert [item.state for item in operation.items.all()] == ["done", "done", "waiting", "waiting", "waiting"]
    assert Command.objects.count() == AuditEvent.objects.count() == 2
    # Whoever is still at work is left alone; then the sweep takes over.
    assert bulk.abandoned(now + bulk.ABANDONED_AFTER) == []
    later = now + bulk.ABANDONED_AFTER + timedelta(seconds=1)
    assert bulk.abandoned(later) == [operation.pk]
    finish(operation, later)
    assert counts(operation) == (5, 0, 5, "done")
    assert Command.objects.count() == AuditEvent.objects.count() == 5
    assert set(Command.objects.values_list("enrollment__device", flat=True)) == set(
        Device.objects.values_list("pk", flat=True)
    )
    assert bulk.abandoned(later + timedelta(days=1)) == []


def test_the_sweep_finds_what_is_left_and_nothing_of_other_kinds(now, django_capture_on_commit_callbacks):
    fleet(bulk.INLINE + 1, now)
    operation = start(now - timedelta(days=36500))
    Operation.objects.begin("import", title="Import", items={1: "one"}, actor=None, now=now - timedelta(days=36500))
    published()
    with django_capture_on_commit_callbacks(execute=True):
        tasks.run_bulks()
    assert published() == [("devices.tasks.run_bulk", [operation.pk])]


def test_one_device_on_which_the_portal_itself_fails_stops_no_others(now, caplog):
    fleet(3, now)
    with connection.execute_wrapper(failing_at("devices_command", 2, ZeroDivisionError(PIN))):
        operation = start(now, "DeviceLock", pin=PIN)
    assert counts(operation) == (2, 1, 3, "failed")
    [item] = operation.items.failed()
    assert item.sentence == "The portal failed (ZeroDivisionError); its log says more."
    assert Command.objects.count() == AuditEvent.objects.count() == 2
    assert f"operation {operation.pk}, device {item.subject_id}" in caplog.text


def test_a_pin_is_readable_nowhere_and_wiped_at_the_end(now):
    fleet(bulk.INLINE + 1, now, platform="macOS")
    operation = start(now, "DeviceLock", pin=PIN, message="Call us", phone_number="")
    [column] = stored_params()
    assert PIN.encode() not in column
    assert PIN not in repr(BulkCommand.objects.get())
    finish(operation, now)
    assert bytes(BulkCommand.objects.get().params) == b""
    # Told to the devices, and kept to open them.
    assert all(PIN.encode() in bytes(command.params) for command in Command.objects.all())
    assert EscrowedSecret.objects.filter(kind="pin").count() == bulk.INLINE + 1
    written = [str(vars(row)) for model in (Operation, AuditEvent) for row in model.objects.all()]
    written += [str(vars(item)) for item in operation.items.all()]
    assert PIN not in " ".join(written)
    assert {event.details["PIN"] for event in AuditEvent.objects.all()} == {"(kept secret)"}
    assert {event.details["Message"] for event in AuditEvent.objects.all()} == {"Call us"}


def test_a_pin_is_wiped_also_when_no_device_took_it(now):
    fleet(2, now, platform="macOS")
    Enrollment.objects.update(state="checked_out")
    assert counts(start(now, "DeviceLock", pin=PIN)) == (0, 2, 2, "failed")
    assert bytes(BulkCommand.objects.get().params) == b""


def test_nothing_more_is_sent_in_the_name_of_a_deleted_account(now):
    ana = get_user_model().objects.create_user("ana")
    fleet(bulk.INLINE + 1, now)
    operation = start(now, actor=ana)
    assert operation.created_by == ana
    ana.delete()
    finish(operation, now)
    assert counts(operation) == (0, bulk.INLINE + 1, bulk.INLINE + 1, "failed")
    assert not Command.objects.exists()


def test_starting_costs_a_few_statements_whatever_the_number(now):
    def statements(count):
        devices = Device.objects.filter(pk__lte=first + count - 1)
        with CaptureQueriesContext(connection) as queries:
            assert start(now, devices=devices).total == count
        return len(queries)

    first = fleet(1000, now)[0].pk
    few, many = statements(bulk.INLINE + 1), statements(1000)
    # SQLite takes 999 values in one statement.
    assert many <= few + 6
    assert few <= 10


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_send_each_command_once(now):
    fleet(bulk.INLINE + 1, now)
    operation = start(now)
    begin = Barrier(3)

    def work(_):
        connection.ensure_connection()
        begin.wait(30)
        try:
            finish(operation, now)
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, range(3)))
    assert counts(operation) == (bulk.INLINE + 1, 0, bulk.INLINE + 1, "done")
    assert Command.objects.count() == bulk.INLINE + 1
    assert Command.objects.values("enrollment").distinct().count() == bulk.INLINE + 1
    assert audit.first_broken() is None
