"""A Mac's user channel: an address, a queue and profiles of its own, behind the device's identity."""

from collections import deque

import pytest

from protocol.commands import Command, GenericCommand, InstallProfile
from protocol.identity import EnrollmentKind
from protocol.reports import Status
from simulator.device import Device, LocalUser
from simulator.errors import EnrollmentFailed
from simulator.hardware import Family, hardware
from simulator.session import Outcome
from simulator.user_channel import sign_in
from tests.simulator.conftest import Driver
from tests.simulator.portal import VPN, Portal, profile_with

USER = LocalUser("11111111-2222-3333-4444-555555555555", "ada", "Ada L.")


def test_who_signs_in_has_a_push_address_of_their_own(driver: Driver, portal: Portal) -> None:
    mac = driver.enroll(Device(hardware(1, Family.MAC)))
    channel = driver.run(sign_in(mac, USER))
    device_update, user_update = portal.token_updates()
    assert user_update.identity.kind is EnrollmentKind.USER
    assert user_update.identity.enrollment_id == f"{mac.hardware.udid}:{USER.user_id}"
    assert (user_update.identity.user_short_name, user_update.identity.user_long_name) == ("ada", "Ada L.")
    assert user_update.push_magic != device_update.push_magic
    assert user_update.token != device_update.token
    assert channel.is_enrolled


def test_a_user_channel_has_profiles_of_its_own(driver: Driver, portal: Portal) -> None:
    mac = driver.enroll(Device(hardware(1, Family.MAC)))
    channel = driver.run(sign_in(mac, USER))
    commands: list[tuple[str, Command | bytes]] = [
        ("1", InstallProfile(profile_with(VPN, identifier="com.example.user"))),
        ("2", GenericCommand("EraseDevice", {})),
    ]
    portal.queue[channel.identity.enrollment_id] = deque(commands)
    assert driver.connect(channel) is Outcome.DONE
    assert [report.status for report in portal.reports] == [Status.IDLE, Status.ACKNOWLEDGED, Status.ERROR]
    assert list(channel.profiles) == ["com.example.user"]
    assert "com.example.user" not in mac.profiles


def test_only_an_enrolled_mac_has_user_channels(driver: Driver, phone: Device) -> None:
    for device in (phone, Device(hardware(2, Family.MAC))):
        with pytest.raises(EnrollmentFailed):
            driver.run(sign_in(device, USER))
