"""What the demo puts into its portal: a fake push certificate, a bundle for everyone, an invitation for the fleet.

Everything is made by the same functions that IT staff's clicks call, and what is there from the last run stays.
"""

import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.db import connection, transaction
from django.db.models import Count

from certificates import push_certificates
from devices import acts
from devices.groups import ensure_all_group
from devices.models import Enrollment
from mdmportal import demo_data, start
from mdmportal.demo import provisioning
from mdmportal.supervisor import Child
from operations import audit
from profiles import assignment, importing, publishing
from profiles.models import Bundle, DeliveryRule, Role
from protocol.mobileconfig import parse_mobileconfig

FILES = Path(__file__).parent
BUNDLE = "Corporate VPN"
PARTS = (("requirement.mobileconfig", Role.REQUIREMENT), ("capability.mobileconfig", Role.CAPABILITY))
INVITATION_LIFETIME = timedelta(days=30)
# Seconds after which the first two users who set a passcode drop it again, to show that the VPN goes.
DROPS = ("90", "150")


def refuse_real_database() -> None:
    """StartError unless the database is empty or a demo's own."""
    if connection.introspection.table_names() and not demo_data.is_demo_database():
        raise start.StartError("This database was not made by the demo. Give DATABASE_URL an empty one.")


def prepare(settings: Any, *, now: datetime, password: str, devices: int) -> str:
    """Fill the portal; returns the address at which the fleet gets its enrollment profiles."""
    apple = settings.DATA_DIR / "apple"
    make_fake_apple(apple)
    provisioning.make_fake_apple(settings.DATA_DIR / "appstoreconnect")
    with transaction.atomic():
        if not demo_data.is_demo_database():
            audit.record(None, demo_data.PREPARED, subject=None, now=now)
        start.administrator("admin", password)
        upload_push_certificate(apple, now)
        ensure_bundle(now)
        provisioning.ensure_lineage(settings.DATA_DIR / "appstoreconnect", now)
        _, token = acts.invite(
            groups=[],
            uses=max(devices, 1),
            lifetime=INVITATION_LIFETIME,
            serial_number="",
            note=f"demo fleet of {devices}",
            actor=None,
            now=now,
        )
    return f"{settings.PORTAL_URL}/enroll/{token}/profile"


def make_fake_apple(directory: Path) -> None:
    """By the simulator's own command, for the portal never imports the simulator."""
    command = [sys.executable, "-m", "simulator", "apple", "--dir", str(directory)]
    done = subprocess.run(command, cwd=FILES.parents[1], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise start.StartError(f"The fake Apple could not be made: {done.stderr.strip()}")


def upload_push_certificate(apple: Path, now: datetime) -> None:
    """Upload the fake push certificate, unless it is the one in use."""
    certificate, key = (apple / "push-certificate.pem").read_bytes(), (apple / "push-key.pem").read_bytes()
    current = push_certificates.current_push_certificate()
    if current is not None and current.certificate_pem.strip() == certificate.decode().strip():
        return
    enrolled = Enrollment.objects.enrolled().values("topic").annotate(devices=Count("pk"))
    topics = {row["topic"]: row["devices"] for row in enrolled}
    push_certificates.upload_pem(certificate, key, now=now, enrolled_topics=topics)


def ensure_bundle(now: datetime) -> Bundle:
    """The VPN behind its passcode policy, published and assigned to everyone."""
    bundle = Bundle.objects.filter(name=BUNDLE).first()
    if bundle is not None:
        return bundle
    description = "The VPN to the head office, for devices that have proved a passcode of six characters."
    bundle = importing.new_bundle(BUNDLE, now=now, rule=DeliveryRule.AFTER_COMPLIANCE, description=description)
    for name, role in PARTS:
        importing.import_payloads(bundle, parse_mobileconfig((FILES / name).read_bytes()), role)
    publishing.publish(bundle, by=None, now=now)
    assignment.assign(bundle, ensure_all_group(now), now=now)
    return bundle


def fleet(settings: Any, *, url: str, devices: int, apns_port: str, control_port: str) -> Child:
    """The simulator's process: its fake APNs and its devices, kept in the demo's folder."""
    folder = settings.DATA_DIR
    arguments = {
        "--url": url,
        "--devices": str(devices),
        "--apple": str(folder / "apple"),
        "--apns-port": apns_port,
        "--control": control_port,
        "--state": str(folder / "fleet"),
        # Never all at once, and one of them late, to see it wait.
        "--passcode-delay": "5-40",
    }
    command = [sys.executable, "-m", "simulator", "fleet", *(part for pair in arguments.items() for part in pair)]
    return Child("fleet", [*command, "--drop-passcode-after", *DROPS], {"PYTHONUNBUFFERED": "1"})
