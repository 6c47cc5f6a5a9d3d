""" "VPN after passcode" from nothing: somebody logs in, composes it in Chromium, publishes it, and a device gets it.

Everything is real but Apple: `manage.py up` with worker and beat, a simulated device woken by pushes, Debian's Chromium.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from mdmportal.demo.environment import INTERVALS
from tests.end_to_end.portal import ROOT, Portal, clean, eventually, free_port, running
from tests.mdmportal import browser as chromium
from tests.mdmportal.browser import text_of, window

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.browser,
    pytest.mark.real_clock,
    pytest.mark.skipif(chromium.CHROMIUM is None, reason=chromium.MISSING),
]

PASSCODE, VPN = "com.apple.mobiledevice.passwordpolicy", "com.apple.vpn.managed"
BUNDLE = "Corporate VPN"


@dataclass
class Site:
    """An empty portal with one enrolled device, whose user does only what a test says."""

    portal: Portal
    url: str
    control: str
    password: str

    def device(self) -> dict[str, Any]:
        return httpx.get(f"{self.control}/devices", timeout=30).json()[0]

    def set_passcode(self) -> None:
        address = f"{self.control}/devices/{self.device()['serial']}/passcode"
        httpx.post(address, json={"set": True}, timeout=30).raise_for_status()

    def holds(self) -> list[str]:
        """The parts of the bundle that the device has, by the last word of their identifiers."""
        ours = [one["identifier"] for one in self.device()["profiles"] if "mdmportal.bundle." in one["identifier"]]
        return sorted("capability" if one.endswith(".capability") else "requirement" for one in ours)


def simulator(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "simulator", *(str(word) for word in arguments)]


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    port, apns_port, control, apple = free_port(), free_port(), free_port(), folder / "apple"
    url = f"http://127.0.0.1:{port}"
    subprocess.run(simulator("apple", "--dir", apple), cwd=ROOT, check=True, capture_output=True)
    environment = {
        "PORTAL_URL": url,
        "PORTAL_LISTEN": f"127.0.0.1:{port}",
        "APNS_URL": f"https://localhost:{apns_port}",
        "APNS_CA_FILE": str(apple / "apns-ca.pem"),
        **INTERVALS,
    }
    with running(["up"], folder / "portal", **environment) as portal:
        portal.wait_for("MDM Portal is up")
        certificate, key = apple / "push-certificate.pem", apple / "push-key.pem"
        portal.manage("upload_push_certificate", "--certificate", str(certificate), "--key", str(key))
        password = json.loads(portal.manage("create_admin", "ada", "--json"))["password"]
        address = json.loads(portal.manage("invite", "--json"))["profile_url"]
        options = {
            "--url": address, "--devices": 1, "--apple": apple, "--apns-port": apns_port, "--control": control,
            "--set-passcode-share": 0,
        }  # fmt: skip
        with (folder / "fleet.log").open("wb") as log:
            words = simulator("fleet", *(word for pair in options.items() for word in pair))
            fleet = subprocess.Popen(words, cwd=ROOT, env=clean(folder), stdout=log, stderr=log)
            try:
                one = Site(portal, url, f"http://127.0.0.1:{control}", password)
                eventually(lambda: "listening" in (folder / "fleet.log").read_text(), why="no fleet")
                eventually(lambda: one.device()["enrolled"], why="the device never enrolled")
                yield one
            finally:
                fleet.terminate()
                fleet.wait(timeout=30)


class Person:
    """Somebody at the portal, and what every page on the way must be like."""

    def __init__(self, one: chromium.Window, *, scripts: bool) -> None:
        self.window, self.page, self.scripts = one, one.page, scripts
        self.seen: list[str] = []

    def look(self) -> None:
        """No barrier, nothing wider than the window, and the browser had nothing to complain about."""
        # A form that is being swapped is dim.
        self.page.locator("form[aria-busy]").wait_for(state="detached")
        if self.scripts:
            assert self.window.barriers == [], self.page.url
        assert self.window.sticks_out <= 0, self.page.url
        assert self.window.complaints == [], self.page.url
        self.seen.append(self.page.url)

    def follow(self, link: str) -> None:
        self.page.locator("a:visible", has_text=link).first.click()
        self.look()

    def press(self, button: str) -> None:
        self.page.get_by_role("button", name=button).last.click()
        self.look()

    def unfold(self) -> None:
        for summary in self.page.locator("details.f-group:not([open]) > summary").all()[::-1]:
            summary.click()

    def said(self) -> str:
        return text_of(self.page, ".messagelist")

    def log_in(self, site: Site) -> None:
        self.window.open("/admin/")
        self.look()
        self.page.get_by_label("Username").fill("ada")
        self.page.get_by_label("Password").fill(site.password)
        self.press("Log in")

    def choose_payload(self, words: str, payload_type: str) -> None:
        self.follow("Add payload")
        self.page.get_by_label("Find a payload").fill(words)
        if not self.scripts:
            self.page.get_by_role("button", name="Find", exact=True).click()
        self.page.locator("a:visible", has=self.page.locator(f"code:text-is('{payload_type}')")).first.click()
        self.look()
        self.unfold()
        self.look()

    def confirm(self, button: str) -> None:
        self.page.get_by_label("Reason").fill("New office")
        self.page.get_by_label("How many").fill("1")
        self.press(button)


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_vpn_after_passcode_is_composed_published_and_seen_installed(tmp_path, browser, scripts):
    with site(tmp_path) as portal, window(browser, portal.url, java_script_enabled=scripts) as one:
        ada = Person(one, scripts=scripts)
        ada.log_in(portal)
        compose(ada)
        publish(ada)
        eventually(lambda: portal.holds() == ["requirement"], why="the requirement never came")
        shows(ada, "waiting")
        portal.set_passcode()
        eventually(lambda: portal.holds() == ["capability", "requirement"], why="the VPN did not follow the passcode")
        shows(ada, "installed")
        assert len(set(ada.seen)) >= 12, ada.seen


def compose(ada: Person) -> None:
    page = ada.page
    ada.follow("Bundles")
    ada.follow("Add bundle")
    page.get_by_label("Name").fill(BUNDLE)
    ada.press("Make the draft")
    ada.choose_payload("passcode", PASSCODE)
    page.get_by_label("Minimum length").fill("6")
    page.locator("[name='p/forcePIN']").select_option("true")
    ada.press("Save draft")
    assert "is in the draft" in ada.said()
    ada.choose_payload("ikev2", VPN)
    page.get_by_label("Payload name").fill(BUNDLE)
    page.locator("[name='p/UserDefinedName']").fill(BUNDLE)
    page.get_by_label("Kind of VPN").select_option("IKEv2")
    if not ada.scripts:
        ada.press("Update the form for Kind of VPN")
        ada.unfold()
    ada.press("Configure IKEv2")
    page.get_by_label("Server", exact=False).first.fill("vpn.example.com")
    page.get_by_label("Local identifier").fill("device")
    page.get_by_label("Remote identifier").fill("vpn.example.com")
    page.get_by_label("Device proves itself by").select_option("None")
    page.get_by_label("Also sign in with EAP").select_option("1")
    ada.press("Save draft")
    assert "is in the draft" in ada.said()


def publish(ada: Person) -> None:
    """The pairing is read, the checks are read, everybody gets it."""
    ada.follow(BUNDLE)
    content = text_of(ada.page, "#content")
    assert f"passcode of at least 6 characters to get {BUNDLE}" in content
    assert "Then, once proved" in content
    ada.press("Check")
    assert "error" not in text_of(ada.page, "#content").lower()
    ada.follow(BUNDLE)
    ada.press("Assign…")
    ada.page.get_by_label("Group").select_option(label="all")
    ada.press("Next")
    ada.confirm("Assign")
    ada.press("Publish…")
    ada.confirm("Publish v1 to 1 device")
    assert "v1 is published" in ada.said()


def shows(ada: Person, state: str) -> None:
    """The device's page says where the VPN stands."""
    ada.follow("Devices")
    ada.page.locator("#result_list tbody a").first.click()
    ada.look()
    row = ada.page.locator("tr", has_text=BUNDLE).filter(has_text="capability").first

    def told() -> bool:
        ada.page.reload()
        return row.locator(f".portal-pill.portal-{state}").count() == 1

    eventually(told, patience=60, why=f"the device's page never said {state}")
    ada.look()
