"""The embedded broker: messages come out as they went in, in order, and rubbish never stops a worker."""

import os
import subprocess
import sys
import time
from pathlib import Path
from queue import Empty

import pytest
from kombu import Connection

from operations import broker

ROOT = Path(__file__).resolve().parents[2]
RUBBISH = {
    "empty": b"",
    "torn": b'{"body": "W1tdLCB7fSwge',
    "no text": b"\xff\xfe\x00",
    "a number": b"7",
    "a list": b"[]",
    "no properties": b'{"body": "e30="}',
    "properties of a wrong type": b'{"properties": 7}',
    "no delivery tag": b'{"body": "e30=", "headers": {}, "properties": {"delivery_info": {}}}',
    "no routing key": b'{"body": "e30=", "headers": {}, "properties": {"delivery_tag": "1", "delivery_info": {}}}',
    "body of no base64": b'{"body": "e", "properties": {"body_encoding": "base64", "delivery_tag": "1"}}',
    "unknown body encoding": b'{"body": "e30=", "properties": {"body_encoding": "x", "delivery_tag": "1"}}',
    "headers of a wrong type": b'{"headers": [1], "properties": {"delivery_tag": "1", "delivery_info": {"exchange": '
    b'"", "routing_key": "celery"}}}',
    "deep": b"[" * 100_000,
}  # fmt: skip


@pytest.fixture
def channel(tmp_path):
    broker.install()
    options = {"folder": str(tmp_path / "broker")}
    with Connection("filesystem://localhost", transport_options=options) as connection:
        yield connection.default_channel


def publish(channel, text):
    channel.basic_publish(channel.prepare_message(text), exchange="", routing_key="celery")


def bodies(channel):
    found = []
    while True:
        try:
            found.append(channel.Message(channel._get("celery"), channel=channel).body)
        except Empty:
            return found


def test_messages_come_out_in_order_and_only_once(channel):
    for text in ("one", "two", "three"):
        publish(channel, text)
    assert channel._size("celery") == 3
    assert bodies(channel) == [b"one", b"two", b"three"]
    assert bodies(channel) == []


def test_everything_it_writes_is_for_its_owner_alone(channel, tmp_path):
    publish(channel, "one")
    for path in (tmp_path / "broker").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("rubbish", RUBBISH.values(), ids=RUBBISH)
def test_a_message_that_cannot_be_read_is_set_aside(channel, tmp_path, rubbish):
    folder = tmp_path / "broker" / "celery"
    folder.mkdir(exist_ok=True)
    (folder / "0").write_bytes(rubbish)
    publish(channel, "after it")
    assert bodies(channel) == [b"after it"]
    assert (tmp_path / "broker" / ".unreadable" / "0").read_bytes() == rubbish


def test_a_folder_between_the_messages_is_set_aside(channel, tmp_path):
    (tmp_path / "broker" / "celery" / "0").mkdir(parents=True)
    publish(channel, "after it")
    assert bodies(channel) == [b"after it"]


def test_a_queue_cannot_be_named_out_of_the_folder(channel):
    for name in ("../escape", "", ".new", "a/b"):
        with pytest.raises(ValueError, match="name of a queue"):
            channel._put(name, {})


@pytest.mark.end_to_end
def test_a_real_worker_goes_on_after_rubbish(tmp_path, monkeypatch):
    monkeypatch.setenv("BROKER_TEST_FOLDER", str(tmp_path))
    # Celery itself reads this one, and it beats what the application says.
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    sys.modules.pop("tests.operations.broker_worker", None)
    from tests.operations.broker_worker import leave_a_file

    folder = tmp_path / "broker" / "celery"
    folder.mkdir(parents=True)
    for number, rubbish in enumerate(RUBBISH.values()):
        (folder / f"{number:02d}").write_bytes(rubbish)
    leave_a_file.delay("before")
    arguments = [sys.executable, "-m", "celery", "-A", "tests.operations.broker_worker", "worker", "-P", "threads"]
    log = (tmp_path / "log").open("wb")
    # Celery would read the tests' Django settings, which name another broker.
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    worker = subprocess.Popen([*arguments, "-c", "2"], cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        wait_for(tmp_path / "before", worker)
        (folder / "torn-while-it-runs").write_bytes(RUBBISH["torn"])
        # Read by the broker, unknown to Celery.
        leave_a_file.app.send_task("no_such_task", ["x"])
        leave_a_file.delay("after")
        wait_for(tmp_path / "after", worker)
    finally:
        worker.terminate()
        status = worker.wait(timeout=30)
        log.close()
    assert status == 0, (tmp_path / "log").read_text()
    assert len(list((tmp_path / "broker" / ".unreadable").iterdir())) == len(RUBBISH) + 1


def wait_for(path, worker):
    deadline = time.monotonic() + 30
    while not path.exists():
        assert worker.poll() is None, "the worker ended"
        assert time.monotonic() < deadline, f"{path.name} never came"
        time.sleep(0.05)
