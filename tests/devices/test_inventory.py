from datetime import datetime, timedelta

import pytest

from devices import inventory
from devices.commands import enqueue_each
from devices.enrollment import token_update
from devices.models import Command, CommandState, Device, Enrollment, Inventory, InventoryKind
from protocol.plist import PlistValue, loads_dict
from protocol.reports import ErrorChainItem, Report, Status, parse_report, render_report
from tests.devices.enrolling import device, enroll, our_topic, token, user

pytestmark = pytest.mark.django_db


@pytest.fixture
def enrollment(now: datetime) -> Enrollment:
    our_topic(now)
    return enroll(now)[0].enrollment


def answered(enrollment: Enrollment, kind: str, *, at: datetime, asked: datetime | None = None) -> Command:
    (command,) = enqueue_each([enrollment.pk], kind, origin="test", now=asked or at)
    command.state, command.sent_at, command.completed_at = CommandState.ACKNOWLEDGED, asked or at, at
    command.save()
    return command


def report(response: dict[str, PlistValue], status: Status = Status.ACKNOWLEDGED) -> Report:
    return parse_report(render_report(device(), status, command_uuid="X", response=response))


def security(**flags: object) -> Report:
    return report({"SecurityInfo": flags})  # type: ignore[dict-item]


def test_device_information_is_kept_and_lifted_onto_the_device(enrollment: Enrollment, now: datetime) -> None:
    answers = {
        "DeviceName": "Ann's iPad", "ProductName": "iPad14,1", "OSVersion": "18.2", "BuildVersion": "22C1",
        "IsSupervised": True, "IMEI": "123", "ModelName": "iPad", "Model": "MK2L3",
    }  # fmt: skip
    stored = inventory.store(
        answered(enrollment, "DeviceInformation", at=now), report({"QueryResponses": answers}), now=now
    )
    assert stored is not None
    assert loads_dict(bytes(stored.content))["QueryResponses"] == answers
    known = Device.objects.get()
    assert (known.name, known.platform, known.os_version, known.is_supervised) == ("Ann's iPad", "iPadOS", "18.2", True)


def test_hostile_answers_change_nothing_they_should_not(enrollment: Enrollment, now: datetime) -> None:
    answers = {"DeviceName": "n" * 300, "OSVersion": 7, "SerialNumber": "STOLEN", "IsSupervised": "yes", "IMEI": ""}
    command = answered(enrollment, "DeviceInformation", at=now)
    before = Device.objects.values().get()
    inventory.store(command, report({"QueryResponses": answers}), now=now)
    inventory.store(command, report({"QueryResponses": [1, 2]}), now=now)
    inventory.store(answered(enrollment, "SecurityInfo", at=now), report({"SecurityInfo": "fine"}), now=now)
    assert Device.objects.values().get() == before


def test_security_flags_are_the_devices_own_words_and_absence_is_not_known(
    enrollment: Enrollment, now: datetime
) -> None:
    says_all = security(PasscodePresent=True, PasscodeCompliant=True, PasscodeCompliantWithProfiles=False)
    inventory.store(answered(enrollment, "SecurityInfo", at=now), says_all, now=now)
    known = Device.objects.get()
    assert (known.passcode_present, known.passcode_compliant, known.passcode_compliant_with_profiles) == (
        True, True, False,
    )  # fmt: skip
    inventory.store(answered(enrollment, "SecurityInfo", at=now), security(PasscodeCompliant=1), now=now)
    known.refresh_from_db()
    assert (known.passcode_present, known.passcode_compliant) == (None, None)


def test_an_answer_that_was_asked_for_earlier_never_replaces_a_newer_one(enrollment: Enrollment, now: datetime) -> None:
    older = answered(enrollment, "SecurityInfo", at=now + timedelta(days=2), asked=now)
    newer = answered(enrollment, "SecurityInfo", at=now + timedelta(days=1), asked=now + timedelta(days=1))
    assert inventory.store(newer, security(PasscodePresent=False), now=now) is not None
    assert inventory.store(older, security(PasscodePresent=True), now=now) is None
    assert Device.objects.get().passcode_present is False
    assert Inventory.objects.get().asked_at == now + timedelta(days=1)


def test_the_same_answer_twice_is_one_row(enrollment: Enrollment, now: datetime) -> None:
    command = answered(enrollment, "ProfileList", at=now + timedelta(hours=1), asked=now)
    for _ in range(2):
        stored = inventory.store(command, report({"ProfileList": []}), now=now + timedelta(days=1))
        assert stored is not None
    assert (Inventory.objects.get().asked_at, Inventory.objects.get().reported_at) == (now, now + timedelta(hours=1))


def test_errors_and_other_commands_are_no_inventory(enrollment: Enrollment, now: datetime) -> None:
    failed = parse_report(
        render_report(device(), Status.ERROR, command_uuid="X", error_chain=(ErrorChainItem(1, "d", "e"),))
    )
    assert inventory.store(answered(enrollment, "SecurityInfo", at=now), failed, now=now) is None
    assert inventory.store(answered(enrollment, "RestartDevice", at=now), report({}), now=now) is None
    assert not Inventory.objects.exists()


def test_a_user_channel_speaks_for_its_user_only(now: datetime) -> None:
    our_topic(now)
    _, issued = enroll(now, device_name="Mac")
    child = token_update(token(user("GUID")), issued, now=now).enrollment
    answers: dict[str, PlistValue] = {"QueryResponses": {"DeviceName": "Other"}}
    assert inventory.store(answered(child, "DeviceInformation", at=now), report(answers), now=now) is not None
    assert Device.objects.get().name == "Mac"


def test_latest_is_one_statement(enrollment: Enrollment, now: datetime, django_assert_num_queries) -> None:  # type: ignore[no-untyped-def]
    inventory.store(answered(enrollment, "ProfileList", at=now), report({"ProfileList": []}), now=now)
    inventory.store(answered(enrollment, "SecurityInfo", at=now), security(), now=now)
    with django_assert_num_queries(1):
        found = inventory.latest([enrollment.pk, 10**9], InventoryKind.PROFILE_LIST)
    assert [row.kind for row in found.values()] == ["ProfileList"]
