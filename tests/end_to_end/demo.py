"""A running demo from outside: what the portal says (`status --json`), what the devices hold (the simulator's control
port), and what happened in which order (the lines in the terminal).

Nothing here imports the portal; the simulator is asked only what its users will do.
"""

import json
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from simulator import __main__ as simulator
from simulator.users import plan
from tests.end_to_end.portal import Portal, clean, descendants, eventually, free_port

BUNDLE = "Corporate VPN"
FLEET_LINE = re.compile(r"\Afleet +\| \d\d:\d\d:\d\d (?P<serial>SIM\d+) (?P<event>[^:]+)(?:: (?P<detail>.*))?\Z")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened on a device, as its simulator tells it."""

    serial: str
    event: str
    detail: str


@dataclass
class Demo:
    """One run of `manage.py demo`. Every look at the fleet checks that no VPN came too early."""

    portal: Portal
    folder: Path
    had_passcode: set[str] = field(default_factory=set)
    # What is known of already; a run on the folder of another goes on from there.
    earlier: list["Event"] = field(default_factory=list)
    _read: int = 0

    @property
    def control(self) -> str:
        return f"http://127.0.0.1:{json.loads((self.folder / 'demo.json').read_text())['control']}"

    def announced(self) -> dict[str, str]:
        """URL, name and password, as printed."""
        self.wait_until_said("Ctrl-C stops everything")
        said = "\n".join(self.portal.heard())
        found = (re.search(rf"{word}: +(\S+)", said) for word in ("URL", "Name", "Password"))
        url, name, password = (match[1] if match else "" for match in found)
        return {"url": url, "name": name, "password": password}

    def wait_until_said(self, text: str) -> None:
        """Whether it was said already or is yet to be said; a portal that has ended fails at once."""

        def said() -> bool:
            alive = self.portal.process.poll() is None
            if any(text in line for line in self.portal.heard()):
                return True
            assert alive, "it ended:\n" + "\n".join(self.portal.lines[-60:])
            return False

        eventually(said, why=f"{text!r} was never said")

    # -- the portal's view

    def rows(self) -> dict[str, dict[str, Any]]:
        return {row["serial"]: row for row in json.loads(self.portal.manage("status", "--json"))}

    def installations(self, part: str) -> dict[str, dict[str, Any]]:
        """Serial number -> the ladder row of that part."""
        rows = self.rows()
        return {serial: one for serial, row in rows.items() for one in row["installations"] if one["part"] == part}

    def query(self, code: str) -> Any:
        """What a piece of code in the portal prints, which is JSON."""
        return json.loads(self.portal.manage("shell", "--no-imports", "-v", "0", "-c", code))

    # -- the devices' view

    def devices(self) -> dict[str, dict[str, Any]]:
        """Serial number -> the device; fails at any VPN whose user has never set a passcode."""
        devices = {one["serial"]: one for one in httpx.get(f"{self.control}/devices", timeout=30).json()}
        self.had_passcode |= {serial for serial, one in devices.items() if one["passcode"]}
        early = {serial for serial, one in devices.items() if holds(one, "capability")} - self.had_passcode
        for serial in early:  # set and removed again between two looks: the terminal says so, in its time
            eventually(
                lambda serial=serial: self.events(serial, "passcode set"), patience=10, why=f"{serial}: early VPN"
            )
        return devices

    def post(self, path: str, body: dict[str, Any]) -> None:
        httpx.post(f"{self.control}{path}", json=body, timeout=30).raise_for_status()

    def passcode(self, serial: str, **body: Any) -> None:
        self.post(f"/devices/{serial}/passcode", body)

    def events(self, serial: str = "", event: str = "") -> list[Event]:
        """What has happened so far, in order."""
        fresh = self.portal.heard()[self._read :]
        self._read += len(fresh)
        matches = map(FLEET_LINE.match, fresh)
        self.earlier += [Event(match["serial"], match["event"], match["detail"] or "") for match in matches if match]
        return [one for one in self.earlier if serial in {"", one.serial} and event in {"", one.event}]

    def users_without_plans(self) -> list[str]:
        """Serial numbers of the users who set no passcode unless a test makes them."""
        commands = descendants(self.portal.process.pid).values()
        words = next(command for command in commands if "-m simulator fleet" in command).split()
        options = simulator._parser().parse_args(words[words.index("fleet") :])
        users = plan(
            options.devices,
            share=options.set_passcode_share,
            delay=options.passcode_delay,
            drops=options.drop_passcode_after,
            seed=options.seed,
        )
        return [f"SIM{options.first + i:07d}" for i, user in enumerate(users) if user.sets_passcode_after is None]

    # -- both

    def assert_no_vpn_came_early(self) -> None:
        """By what happened and by what is stored: each VPN follows a passcode, and the proof of it under the policy."""
        passcode: set[str] = set()
        for one in self.events():
            if one.event == "profile installed" and is_vpn(one.detail):
                assert one.serial in passcode, f"{one.serial} got the VPN early"
            elif one.event == "passcode set":
                (passcode.discard if one.detail else passcode.add)(one.serial)
        unproved = self.query(UNPROVED)
        assert unproved["vpns"] > 0
        assert not unproved["unproved"]

    def settled(self, *, liars: Collection[str] = ()) -> bool:
        """Whether requirement and VPN are exactly where they should be, in both views, at one moment."""

        def in_place() -> dict[str, bool] | None:
            devices = self.devices()
            proved = {one: bool(it["passcode"] and it["compliant"]) for one, it in devices.items() if one not in liars}
            proved |= dict.fromkeys(liars, False)
            right = (holds(it, "requirement") and holds(it, "capability") == proved[one] for one, it in devices.items())
            return proved if all(right) else None

        expected = in_place()
        if expected is None:
            return False
        rows = self.rows()
        for serial, proved in expected.items():
            installations = rows.get(serial, {}).get("installations", ())
            assert all(one["reason"] for one in installations if one["state"] == "waiting"), serial
            states = {one["part"]: one["state"] for one in installations}
            if states != {"requirement": "installed", "capability": "installed" if proved else "waiting"}:
                return False
        return in_place() == expected and len(rows) == len(expected)


def holds(device: dict[str, Any], part: str) -> bool:
    """Whether the device has that part of the demo's bundle."""
    ours = [one["identifier"] for one in device["profiles"] if one["identifier"].startswith("mdmportal.bundle.")]
    return any(is_vpn(one) == (part == "capability") for one in ours)


def is_vpn(identifier: str) -> bool:
    return identifier.startswith("mdmportal.bundle.") and identifier.endswith(".capability")


# Every InstallProfile of a capability must follow an answer to SecurityInfo with all flags true, which was asked for
# after the device's list had shown the requirement. Read from what the devices' answers say, not from any verdict.
UNPROVED = """
import json
from devices.models import Command
from profiles.models import Profile
from protocol.plist import loads_dict
FLAGS = ("PasscodePresent", "PasscodeCompliant", "PasscodeCompliantWithProfiles")
requirements = set(Profile.objects.filter(part="requirement").values_list("uuid", flat=True))
capabilities = set(Profile.objects.filter(part="capability").values_list("pk", flat=True))
vpns, unproved = 0, []
listed_at, proved_at = {}, {}
facts = []
for one in Command.objects.filter(request_type__in=["ProfileList", "SecurityInfo"], state=3).defer("params"):
    facts.append((one.completed_at, one.pk, one))
for one in Command.objects.filter(request_type="InstallProfile").exclude(params=b"").defer("result"):
    if loads_dict(bytes(one.params))["Profile"] in capabilities:
        facts.append((one.created_at, one.pk, one))
for moment, _, one in sorted(facts, key=lambda fact: fact[:2]):
    if one.request_type == "InstallProfile":
        vpns += 1
        if one.enrollment_id not in proved_at:
            unproved.append(one.uuid)
        continue
    answer = loads_dict(bytes(one.result))
    if one.request_type == "ProfileList":
        there = {entry["PayloadUUID"] for entry in answer["ProfileList"]} & requirements
        if not there:
            listed_at.pop(one.enrollment_id, None)
            proved_at.pop(one.enrollment_id, None)
        else:
            listed_at.setdefault(one.enrollment_id, moment)
    elif all(answer["SecurityInfo"].get(flag) is True for flag in FLAGS):
        if one.enrollment_id in listed_at and one.sent_at >= listed_at[one.enrollment_id]:
            proved_at[one.enrollment_id] = moment
    else:
        proved_at.pop(one.enrollment_id, None)
print(json.dumps({"vpns": vpns, "unproved": unproved}))
"""


@contextmanager
def demo(folder: Path, *, devices: int, **environment: str) -> Iterator[Demo]:
    """A demo that ends with the block."""
    environment.setdefault("PORTAL_LISTEN", f"127.0.0.1:{free_port()}")
    portal = Portal(["demo", "--devices", str(devices)], clean(folder, **environment))
    try:
        yield Demo(portal, folder)
    finally:
        portal.stop()
        # For whoever looks at a failure: pytest keeps the folder.
        (folder / f"terminal-{portal.process.pid}.log").write_text("\n".join(portal.heard()))
