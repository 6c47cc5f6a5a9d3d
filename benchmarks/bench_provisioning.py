"""One lineage on a large fleet: the scan, beginning and opening waves, plans, and where the roll-out stands.

    [DATABASE_URL=postgres://...] python -m benchmarks.bench_provisioning [DEVICES]
On the database of DATABASE_URL (an empty one; it is filled and left so), else on SQLite in a temporary folder. Each line:
what, seconds of wall time, statements.
"""

import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import django


def main(devices: int) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    from cryptography.hazmat.primitives.serialization import Encoding
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection

    from tests.protocol.provisioning_files import apple

    call_command("migrate", verbosity=0)
    with tempfile.TemporaryDirectory() as directory:
        roots = Path(directory) / "roots.pem"
        roots.write_bytes(apple().root.certificate.public_bytes(Encoding.PEM))
        settings.PROVISIONING_EXTRA_ROOTS = str(roots)
        renewal = fill(devices)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
        print(f"{connection.vendor}, {devices} devices on one lineage")
        roll_out(renewal)
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB at most")


def fill(devices: int) -> Any:
    """Devices that hold the old profile and have proved it, and a renewal whose new one is about to go out."""
    from devices.groups import ensure_all_group
    from provisioning.models import (
        LineageAssignment,
        ListedProvisioningProfile,
        Policy,
        ProvisioningInstallation,
        Renewal,
        RenewalState,
    )
    from tests.protocol.provisioning_files import NOW
    from tests.provisioning.phones import enrollments

    old, new = adopted(NOW), adopted(NOW + timedelta(days=330))
    lineage = old.lineage
    lineage.policy = Policy.AUTO
    lineage.save()
    LineageAssignment.objects.create(lineage=lineage, group=ensure_all_group(NOW), created_at=NOW)
    for start in range(0, devices, 500):
        batch = enrollments(min(500, devices - start), NOW)
        ListedProvisioningProfile.objects.bulk_create(
            [
                ListedProvisioningProfile(
                    enrollment=one, uuid=old.uuid, uuid_key=old.uuid_key, expires_at=old.expires_at, asked_at=NOW,
                    reported_at=NOW,
                )
                for one in batch
            ],
            100,
        )  # fmt: skip
        ProvisioningInstallation.objects.bulk_create(
            [
                ProvisioningInstallation(
                    enrollment=one, lineage=lineage, profile=old, state="installed", created_at=NOW, changed_at=NOW,
                    proved_at=NOW,
                )
                for one in batch
            ],
            50,
        )  # fmt: skip
    return Renewal.objects.create(
        lineage=lineage, old_profile=old, new_profile=new, state=RenewalState.CANARY, wave=1, started_at=NOW
    )


def adopted(begin: Any) -> Any:
    from protocol.mobileprovision import read_provisioning_profile
    from provisioning import lineages
    from provisioning.models import Source
    from tests.protocol.provisioning_files import in_house, roots

    file = read_provisioning_profile(in_house(now=begin), roots=roots())
    return lineages.adopt(file, source=Source.UPLOAD, actor=None, now=begin)


def roll_out(renewal: Any) -> None:
    from provisioning import polling, renewals, rollout
    from provisioning.models import ProvisioningInstallation
    from tests.protocol.provisioning_files import NOW

    now = NOW + timedelta(days=331)
    timed("scan", lambda: renewals.scan(now))
    timed("begin: every target in its wave", lambda: rollout.begin(renewal, now, waves=(10, 50, 100)))
    timed("plan_all: every command queued", lambda: rollout.plan_all(now))
    for wave in (2, 3, 4):
        renewal.wave = wave
        renewal.save()
        timed(f"open wave {wave}", lambda: rollout.open_wave(renewal, now))
    timed("plan_all again: nothing to do", lambda: rollout.plan_all(now))
    ProvisioningInstallation.objects.filter(wave__in=[1, 2]).update(state="installed")
    timed("progress", lambda: rollout.progress(renewal))
    timed("coverage", lambda: rollout.coverage(renewal.lineage))
    timed("the first twenty stragglers", lambda: list(rollout.stragglers(renewal.lineage)[:20]))
    timed("asking everybody for a list", lambda: polling.poll_lists(now))


def timed(what: str, work: Callable[[], Any]) -> None:
    with counted() as statements:
        started = time.perf_counter()
        result = work()
        took = time.perf_counter() - started
    print(f"{what:35} {took:8.2f} s {len(statements):7} statements   {str(result)[:90]}", flush=True)


@contextmanager
def counted() -> Iterator[list[None]]:
    from django.db import connection

    seen: list[None] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001 (Django's signature)
        seen.append(None)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield seen


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
