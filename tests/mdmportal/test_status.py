"""`status` says per device what is installed or waiting and why, in a fixed number of statements."""

import io
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from devices.models import Command, CommandState, Device, Enrollment, EnrollmentState, LadderState
from mdmportal.pages import status
from profiles.models import Bundle, DeliveryRule, Installation, Part, Profile, Revision

pytestmark = pytest.mark.django_db


def enrollment(device, enrollment_id, now, **values):
    return Enrollment.objects.create(
        device=device, kind="device", enrollment_id=enrollment_id, authenticated_at=now,
        **{"state": EnrollmentState.ENROLLED, **values},
    )  # fmt: skip


@pytest.fixture
def device(now):
    device = Device.objects.create(serial_number="EXAMPLE1", udid="UDID-1", state="enrolled", created_at=now)
    enrollment(device, "UDID-1", now - timedelta(days=9), state=EnrollmentState.ARCHIVED)
    row = enrollment(device, "UDID-1", now)
    Command.objects.create(
        uuid="C1", enrollment=row, request_type="SecurityInfo", state=CommandState.NOT_NOW, created_at=now
    )
    bundle = Bundle.objects.create(name="VPN", identifier="vpn", created_at=now)
    revision = Revision.objects.create(
        bundle=bundle, number=1, delivery_rule=DeliveryRule.AFTER_COMPLIANCE, published_at=now
    )
    profile = Profile.objects.create(
        revision=revision, part=Part.CAPABILITY, identifier="vpn.capability", uuid="P1", content=b"x", signed=b"x"
    )
    Installation.objects.create(
        enrollment=row, bundle=bundle, part=Part.CAPABILITY, profile=profile, payload_uuid="P1", reason="no passcode",
        state=LadderState.WAITING, next_at=now, created_at=now, changed_at=now,
    )  # fmt: skip
    return device


def read(*arguments):
    out = io.StringIO()
    call_command("status", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_a_device_is_told_with_its_installations_and_commands(device, now):
    [one] = read()
    assert (one["enrollment_id"], one["serial"], one["state"]) == ("UDID-1", "EXAMPLE1", "enrolled")
    assert one["installations"] == [
        {
            "bundle": "VPN",
            "part": "capability",
            "state": "waiting",
            "reason": "no passcode",
            "next_at": now.isoformat(),
        }
    ]
    assert one["commands"] == [{"uuid": "C1", "request_type": "SecurityInfo", "state": "not_now"}]


@pytest.mark.parametrize("name", ["UDID-1", "udid-1", "EXAMPLE1", " example1 "])
def test_a_device_is_found_by_enrollment_id_or_serial(device, name):
    assert [one["serial"] for one in read(name)] == ["EXAMPLE1"]
    assert status.find_enrollment(name).state == EnrollmentState.ENROLLED


@pytest.mark.parametrize("name", ["", "nobody"])
def test_a_device_that_does_not_exist_is_named(device, name):
    with pytest.raises(CommandError, match="No device"):
        read(name)


def test_a_device_that_left_cannot_be_sent_to(device, now):
    device.enrollments.update(state=EnrollmentState.CHECKED_OUT)
    with pytest.raises(status.DeviceNotFound, match="not enrolled"):
        status.find_enrollment("EXAMPLE1")


def test_the_number_of_statements_does_not_grow_with_the_fleet(device, now, django_assert_num_queries):
    for number in range(20):
        other = Device.objects.create(serial_number=f"OTHER{number}", created_at=now)
        enrollment(other, f"OTHER-{number}", now)
    # two batches are asked for: the second one is empty
    with django_assert_num_queries(6):
        assert len(list(status.overview(Device.objects.all()))) == 21


def test_only_the_newest_commands_are_listed(device, now):
    row = status.find_enrollment("EXAMPLE1")
    Command.objects.bulk_create(
        Command(uuid=f"N{number}", enrollment=row, request_type="DeviceLock", created_at=now) for number in range(150)
    )
    [one] = read()
    assert [command["uuid"] for command in one["commands"]] == [f"N{number}" for number in range(149, 49, -1)]
