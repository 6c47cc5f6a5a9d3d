import math
from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices import commands, escrow
from devices.commands import CommandSpec, enqueue, enqueue_each, enqueue_once
from devices.enrollment import authenticate, token_update
from devices.errors import CommandRefused
from devices.models import Command, CommandState, Device, Enrollment, EscrowedSecret
from devices.sending import send
from tests.devices.enrolling import byod, device, downloaded, enroll, hello, invitation, our_topic, token, user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _push_certificate(now: datetime) -> None:
    our_topic(now)


def fleet(number: int, now: datetime) -> list[int]:
    known = Device.objects.create(udid="FLEET", created_at=now)
    rows = [
        Enrollment(device=known, kind="device", enrollment_id=f"F{row}", state="enrolled", authenticated_at=now)
        for row in range(number)
    ]
    return [row.pk for row in Enrollment.objects.bulk_create(rows)]


def test_commands_are_queued_with_small_params_and_a_push(now: datetime) -> None:
    enrollment = enroll(now)[0].enrollment
    later = now + timedelta(hours=1)
    spec = CommandSpec(
        enrollment_id=enrollment.pk,
        request_type="InstallProfile",
        origin="bundle 1",
        params={"Profile": 7, "Installation": 9},
        expires_at=later,
    )
    (command,) = enqueue([spec], now)
    stored = Command.objects.get()
    assert (stored.uuid, stored.pk, stored.state) == (spec.uuid, command.pk, CommandState.QUEUED)
    assert (stored.origin, stored.created_at, stored.expires_at) == ("bundle 1", now, later)
    assert commands.params_of(stored) == {"Profile": 7, "Installation": 9}
    enrollment.refresh_from_db()
    assert enrollment.next_push_at == now


def test_a_command_without_params_stores_none(now: datetime) -> None:
    (command,) = enqueue_each([enroll(now)[0].enrollment.pk], "SecurityInfo", origin="test", now=now)
    command.refresh_from_db()
    assert (command.params, commands.params_of(command)) == (b"", {})


def test_a_thousand_commands_take_a_fixed_number_of_statements(now: datetime) -> None:
    pks = fleet(1000, now)
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert len(enqueue_each(pks, "SecurityInfo", origin="test", now=now)) == 1000
    statements = [query["sql"] for query in captured.captured_queries]
    inserts = [sql for sql in statements if sql.startswith("INSERT")]
    columns = len(Command._meta.concrete_fields) - 1
    # SQLite bounds the parameters of one statement; elsewhere it is one INSERT for each 500.
    rows = min(500, connection.features.max_query_params // columns if connection.features.max_query_params else 500)
    assert len(inserts) <= 2 * math.ceil(500 / rows)
    assert len(statements) - len(inserts) <= 10


def test_a_channel_that_is_not_enrolled_gets_no_commands(now: datetime) -> None:
    enrolled = enroll(now)[0].enrollment
    pending = authenticate(hello(device("SECOND")), downloaded(invitation(now), now), now=now)
    queued = enqueue_each([enrolled.pk, pending.pk, 10**9], "SecurityInfo", origin="test", now=now)
    assert [command.enrollment_id for command in queued] == [enrolled.pk]
    assert Command.objects.count() == 1


def test_a_poll_is_queued_once_while_one_is_open(now: datetime) -> None:
    pk = enroll(now)[0].enrollment.pk
    assert len(enqueue_once([pk, pk], "SecurityInfo", origin="poll", now=now)) == 1
    assert enqueue_once([pk], "SecurityInfo", origin="poll", now=now) == []
    assert len(enqueue_once([pk], "ProfileList", origin="poll", now=now)) == 1
    Command.objects.update(state=CommandState.ACKNOWLEDGED)
    assert len(enqueue_once([pk], "SecurityInfo", origin="poll", now=now)) == 1


@pytest.mark.parametrize("request_type", ["DeviceLock", "EraseDevice"])
def test_a_second_lock_or_erase_never_waits_beside_the_first(now: datetime, request_type: str) -> None:
    enrollment = enroll(now)[0].enrollment
    spec = {"enrollment_id": enrollment.pk, "request_type": request_type, "origin": "test"}
    assert len(enqueue([CommandSpec(**spec), CommandSpec(**spec)], now)) == 1
    assert enqueue([CommandSpec(**spec)], now) == []
    with pytest.raises(CommandRefused, match="already waiting"):
        send(enrollment, request_type, {}, origin="ann", now=now)
    commands.cancel(Command.objects.all(), now=now, reason="changed my mind")
    assert send(enrollment, request_type, {}, origin="ann", now=now).state == CommandState.QUEUED


def test_cancelling_spares_what_was_answered(now: datetime) -> None:
    pk = enroll(now)[0].enrollment.pk
    answered, waiting = enqueue_each([pk, pk], "SecurityInfo", origin="test", now=now)
    Command.objects.filter(pk=answered.pk).update(state=CommandState.ACKNOWLEDGED)
    assert commands.cancel(Command.objects.all(), now=now, reason="stop") == 1
    waiting.refresh_from_db()
    answered.refresh_from_db()
    assert (waiting.state, answered.state) == (CommandState.CANCELLED, CommandState.ACKNOWLEDGED)
    assert waiting.error_chain[0]["description"] == "stop"


# --- what humans send ------------------------------------------------------------------------------------------


def test_a_pin_is_kept_in_escrow_with_its_command(now: datetime) -> None:
    enrollment = enroll(now, product_name="Mac14,2")[0].enrollment
    command = send(enrollment.device, "DeviceLock", {"PIN": "123456"}, origin="ann", now=now)
    assert commands.params_of(command) == {"PIN": "123456"}
    assert escrow.latest(enrollment, EscrowedSecret.Kind.PIN) == b"123456"


def test_clear_passcode_needs_the_unlock_token_and_does_not_copy_it(now: datetime) -> None:
    enrollment = enroll(now)[0].enrollment
    with pytest.raises(CommandRefused, match="UnlockToken"):
        send(enrollment, "ClearPasscode", {}, origin="ann", now=now)
    again, _ = enroll(now, unlock=b"secret")
    command = send(again.enrollment.device, "ClearPasscode", {}, origin="ann", now=now)
    assert commands.params_of(command) == {}


@pytest.mark.parametrize(
    ("facts", "request_type", "params", "said"),
    [
        ({}, "MakeCoffee", {}, "no command"),
        ({}, "RemoveProfile", {}, "Identifier"),
        ({}, "DeviceLock", {"Message": 7}, "Message"),
        ({"product_name": "AppleTV11,1"}, "DeviceLock", {}, "does not exist on tvOS"),
        ({"os_version": "3.0"}, "DeviceLock", {}, "needs 4.0"),
    ],
)
def test_what_a_device_cannot_take_is_refused_in_words(
    now: datetime, facts: dict[str, str], request_type: str, params: dict[str, str], said: str
) -> None:
    enrollment = enroll(now, **facts)[0].enrollment
    with pytest.raises(CommandRefused, match=said):
        send(enrollment, request_type, params, origin="ann", now=now)
    assert not Command.objects.exists()


def test_facts_a_device_has_not_told_refuse_nothing(now: datetime) -> None:
    enrollment = enroll(now, product_name=None, os_version=None)[0].enrollment  # type: ignore[arg-type]
    assert send(enrollment, "DeviceLock", {}, origin="ann", now=now).pk


def test_supervision_is_asked_for_only_where_it_is_known_to_be_missing(now: datetime) -> None:
    enrollment = enroll(now)[0].enrollment
    send(enrollment, "RestartDevice", {}, origin="ann", now=now)
    Device.objects.update(is_supervised=False)
    with pytest.raises(CommandRefused, match="supervised"):
        send(Device.objects.get(), "RestartDevice", {}, origin="ann", now=now)


def test_user_enrollment_and_user_channels_refuse_what_is_not_theirs(now: datetime) -> None:
    own, _ = enroll(now, identity=byod())
    with pytest.raises(CommandRefused, match="User Enrollment"):
        send(own.enrollment, "EraseDevice", {}, origin="ann", now=now)
    _, issued = enroll(now, product_name="Mac14,2")
    child = token_update(token(user("GUID")), issued, now=now).enrollment
    with pytest.raises(CommandRefused, match="user channel"):
        send(child, "EraseDevice", {}, origin="ann", now=now)
    assert send(child, "ProfileList", {}, origin="ann", now=now).enrollment_id == child.pk


def test_a_device_that_is_not_enrolled_is_refused(now: datetime) -> None:
    pending = authenticate(hello(), downloaded(invitation(now), now), now=now)
    for target in (pending, pending.device):
        with pytest.raises(CommandRefused, match="not enrolled"):
            send(target, "DeviceLock", {}, origin="ann", now=now)
