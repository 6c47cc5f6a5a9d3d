"""A device survives on disk."""

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.commands import InstallProfile, ProfileList
from simulator.device import Device
from simulator.errors import StateError
from simulator.hardware import Family, hardware
from simulator.session import Outcome
from simulator.state import Folder, dump, load
from tests.simulator.conftest import Driver
from tests.simulator.portal import PASSCODE, Portal, profile_with


def test_a_device_out_of_the_box_comes_back() -> None:
    for family in Family:
        device = Device(hardware(1, family))
        assert load(dump(device)).hardware == device.hardware


def test_a_reloaded_device_goes_on_where_it_stopped(driver: Driver, portal: Portal, phone: Device) -> None:
    udid = phone.identity.enrollment_id
    portal.push(udid, InstallProfile(profile_with(PASSCODE)))
    driver.connect(phone)
    phone.set_passcode()
    phone.script.lose_reports = 1
    command = portal.push(udid, ProfileList())
    assert driver.connect(phone) is Outcome.RETRY
    again = load(dump(phone))
    assert again.enrollment is not None
    assert phone.enrollment is not None
    assert again.enrollment.token == phone.enrollment.token
    assert again.profiles == phone.profiles
    assert (again.passcode, again.user_acted) == (phone.passcode, True)
    assert driver.connect(again) is Outcome.DONE
    assert len(portal.results(command)) == 1


@pytest.mark.parametrize("data", [b"", b"<plist/>", b"{}"])
def test_what_is_no_device_is_refused(data: bytes) -> None:
    with pytest.raises(StateError):
        load(data)


def test_the_folder_writes_only_changes_and_for_the_owner_only(tmp_path: Path, phone: Device) -> None:
    folder = Folder(tmp_path / "state")
    folder.save(phone)
    path = tmp_path / "state" / "SIM0000001.plist"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    written = path.stat().st_mtime_ns, path.stat().st_ino
    folder.save(phone)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == written
    phone.set_passcode()
    folder.save(phone)
    assert path.stat().st_ino != written[1] or path.stat().st_mtime_ns != written[0]
    loaded = folder.load("SIM0000001")
    assert loaded is not None
    assert loaded.passcode == phone.passcode
    assert folder.load("SIM0000002") is None


def test_a_fleet_that_is_killed_while_a_device_authenticates_has_not_enrolled_it(tmp_path: Path, phone: Device) -> None:
    assert phone.enrollment is not None
    folder, fresh = Folder(tmp_path / "state"), Device(phone.hardware)
    folder.save(fresh)
    fresh.enrollment = replace(phone.enrollment, authenticated=False, confirmed=False)
    folder.save(fresh)
    again = folder.load(fresh.serial)
    assert again is not None
    assert again.enrollment is None
    fresh.enrollment.authenticated = True
    folder.save(fresh)
    again = folder.load(fresh.serial)
    assert again is not None
    assert again.enrollment is not None
    assert not again.is_enrolled
