"""Pushes per second over one connection to the fake APNs (budget: 500), which runs in a process of its own.

python -m benchmarks.bench_push [COUNT]
"""

import multiprocessing
import os
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import django

from protocol.push import PushNotification, PushOutcome
from simulator.apns import FakeApns

BATCH = 500


def serve(directory: str, pipe: Connection) -> None:
    with FakeApns(Path(directory), accept_any=True) as fake:
        pipe.send((fake.url, fake.topic))
        pipe.recv()
        pipe.send(fake.connections)


def main(count: int) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    from devices.apns.client import Apns, Credentials

    with tempfile.TemporaryDirectory() as directory:
        ours, theirs = multiprocessing.Pipe()
        server = multiprocessing.get_context("spawn").Process(target=serve, args=(directory, theirs))
        server.start()
        url, topic = ours.recv()
        folder = Path(directory)
        credentials = Credentials(
            topic=topic,
            certificate_pem=(folder / "push-certificate.pem").read_text(),
            private_key_pem=(folder / "push-key.pem").read_bytes(),
            url=url,
            ca_file=str(folder / "apns-ca.pem"),
        )
        expiration = int(time.time()) + 3600
        batch = [
            PushNotification(token=n.to_bytes(32, "big"), push_magic="M" * 36, topic=topic, expiration=expiration)
            for n in range(BATCH)
        ]
        apns = Apns(folder)
        apns.deliver(credentials, batch[:1])
        started, cpu, accepted = time.perf_counter(), time.process_time(), 0
        for _ in range(count // BATCH):
            answers = apns.deliver(credentials, batch)
            accepted += sum(answer.outcome is PushOutcome.ACCEPTED for answer in answers)
        took, cpu = time.perf_counter() - started, time.process_time() - cpu
        apns.close()
        ours.send(None)
        print(f"{accepted / took:.0f} pushes/s, {cpu / accepted * 1e6:.0f} us CPU each, {ours.recv()} connection(s)")
        server.join(10)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000)
