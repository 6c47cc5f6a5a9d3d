"""Rows that the tests of queue and push stand on: a device with its certificate, user channels, commands."""

import hashlib
import itertools
from datetime import datetime, timedelta
from typing import Any

from certificates.models import CertificateAuthority, IssuedCertificate
from devices.models import Command, Device, Enrollment, Identity

_numbers = itertools.count(1)


def authority(now: datetime) -> CertificateAuthority:
    values = {"certificate_der": b"", "private_key_pem": b"", "created_at": now}
    values["not_after"] = now + timedelta(days=7300)
    return CertificateAuthority.objects.get_or_create(name="queue tests", defaults=values)[0]


def enrolled(now: datetime, **values: Any) -> tuple[Enrollment, bytes]:
    """An enrolled device channel and the fingerprint of the certificate that speaks for it."""
    number = next(_numbers)
    udid = f"UDID-{number}"
    device = Device.objects.create(udid=udid, created_at=now)
    defaults = {"kind": "device", "enrollment_id": udid, "state": "enrolled", "authenticated_at": now}
    enrollment = Enrollment.objects.create(device=device, **{**defaults, **values})
    fingerprint = hashlib.sha256(udid.encode()).digest()
    certificate = IssuedCertificate.objects.create(
        authority=authority(now),
        sha256=fingerprint,
        serial_number=f"{number:x}",
        subject=udid,
        public_key_sha256=fingerprint,
        certificate_der=b"",
        not_before=now,
        not_after=now + timedelta(days=365),
        issued_at=now,
    )
    Identity.objects.create(
        enrollment=enrollment,
        certificate=certificate,
        sha256=fingerprint,
        not_after=certificate.not_after,
        bound_at=now,
    )
    return enrollment, fingerprint


def user_channel(parent: Enrollment, now: datetime, **values: Any) -> Enrollment:
    defaults = {
        "device": parent.device,
        "parent": parent,
        "kind": "user",
        "enrollment_id": f"{parent.enrollment_id}:USER",
        "state": "enrolled",
        "authenticated_at": now,
    }
    return Enrollment.objects.create(**{**defaults, **values})


def queued(enrollment: Enrollment, now: datetime, **values: Any) -> Command:
    defaults = {"uuid": f"COMMAND-{next(_numbers)}", "request_type": "DeviceInformation", "created_at": now}
    return Command.objects.create(enrollment=enrollment, **{**defaults, **values})


def answered(enrollment: Enrollment, now: datetime, count: int) -> None:
    """`count` commands that were answered long ago."""
    Command.objects.bulk_create(
        [
            Command(
                uuid=f"OLD-{enrollment.pk}-{next(_numbers)}",
                enrollment=enrollment,
                request_type="DeviceInformation",
                state=3,
                created_at=now,
                completed_at=now,
                handled_at=now,
            )
            for _ in range(count)
        ],
        batch_size=1000,
    )
