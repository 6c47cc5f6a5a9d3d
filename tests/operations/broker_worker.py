"""A Celery application over the embedded broker, for a worker process that the tests start; it needs no Django."""

import os
from pathlib import Path

from celery import Celery

from operations import broker

broker.install()
FOLDER = Path(os.environ["BROKER_TEST_FOLDER"])
app = Celery("broker_worker", broker="filesystem://localhost", set_as_current=False)
app.conf.update(
    broker_transport_options={"folder": str(FOLDER / "broker"), "polling_interval": 0.05},
    broker_connection_retry_on_startup=True,
    worker_enable_remote_control=False,
    worker_prefetch_multiplier=8,
    worker_hijack_root_logger=False,
    task_ignore_result=True,
    task_acks_late=True,
)


@app.task(name="leave_a_file")
def leave_a_file(name: str) -> None:
    (FOLDER / name).touch()
