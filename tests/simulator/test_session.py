"""Connect sessions: order, unsent reports, NotNow, and what each HTTP answer does to a device."""

import httpx
import pytest

from protocol import plist
from protocol.checkin import CheckOut
from protocol.commands import DeviceInformation, EraseDevice, InstallProfile, ProfileList, RemoveProfile, SecurityInfo
from protocol.reports import Status
from simulator.device import Device
from simulator.session import Outcome
from tests.simulator.conftest import Driver
from tests.simulator.portal import IDENTIFIER, VPN, Portal, profile_with, unrecognized

IDLE, ACKNOWLEDGED, NOT_NOW = Status.IDLE, Status.ACKNOWLEDGED, Status.NOT_NOW


def statuses(portal: Portal) -> list[Status | None]:
    return [report.status for report in portal.reports]


@pytest.fixture
def udid(phone: Device) -> str:
    return phone.identity.enrollment_id


def test_a_session_ends_with_the_empty_answer(driver: Driver, portal: Portal, phone: Device, udid: str) -> None:
    portal.push(udid, ProfileList())
    portal.push(udid, SecurityInfo())
    assert driver.connect(phone) is Outcome.DONE
    assert statuses(portal) == [IDLE, ACKNOWLEDGED, ACKNOWLEDGED]
    assert portal.reports[0].command_uuid is None
    assert phone.unsent is None


@pytest.mark.parametrize("fault", [400, 404, 500, 503, 403, httpx.ReadError("reset"), httpx.ConnectError("down")])
def test_a_report_is_kept_until_it_is_accepted(
    driver: Driver, portal: Portal, phone: Device, udid: str, fault: int | Exception
) -> None:
    command = portal.push(udid, ProfileList())
    portal.faults.extend([200, fault])
    assert driver.connect(phone) is Outcome.RETRY
    assert phone.unsent is not None
    assert driver.connect(phone) is Outcome.DONE
    assert statuses(portal) == [IDLE, ACKNOWLEDGED]
    assert portal.last().command_uuid == command
    assert phone.is_enrolled


def test_an_old_report_is_sent_as_it_was(driver: Driver, portal: Portal, phone: Device, udid: str) -> None:
    portal.push(udid, SecurityInfo())
    phone.script.lose_reports = 1
    assert driver.connect(phone) is Outcome.RETRY
    phone.set_passcode()
    driver.connect(phone)
    assert portal.last().body["SecurityInfo"]["PasscodePresent"] is False


def test_a_lost_answer_makes_the_report_come_again(driver: Driver, portal: Portal, phone: Device, udid: str) -> None:
    command = portal.push(udid, ProfileList())
    phone.script.lose_responses = 1
    assert driver.connect(phone) is Outcome.RETRY
    assert driver.connect(phone) is Outcome.DONE
    assert len(portal.results(command)) == 2


def test_a_report_can_be_repeated_in_one_session(driver: Driver, portal: Portal, phone: Device, udid: str) -> None:
    command = portal.push(udid, ProfileList())
    phone.script.repeat_reports = 1
    assert driver.connect(phone) is Outcome.DONE
    assert len(portal.results(command)) == 2


def test_after_not_now_the_device_polls_by_itself(driver: Driver, portal: Portal, phone: Device, udid: str) -> None:
    command = portal.push(udid, SecurityInfo())
    phone.lock()
    assert driver.connect(phone) is Outcome.DONE
    assert statuses(portal) == [IDLE, NOT_NOW]
    assert phone.unsent is None
    assert phone.unlock() is True
    assert phone.unlock() is False
    driver.connect(phone)
    assert [report.status for report in portal.results(command)] == [NOT_NOW, ACKNOWLEDGED]


def test_an_unlock_during_the_session_makes_the_device_poll_at_once(
    driver: Driver, portal: Portal, phone: Device, udid: str
) -> None:
    portal.push(udid, SecurityInfo())
    phone.lock()
    portal.while_answering = lambda report: phone.unlock() if report.status is NOT_NOW else None
    assert driver.connect(phone) is Outcome.POLL


def test_another_answer_after_not_now_cancels_the_poll(
    driver: Driver, portal: Portal, phone: Device, udid: str
) -> None:
    phone.script.not_now = 1
    info = plist.dumps({"CommandUUID": "A", "Command": {"RequestType": "SecurityInfo"}})
    names = plist.dumps({"CommandUUID": "B", "Command": {"RequestType": "DeviceInformation", "Queries": ["UDID"]}})
    portal.faults.extend([httpx.Response(200, content=info), httpx.Response(200, content=names)])
    driver.connect(phone)
    assert statuses(portal) == [ACKNOWLEDGED]
    assert phone.unlock() is False


def test_a_broken_connection_after_not_now_promises_no_poll(
    driver: Driver, portal: Portal, phone: Device, udid: str
) -> None:
    portal.push(udid, SecurityInfo())
    phone.lock()
    portal.faults.extend([200, httpx.ReadError("reset")])
    assert driver.connect(phone) is Outcome.RETRY
    assert phone.unsent is None  # a device forgets what it had no time for
    assert phone.unlock() is False


@pytest.mark.parametrize("answer", [httpx.Response(401), unrecognized()])
def test_some_answers_end_the_management(driver: Driver, portal: Portal, phone: Device, answer: httpx.Response) -> None:
    phone.profiles["mine"] = phone.profiles[IDENTIFIER]
    portal.faults.append(answer)
    assert driver.connect(phone) is Outcome.GONE
    assert not phone.is_enrolled
    assert phone.profiles == {}


@pytest.mark.parametrize("body", [b"{", b"<plist/>", b"[" * 100000, b'{"code":"other"}', b'["x"]'])
def test_any_other_403_changes_nothing(driver: Driver, portal: Portal, phone: Device, body: bytes) -> None:
    portal.faults.append(httpx.Response(403, headers={"Content-Type": "application/json"}, content=body))
    assert driver.connect(phone) is Outcome.RETRY
    assert phone.is_enrolled


def test_an_erased_device_reports_and_is_gone(driver: Driver, portal: Portal, phone: Device, udid: str) -> None:
    portal.push(udid, EraseDevice())
    phone.set_passcode()
    assert driver.connect(phone) is Outcome.GONE
    assert statuses(portal) == [IDLE, ACKNOWLEDGED]
    assert (phone.erased, phone.passcode, phone.profiles, phone.enrollment) == (True, None, {}, None)


def test_a_device_erases_itself_though_nobody_hears(driver: Driver, portal: Portal, phone: Device, udid: str) -> None:
    portal.push(udid, EraseDevice())
    portal.faults.extend([200, 503])
    assert driver.connect(phone) is Outcome.GONE
    assert phone.erased


def test_removing_the_enrollment_profile_ends_in_a_check_out(
    driver: Driver, portal: Portal, phone: Device, udid: str
) -> None:
    portal.push(udid, RemoveProfile(IDENTIFIER))
    assert driver.connect(phone) is Outcome.GONE
    assert statuses(portal) == [IDLE, ACKNOWLEDGED]
    assert isinstance(portal.checkins[-1], CheckOut)
    assert phone.enrollment is None


def test_an_offline_device_says_nothing(driver: Driver, portal: Portal, phone: Device) -> None:
    phone.online = False
    assert driver.connect(phone) is Outcome.RETRY
    assert portal.reports == []


def test_a_malformed_command_gets_command_format_error(
    driver: Driver, portal: Portal, phone: Device, udid: str
) -> None:
    portal.push(udid, plist.dumps({"CommandUUID": "X", "Command": {}}))
    portal.push(udid, DeviceInformation(("UDID",)))
    driver.connect(phone)
    assert statuses(portal) == [IDLE, Status.COMMAND_FORMAT_ERROR, ACKNOWLEDGED]


def test_an_answer_that_is_no_command_ends_the_session(
    driver: Driver, portal: Portal, phone: Device, udid: str
) -> None:
    portal.push(udid, b"<html>login</html>")
    assert driver.connect(phone) is Outcome.DONE


def test_a_profile_with_its_own_scep_payload_gets_an_identity(
    driver: Driver, portal: Portal, phone: Device, udid: str
) -> None:
    portal.challenges.add("vpn")
    settings = {"URL": f"{portal.base_url}/scep", "Challenge": "vpn", "Subject": [[["CN", "vpn"]]]}
    scep = {"PayloadType": "com.apple.security.scep", "PayloadContent": settings}
    for _ in range(2):  # the second time the challenge is used up: Apple's trap
        portal.push(udid, InstallProfile(profile_with(VPN, scep, identifier="com.example.vpn")))
    driver.connect(phone)
    good, bad = portal.reports[1:]
    assert (good.status, bad.status) == (ACKNOWLEDGED, Status.ERROR)
    assert len(phone.identities["com.example.vpn"]) == 1
