"""The queue's statements alone, on the database of DATABASE_URL (an empty one; it is filled and left so).

    DATABASE_URL=postgres://... python -m benchmarks.bench_queue [DEVICES] [ANSWERED_EACH]
Wall microseconds in this process: Idle with nothing open, and a whole session of five commands per report.
"""

import os
import statistics
import sys
import time
from datetime import UTC, datetime

import django


def main(devices: int, answered_each: int) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from certificates.encryption import encrypt
    from devices import queue
    from protocol.reports import Status
    from tests.devices.queue_rows import answered, enrolled, queued

    call_command("migrate", verbosity=0)
    now = datetime.now(UTC)
    fleet = [enrolled(now) for _ in range(devices)]
    for enrollment, _ in fleet:
        answered(enrollment, now, answered_each)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    raw = encrypt(b"<plist/>" * 50)

    def tell(index: int, status: Status, uuid: str | None = None) -> str | None:
        enrollment, fingerprint = fleet[index % devices]
        started = time.perf_counter()
        outcome = queue.report(
            connection,
            fingerprint=fingerprint,
            enrollment_id=enrollment.enrollment_id,
            parent_id=None,
            status=status,
            command_uuid=uuid,
            raw=raw,
            error_chain=[],
            now=now,
        )
        times.append((time.perf_counter() - started) * 1e6)
        return outcome.offer.uuid if outcome.offer else None

    times: list[float] = []
    for index in range(2000):
        tell(index, Status.IDLE)
    print(f"{connection.vendor}: idle {statistics.median(times):.0f} us", end="; ")
    for enrollment, _ in fleet:
        for _ in range(5):
            queued(enrollment, now)
    times.clear()
    for index in range(devices):
        uuid = tell(index, Status.IDLE)
        while uuid:
            uuid = tell(index, Status.ACKNOWLEDGED, uuid)
    print(
        f"report with its next command {statistics.median(times):.0f} us ({answered_each} answered before, per device)"
    )


if __name__ == "__main__":
    main(*(int(word) for word in (sys.argv[1:] + ["100", "100"][len(sys.argv) - 1 :])[:2]))
