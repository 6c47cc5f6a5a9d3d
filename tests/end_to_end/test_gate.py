"""The demo, whole: the VPN reaches exactly the devices that have proved their passcode, follows them and leaves them.

Everything is real but Apple: web server, worker, beat, broker, database, pushes, and a fleet that enrolls by SCEP.
"""

import time

import httpx
import pytest

from tests.end_to_end.demo import BUNDLE, Demo, demo, holds
from tests.end_to_end.portal import eventually

pytestmark = [pytest.mark.end_to_end, pytest.mark.real_clock]

DEVICES = 9


def test_the_vpn_reaches_exactly_the_devices_that_proved_their_passcode(tmp_path, database_url):
    with demo(tmp_path, devices=DEVICES, DATABASE_URL=database_url) as running:
        printed = running.announced()
        started = time.monotonic()
        running.wait_until_said("control listening")
        liar, steered, careless = running.users_without_plans()[:3]
        # No passcode, and flags that say all is well.
        running.post(f"/devices/{liar}/script", {"compliance_flags": True})

        eventually(lambda: everyone_has_the_requirement(running), patience=max(1, started + 60 - time.monotonic()))
        assert_the_administrator_can_log_in(**printed)
        it_follows_and_leaves_and_returns(running, steered)
        eventually(lambda: running.settled(liars=[liar]), why="portal and devices never agreed")
        a_weak_passcode_from_before_the_policy_proves_nothing(running, careless, liar)

        assert not running.events(liar, "passcode set")
        assert not [one for one in running.events(liar, "profile installed") if one.detail.endswith(".capability")]
        running.assert_no_vpn_came_early()


def everyone_has_the_requirement(running: Demo) -> bool:
    devices, rows = running.devices(), running.rows()
    assert len(devices) == DEVICES
    states = [one["state"] for row in rows.values() for one in row["installations"] if one["part"] == "requirement"]
    enrolled = [row["serial"] for row in rows.values() if row["state"] == "enrolled"]
    return sorted(enrolled) == sorted(devices) and states == ["installed"] * DEVICES


def assert_the_administrator_can_log_in(url: str, name: str, password: str) -> None:
    with httpx.Client(follow_redirects=True, timeout=30) as client:
        page = client.get(url)
        assert page.url.path == "/admin/login/"
        form = {"username": name, "password": password, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
        wrong = client.post(page.url, data={**form, "password": "wrong"}, headers={"Referer": str(page.url)})
        assert wrong.url.path == "/admin/login/"
        form["csrfmiddlewaretoken"] = client.cookies["csrftoken"]
        answer = client.post(page.url, data=form, headers={"Referer": str(page.url)})
        assert (answer.status_code, answer.url.path) == (200, "/admin/")


def it_follows_and_leaves_and_returns(running: Demo, serial: str) -> None:
    row = running.installations("capability")[serial]
    assert (row["state"], bool(row["reason"])) == ("waiting", True)
    running.passcode(serial, set=True)
    eventually(lambda: has_vpn(running, serial), patience=30, why="the VPN did not follow the passcode")
    eventually(lambda: running.installations("capability")[serial]["state"] == "installed", patience=30)
    running.passcode(serial, set=False)
    eventually(lambda: not has_vpn(running, serial), patience=30, why="the VPN stayed without a passcode")

    def waits() -> bool:
        row = running.installations("capability")[serial]
        return row["state"] == "waiting" and bool(row["reason"])

    eventually(waits, patience=30)
    assert running.installations("requirement")[serial]["state"] == "installed"
    running.passcode(serial, set=True)
    eventually(lambda: has_vpn(running, serial), patience=30, why="the VPN did not return")


def a_weak_passcode_from_before_the_policy_proves_nothing(running: Demo, serial: str, liar: str) -> None:
    """All flags are true while no policy is installed, whatever the passcode; so they must not open the gate."""
    running.portal.manage("assign", BUNDLE, "all", "--remove")
    eventually(lambda: not any(holds(one, part) for one in running.devices().values() for part in PARTS), patience=60)
    for one in running.devices():
        removed = [event.detail for event in running.events(one, "profile removed")]
        assert not removed[-1].endswith(".capability"), f"{one}: the requirement went before the VPN"
    running.passcode(serial, set=True, value="1234")
    sent = running.portal.manage("send_command", serial, "SecurityInfo").strip()
    eventually(lambda: command_states(running, serial)[sent] == "acknowledged", patience=30)
    device = running.devices()[serial]
    assert device["passcode"]
    assert device["compliant"]
    before = len(running.events())

    running.portal.manage("assign", BUNDLE, "all")
    eventually(lambda: running.settled(liars=[liar]), why="portal and devices did not agree again")
    device = running.devices()[serial]
    assert device["passcode"]
    assert not device["compliant"]
    assert not holds(device, "capability")
    later = [one for one in running.events()[before:] if one.serial == serial and one.event == "profile installed"]
    assert not [one for one in later if one.detail.endswith(".capability")]
    running.passcode(serial, set=True)
    eventually(lambda: has_vpn(running, serial), patience=30, why="a passcode that complies was not enough")


PARTS = ("requirement", "capability")


def has_vpn(running: Demo, serial: str) -> bool:
    return holds(running.devices()[serial], "capability")


def command_states(running: Demo, serial: str) -> dict[str, str]:
    return {one["uuid"]: one["state"] for one in running.rows()[serial]["commands"]}
