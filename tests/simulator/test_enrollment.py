"""Enrolling by real SCEP, with signatures or a certificate header, and what happens when a step fails."""

from datetime import UTC, datetime

import httpx
import pytest

from protocol.checkin import Authenticate, CheckOut, TokenUpdate
from protocol.commands import InstallProfile
from protocol.identity import EnrollmentKind
from protocol.reports import Status
from simulator.device import CertificateHeader, Device
from simulator.enrollment import check_out, enroll
from simulator.errors import ConnectionFailed, EnrollmentFailed
from simulator.hardware import Family, hardware
from simulator.session import Outcome
from tests.simulator.conftest import Driver
from tests.simulator.portal import IDENTIFIER, Portal

NOW = datetime.now(UTC)


@pytest.mark.parametrize("signed", [True, False])
def test_a_device_enrolls_with_a_signed_or_plain_profile(driver: Driver, portal: Portal, signed: bool) -> None:
    portal.sign_profile = signed
    device = driver.enroll(Device(hardware(7)))
    authenticate, token_update = portal.checkins
    assert isinstance(authenticate, Authenticate)
    assert isinstance(token_update, TokenUpdate)
    assert device.is_enrolled
    assert (authenticate.serial_number, authenticate.topic) == ("SIM0000007", portal.topic)
    assert authenticate.device_name is None  # only a Mac tells its name
    assert device.enrollment is not None
    assert (token_update.token, token_update.push_magic) == (device.enrollment.token, device.enrollment.push_magic)
    assert token_update.unlock_token == device.enrollment.unlock_token
    assert list(device.profiles) == [IDENTIFIER]
    assert portal.challenges == set()


@pytest.mark.parametrize("form", ["nginx", "rfc9440"])
def test_a_certificate_header_stands_in_for_the_signature(driver: Driver, portal: Portal, form: str) -> None:
    portal.header = "X-Client-Cert"
    device = Device(hardware(1), certificate_header=CertificateHeader("X-Client-Cert", form))
    driver.enroll(device)
    assert driver.connect(device) is Outcome.DONE


def test_a_user_enrollment_tells_neither_udid_nor_serial(driver: Driver, portal: Portal) -> None:
    device = Device(hardware(1), user_enrollment=True)
    before = device.enrollment_id
    driver.enroll(device)
    authenticate, token_update = portal.checkins
    assert authenticate.identity.kind is EnrollmentKind.USER_ENROLLMENT
    assert authenticate.identity.udid is None
    assert authenticate.serial_number is None
    assert token_update.unlock_token is None
    assert authenticate.identity.enrollment_id == token_update.identity.enrollment_id != before


def test_a_mac_tells_its_name_and_has_no_unlock_token(driver: Driver, portal: Portal) -> None:
    driver.enroll(Device(hardware(3, Family.MAC)))
    authenticate, token_update = portal.checkins
    assert (authenticate.device_name, authenticate.model_name) == ("MacBook Pro 3", "MacBook Pro")
    assert token_update.unlock_token is None


def test_a_used_challenge_is_refused_by_name(driver: Driver, portal: Portal) -> None:
    profile = portal.profile()
    portal.challenges.clear()
    device = Device(hardware(1))
    with pytest.raises(EnrollmentFailed, match="BAD_REQUEST"):
        driver.run(enroll(device, profile, now=NOW))
    assert device.enrollment is None
    assert portal.checkins == []


def test_a_ca_with_another_fingerprint_is_refused(driver: Driver, portal: Portal) -> None:
    with pytest.raises(EnrollmentFailed, match="fingerprint"):
        driver.run(enroll(Device(hardware(1)), portal.profile(ca_fingerprint=bytes(32)), now=NOW))


@pytest.mark.parametrize("data", [b"", b"<html>", b"\x30\x80", b"<plist/>"])
def test_what_is_no_profile_enrolls_nothing(driver: Driver, data: bytes) -> None:
    with pytest.raises(EnrollmentFailed):
        driver.run(enroll(Device(hardware(1)), data, now=NOW))


def test_a_refused_authenticate_leaves_nothing_behind(driver: Driver, portal: Portal) -> None:
    portal.faults.append(400)
    device = Device(hardware(1))
    with pytest.raises(EnrollmentFailed, match="Authenticate: HTTP 400"):
        driver.enroll(device)
    assert device.enrollment is None
    driver.enroll(device)
    assert device.is_enrolled


def test_a_lost_token_update_is_repeated_with_the_same_identity(driver: Driver, portal: Portal) -> None:
    portal.faults.extend([200, httpx.ReadError("gone")])
    device = Device(hardware(1))
    with pytest.raises(ConnectionFailed):
        driver.enroll(device)
    assert not device.is_enrolled
    driver.enroll(device)
    assert device.is_enrolled
    assert [type(message) for message in portal.checkins] == [Authenticate, TokenUpdate]
    assert len(portal.fingerprints) == 1


def test_enrolling_twice_does_nothing(driver: Driver, portal: Portal, phone: Device) -> None:
    driver.enroll(phone)
    assert len(portal.checkins) == 2


def test_a_pushed_enrollment_profile_renews_the_identity(driver: Driver, portal: Portal, phone: Device) -> None:
    assert phone.enrollment is not None
    before = phone.enrollment
    command = portal.push(phone.identity.enrollment_id, InstallProfile(portal.profile()))
    assert driver.connect(phone) is Outcome.DONE
    assert phone.enrollment is not before
    assert phone.enrollment.certificate != before.certificate
    assert phone.enrollment.unlock_token == before.unlock_token
    assert len(portal.checkins) == 4
    assert [report.status for report in portal.results(command)] == [Status.ACKNOWLEDGED]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"identifier": "com.example.other"}, 12009),
        ({"topic": "com.apple.mgmt.External.other"}, 12012),
        ({"challenge": "wrong"}, 4013),
    ],
)
def test_a_bad_renewal_keeps_the_old_enrollment(
    driver: Driver, portal: Portal, phone: Device, changes: dict[str, object], code: int
) -> None:
    before = phone.enrollment
    command = portal.push(phone.identity.enrollment_id, InstallProfile(portal.profile(**changes)))
    driver.connect(phone)
    (report,) = portal.results(command)
    assert (report.status, report.error_chain[0].code) == (Status.ERROR, code)
    assert phone.enrollment is before


def test_a_user_who_removes_the_profile_checks_out_once(driver: Driver, portal: Portal, phone: Device) -> None:
    driver.run(check_out(phone))
    driver.run(check_out(phone))
    assert [type(message) for message in portal.checkins[2:]] == [CheckOut]
    assert not phone.is_enrolled
    assert phone.profiles == {}


def test_a_check_out_that_is_lost_is_not_repeated(driver: Driver, portal: Portal, phone: Device) -> None:
    portal.down = True
    driver.run(check_out(phone))
    assert phone.enrollment is None
