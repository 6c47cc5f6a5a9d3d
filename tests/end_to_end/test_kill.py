"""kill -9 of web, worker and beat at random moments, a torn broker message, then a power cut: nothing is lost.

What a crash leaves between a report and its handler is left here for real, by killing the web server while the fleet
reports; and for certain, by taking back the mark of some answers while nothing runs.
"""

import os
import random
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.demo import Demo, demo, holds
from tests.end_to_end.portal import descendants, eventually, is_alive

pytestmark = [pytest.mark.end_to_end, pytest.mark.real_clock]

DEVICES = 200
SEED = 4_710
PROCESSES = {"web": "mdmportal.web_server", "worker": "mdmportal --quiet worker", "beat": "mdmportal --quiet beat"}
# Two hundred devices asked every two seconds would keep two cores busy with nothing else.
PACE = {"PORTAL_GATE_FAST_INTERVAL": "10", "PORTAL_GATE_PROVED_INTERVAL": "60"}
NEWS = {"enrolled", "profile installed", "passcode set"}
TORN = b'{"body": "W1tdLCB7fSwgeyJjYWxs'

# Every command with its state and what it was answered, every unmatched report, and every ladder row.
ACCOUNT = """
import hashlib, json
from devices.models import Command, CommandState, UnmatchedReport
from profiles.models import Installation
commands = {}
for one in Command.objects.defer("params").iterator():
    answer = hashlib.sha256(bytes(one.result or b"")).hexdigest()
    state = CommandState(one.state).name
    ended = [state, str(one.completed_at), answer]
    commands[one.uuid] = {"ended": ended if one.state >= 3 else None, "state": state, "attempts": one.handle_attempts,
                          "handled": one.handled_at is not None, "answered": one.result is not None}
rows = Installation.objects.values_list("enrollment__device__serial_number", "part", "state", "payload_uuid", "reason")
unmatched = list(UnmatchedReport.objects.values_list("reason", flat=True))
print(json.dumps({"commands": commands, "installations": list(rows), "unmatched": unmatched}))
"""
FORGET_HANDLERS = """
import json
from django.db.models import Max
from devices.models import Command
forgotten = 0
for request_type in ("InstallProfile", "ProfileList", "SecurityInfo"):
    newest = Command.objects.filter(request_type=request_type, state=3).values("enrollment").annotate(newest=Max("pk"))
    pks = [row["newest"] for row in newest.order_by("enrollment")[:10]]
    forgotten += Command.objects.filter(pk__in=pks).update(handled_at=None)
print(json.dumps(forgotten))
"""


def test_nothing_is_lost_whatever_is_killed(tmp_path):
    dice = random.Random(SEED)
    # Counted in what happens in the fleet: from its first enrollments to its first VPNs.
    moments = sorted(dice.sample(range(DEVICES // 10, DEVICES * 2), 7))
    victims = dice.sample(["web", "web", "web", "worker", "worker", "beat"], 6)
    with demo(tmp_path, devices=DEVICES, **PACE) as first:
        address = first.announced()["url"].removeprefix("http://").removesuffix("/admin/")
        for moment, victim in zip(moments[:6], victims, strict=True):
            wait_for_news(first, moment)
            kill(first, PROCESSES[victim])
        torn = tear_a_message(tmp_path, "0-torn-while-it-runs")
        wait_for_news(first, moments[6])
        cut_the_power(first)

    before = account(first)
    assert first.query(FORGET_HANDLERS) == 30
    torn += tear_a_message(tmp_path, "0-torn-while-it-rests")

    with demo(tmp_path, devices=DEVICES, PORTAL_LISTEN=address, **PACE) as second:
        second.earlier = first.events()
        second.wait_until_said("control listening")
        for serial in sorted(second.devices().keys() - second.users_without_plans()):
            second.passcode(serial, set=True)  # who would have, in a while
        eventually(second.settled, why="the fleet did not come to rest", patience=240)
        eventually(lambda: all_ended_and_handled(account(second), before), why="a command or an answer was left")
        assert_nothing_was_lost(before, account(second), second)
        eventually(lambda: all(not one.exists() for one in torn), why="a torn message is in the way")
        assert {one.name for one in torn} <= {one.name for one in (tmp_path / "broker" / ".unreadable").iterdir()}
        second.assert_no_vpn_came_early()


def wait_for_news(running: Demo, count: int) -> None:
    def news() -> int:
        return sum(one.event in NEWS for one in running.events())

    eventually(lambda: news() >= count, patience=240, why=f"only {news()} of {count} events came")


def kill(running: Demo, name: str) -> None:
    """The process and everything it started, without a word of warning; the supervisor starts another."""
    found = [pid for pid, command in descendants(running.portal.process.pid).items() if name in command]
    if not found:  # still in the supervisor's pause after the last time
        found = eventually(lambda: [p for p, c in descendants(running.portal.process.pid).items() if name in c])
    os.killpg(os.getpgid(min(found)), signal.SIGKILL)


def cut_the_power(running: Demo) -> None:
    """The supervisor first, so that it starts nothing again."""
    below = descendants(running.portal.process.pid)
    for pid in (running.portal.process.pid, *below):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    eventually(lambda: not any(is_alive(pid) for pid in below), patience=20)


def tear_a_message(folder: Path, name: str) -> list[Path]:
    """Half a message, as a full disk or another program leaves it; first in its queue."""
    torn = folder / "broker" / "celery" / name
    torn.parent.mkdir(parents=True, exist_ok=True)
    torn.write_bytes(TORN)
    return [torn]


def account(running: Demo) -> dict[str, Any]:
    return running.query(ACCOUNT)


def all_ended_and_handled(now: dict[str, Any], before: dict[str, Any]) -> bool:
    """Everything that was known at the power cut has ended, and no answer of then waits for its handler."""
    known = [now["commands"][uuid] for uuid in before["commands"]]
    return all(one["ended"] and (one["handled"] or not one["answered"]) for one in known)


def assert_nothing_was_lost(before: dict[str, Any], after: dict[str, Any], running: Demo) -> None:
    for uuid, one in before["commands"].items():
        if one["ended"]:
            assert after["commands"][uuid]["ended"] == one["ended"], f"{uuid} ended twice"
    states = {one["state"] for one in after["commands"].values() if one["ended"]}
    assert states <= {"ACKNOWLEDGED", "CANCELLED"}
    assert all(one["answered"] for one in after["commands"].values() if one["state"] == "ACKNOWLEDGED")
    assert not any(one["attempts"] for one in after["commands"].values()), "a handler failed"
    assert not after["unmatched"]
    # Two rows for each device, none lost and none twice, and each device holds what its row says.
    rows = {(serial, part): (state, uuid) for serial, part, state, uuid, _ in after["installations"]}
    assert len(rows) == len(after["installations"]) == DEVICES * 2
    devices = running.devices()
    assert len(devices) == DEVICES
    for serial, device in devices.items():
        held = {profile["uuid"] for profile in device["profiles"]}
        assert holds(device, "requirement")
        assert rows[serial, "requirement"][1] in held
