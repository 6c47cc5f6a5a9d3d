"""CPU per idle connect through the real web server, in the server and in PostgreSQL.

    python -m benchmarks.bench_connect [REQUESTS] [DEVICES] [ANSWERED_EACH]
Starts a PostgreSQL and a granian of its own, enrolls devices straight into the tables, then sends signed Idle reports, and
the same again with a proxy's certificate header. CPU time is what the kernel counted for the processes, so a busy machine
hardly matters; the client is not counted.
"""

import base64
import http.client
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import django

from tests.end_to_end.portal import clean, descendants, free_port
from tests.postgres import running

HEADER = "Client-Cert"
TICK = os.sysconf("SC_CLK_TCK")
CLIENTS = 4


def cpu_seconds(pids) -> float:
    """User and system time of the processes, as the kernel counts it."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def postgres_pids() -> list[int]:
    found = []
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            if comm.read_text().strip() == "postgres":
                found.append(int(comm.parent.name))
        except OSError:
            continue
    return found


def enroll(devices: int, answered_each: int):
    """Devices with real identities of our authority, sharing one key; their signed Idle reports."""
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding

    from certificates.authority import ensure_authority, issue_identity
    from devices.models import Device, Enrollment, Identity
    from protocol.cms import sign_detached
    from tests.devices.queue_rows import answered

    now, key = datetime.now(UTC), rsa.generate_private_key(65537, 2048)
    authority, requests = ensure_authority(now), []
    for number in range(devices):
        udid = f"00008020-{number:016X}"
        issued = issue_identity(authority, key.public_key(), common_name=udid, now=now)
        device = Device.objects.create(udid=udid, created_at=now, state="enrolled")
        enrollment = Enrollment.objects.create(
            device=device, kind="device", enrollment_id=udid, state="enrolled", authenticated_at=now
        )
        Identity.objects.create(
            enrollment=enrollment, certificate=issued, sha256=issued.sha256, not_after=issued.not_after, bound_at=now
        )
        answered(enrollment, now, answered_each)
        body = (
            '<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" '
            '"http://www.apple.com/DTDs/PropertyList-1.0.dtd"><plist version="1.0"><dict><key>Status</key>'
            f"<string>Idle</string><key>UDID</key><string>{udid}</string></dict></plist>"
        ).encode()
        signature = sign_detached(body, issued.certificate, private_key=key)
        der = issued.certificate.public_bytes(Encoding.DER)
        requests.append((body, base64.b64encode(signature).decode(), f":{base64.b64encode(der).decode()}:"))
    return requests


def send(port: int, requests, *, count: int, by_header: bool) -> None:
    """`count` reports over one kept connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for number in range(count):
        body, signature, certificate = requests[number % len(requests)]
        headers = {HEADER: certificate} if by_header else {"Mdm-Signature": signature}
        connection.request("PUT", "/mdm/connect", body, headers)
        answer = connection.getresponse()
        if answer.status != 200 or answer.read():
            raise SystemExit(f"answered {answer.status}")
    connection.close()


@contextmanager
def web_server(url: str, folder: str):
    (Path(folder) / "static").mkdir()
    port = free_port()
    environment = clean(
        Path(folder),
        DATABASE_URL=url,
        PORTAL_LISTEN=f"127.0.0.1:{port}",
        PORTAL_URL=f"http://127.0.0.1:{port}",
        PORTAL_TRUSTED_PROXIES="127.0.0.1",
        PORTAL_CERTIFICATE_HEADER=HEADER,
        PORTAL_LOG_LEVEL="WARNING",
        PORTAL_WEB_WORKERS="1",
        PORTAL_ENCRYPTION_KEYS=os.environ["PORTAL_ENCRYPTION_KEYS"],
        SECRET_KEY=os.environ["SECRET_KEY"],
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "mdmportal.web_server"], env=environment, stdout=subprocess.DEVNULL
    )
    try:
        for _ in range(300):
            try:
                http.client.HTTPConnection("127.0.0.1", port, timeout=1).request("GET", "/")
                break
            except OSError:
                time.sleep(0.1)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def measure(title: str, port: int, pid: int, requests, *, count: int, by_header: bool) -> None:
    send(port, requests, count=200, by_header=by_header)
    server, database = [pid, *descendants(pid)], postgres_pids()
    before = cpu_seconds(server), cpu_seconds(database)
    started = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        share = count // CLIENTS
        list(pool.map(lambda _: send(port, requests, count=share, by_header=by_header), range(CLIENTS)))
    wall = time.perf_counter() - started
    web = (cpu_seconds(server) - before[0]) / count * 1000
    sql = (cpu_seconds(database) - before[1]) / count * 1000
    print(
        f"{title}: {web + sql:.3f} ms CPU a connect ({web:.3f} server, {sql:.3f} PostgreSQL), {count / wall:.0f} a second"
    )


def main(count: int, devices: int, answered_each: int) -> None:
    with running() as server, tempfile.TemporaryDirectory() as folder:
        os.environ["DATABASE_URL"], os.environ["DJANGO_SETTINGS_MODULE"] = server.url, "tests.settings"
        django.setup()
        from django.core.management import call_command
        from django.db import connection

        call_command("migrate", verbosity=0)
        requests = enroll(devices, answered_each)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
        connection.close()
        with web_server(server.url, folder) as (port, pid):
            measure("certificate header", port, pid, requests, count=count, by_header=True)
            measure("Mdm-Signature", port, pid, requests, count=count, by_header=False)


if __name__ == "__main__":
    main(*map(int, [*sys.argv[1:], *("4000", "200", "10")[len(sys.argv) - 1 :]]))
