"""A provisioning profile renewed by a real beat and worker on the embedded broker, against the fake App Store Connect.

Nobody touches anything: the profile comes due, Apple makes one new profile, every device proves it, the old one goes.
After days without a beat, the first tick catches up.
"""

import json

import httpx
import pytest

from tests.end_to_end.demo import Demo, demo
from tests.end_to_end.portal import eventually

pytestmark = [pytest.mark.end_to_end, pytest.mark.real_clock]

DEVICES = 3
STANDING = """
import json
from devices.models import Enrollment
from provisioning.models import ProvisioningProfile, Renewal
print(json.dumps({
    "enrolled": Enrollment.objects.enrolled().count(),
    "renewals": list(Renewal.objects.order_by("pk").values_list("state", flat=True)),
    "profiles": list(ProvisioningProfile.objects.order_by("created_at", "pk").values_list("uuid", flat=True)),
}))
"""
OVERDUE = """
from datetime import timedelta
from django.utils import timezone
from provisioning.models import Lineage
Lineage.objects.update(renew_at=timezone.now() - timedelta(days=3))
print("null")
"""


def held(running: Demo) -> dict[str, list[str]]:
    """Serial number -> the UUIDs of the provisioning profiles on the device."""
    devices = httpx.get(f"{running.control}/devices", timeout=30).json()
    return {one["serial"]: [profile["uuid"] for profile in one["provisioning_profiles"]] for one in devices}


def made_at_apple(running: Demo) -> int:
    """How many profiles were asked for, answered or not."""
    port = json.loads((running.folder / "demo.json").read_text())["appstoreconnect"]
    state = httpx.get(f"http://127.0.0.1:{port}/_control/state", timeout=30).json()
    return int(state["requests"].get("POST /profiles", 0))


def is_renewed(running: Demo, *, times: int) -> bool:
    """Whether that many renewals are done and every device holds the newest profile and no other."""
    standing = running.query(STANDING)
    done = [state for state in standing["renewals"] if state == "done"]
    if len(done) < times or standing["enrolled"] < DEVICES:
        return False
    return all(uuids == [standing["profiles"][-1]] for uuids in held(running).values())


def test_a_due_profile_is_renewed_by_itself_and_an_overdue_one_at_the_first_tick(tmp_path):
    with demo(tmp_path, devices=DEVICES) as running:
        running.announced()
        eventually(lambda: is_renewed(running, times=1), patience=240, why="it was never renewed")
        assert made_at_apple(running) == 1
        first = running.query(STANDING)
        assert first["renewals"] == ["done"]
        assert len(first["profiles"]) == 2

    # Nothing runs, and the moment it came due lies three days back.
    running.query(OVERDUE)
    with demo(tmp_path, devices=DEVICES) as running:
        running.announced()
        eventually(lambda: is_renewed(running, times=2), patience=180, why="nobody caught up")
        assert made_at_apple(running) == 1
