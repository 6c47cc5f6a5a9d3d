"""The demo's second promise: an in-house profile that lives for minutes, renewed through a fake App Store Connect.

A year is shrunk to eight minutes, so that a renewal passes before one's eyes: created at the fake Apple, checked,
woken in waves, proved by every device, and the old one removed.
"""

import json
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from devices.groups import ensure_all_group
from mdmportal import start
from mdmportal.supervisor import Child
from provisioning import assignment, keys, uploading
from provisioning.models import ApiKey, DeveloperTeam, Lineage, Policy

# Seconds that a profile lives, and how old the first one is: it is due a minute after the start.
LIFETIME, AGE = 480, 250
BUNDLE_ID = "com.example.pos"


def make_fake_apple(directory: Path) -> None:
    """Its state, roots, key and first profile, by the simulator's own command; what a lineage came from stays."""
    if Lineage.objects.exists() and (directory / "team.json").is_file():
        return
    # An empty database beside the folder of an earlier run: the first profile there ended minutes after it was made.
    shutil.rmtree(directory, ignore_errors=True)
    words = ["--state", str(directory), "--prepare", "--lifetime", str(LIFETIME), "--age", str(AGE)]
    command = [sys.executable, "-m", "simulator", "appstoreconnect", *words, "--bundle-id", BUNDLE_ID]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise start.StartError(f"The fake App Store Connect could not be made: {done.stderr.strip()}")


def ensure_lineage(directory: Path, now: datetime) -> None:
    """The in-house app's lineage for every device, renewed by itself with the team's key."""
    if Lineage.objects.exists():
        return
    said = json.loads((directory / "team.json").read_text())
    with (directory / f"{BUNDLE_ID}.mobileprovision").open("rb") as file:
        uploading.take_upload(uploading.read_upload(file, now), actor=None, now=now)
    lineage = Lineage.objects.get()
    team = DeveloperTeam.objects.get()
    if not ApiKey.objects.exists():
        keys.add_key(
            team,
            program=said["program"],
            key_id=said["key_id"],
            issuer_id=said["issuer_id"],
            private_key_pem=(directory / said["key_file"]).read_bytes(),
            actor=None,
            now=now,
        )
    lineage.name, lineage.policy, lineage.api_key = "Point of sale", Policy.AUTO, ApiKey.objects.get()
    lineage.save(update_fields=["name", "policy", "api_key"])
    assignment.assign(lineage, ensure_all_group(now), excluded=False, now=now)


def fake_apple(settings: Any, *, port: str) -> Child:
    """The fake App Store Connect's process."""
    state = str(settings.DATA_DIR / "appstoreconnect")
    words = ["--state", state, "--port", port, "--lifetime", str(LIFETIME)]
    command = [sys.executable, "-m", "simulator", "appstoreconnect", *words]
    return Child("apple", command, {"PYTHONUNBUFFERED": "1"})
