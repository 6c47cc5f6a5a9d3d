"""Plans, polls and answers at once, on real threads and connections: nothing is sent twice, nothing is lost."""

from collections.abc import Callable

import pytest

from devices.groups import ensure_all_group
from devices.models import Command
from profiles import assignment, gate
from profiles.models import Bundle, Installation
from profiles.publishing import publish
from tests.devices.racing import at_once
from tests.profiles.fleet import PASSCODE, VPN, Clock, FakeDevice, bundle_of, enrollments, payload

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("signing")]
DEVICES = 12


@pytest.fixture
def bundle(clock: Clock) -> Bundle:
    made = bundle_of(payload(PASSCODE), payload(VPN), now=clock())
    publish(made, by=None, now=clock())
    assignment.assign(made, ensure_all_group(clock()), now=clock())
    return made


@pytest.fixture
def fleet(bundle: Bundle, clock: Clock) -> list[FakeDevice]:
    return [FakeDevice(row, Clock(clock.now), passcode=True) for row in enrollments(DEVICES, clock.now)]


def test_plans_of_the_same_devices_at_once_queue_each_installation_once(fleet, clock):
    ids = [device.enrollment.pk for device in fleet]
    at_once(*[lambda: assignment.plan(ids, clock.now)] * 4, *[lambda: assignment.plan(ids[:1], clock.now)] * 2)
    assignment.plan(ids, clock.now)
    assert Command.objects.filter(request_type="InstallProfile").count() == DEVICES
    named = set(Installation.objects.exclude(command_uuid="").values_list("command_uuid", flat=True))
    assert named == set(Command.objects.values_list("uuid", flat=True))


def test_answers_that_come_while_the_fleet_is_planned_and_polled_are_kept(fleet, clock):
    ids = [device.enrollment.pk for device in fleet]
    assignment.plan(ids, clock.now)

    def sweep() -> None:
        for minute in range(6):
            now = Clock(clock.now)
            now.forward(minutes=6 * minute)
            assignment.plan_all(now())
            gate.poll_due(now())

    def sessions(device: FakeDevice) -> Callable[[], None]:
        def work() -> None:
            for _ in range(3):
                device.connect()
                device.clock.forward(minutes=6)

        return work

    at_once(sweep, sweep, *[sessions(device) for device in fleet])
    clock.forward(hours=2)
    for device in fleet:
        device.clock.forward(hours=2)
        device.plan()
        device.connect()
    assert all(device.states() == {"requirement": "installed", "capability": "installed"} for device in fleet)
    assert [device.history.count("InstallProfile") for device in fleet] == [2] * DEVICES
