"""A portal of real processes for a test: `manage.py up` or `demo` on a folder of its own, read line by line."""

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# Generous: the machine may be busy with other things.
PATIENCE = 120.0


class Portal:
    """One running command of manage.py and everything it has said."""

    def __init__(self, arguments: list[str], environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        self.lines: list[str] = []
        self._fresh: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._fresh.put(line.rstrip())
        self._fresh.put(None)

    def wait_for(self, text: str, *, patience: float = PATIENCE) -> str:
        """The next line that holds `text`."""
        deadline = time.monotonic() + patience
        while True:
            try:
                line = self._fresh.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                raise AssertionError(f"{text!r} was never said:\n" + "\n".join(self.lines[-60:]))
            self.lines.append(line)
            if text in line:
                return line

    def heard(self) -> list[str]:
        """Every line so far, without waiting for more."""
        while True:
            try:
                line = self._fresh.get_nowait()
            except queue.Empty:
                return self.lines
            if line is None:
                self._fresh.put(None)  # the end is for whoever asks next, too
                return self.lines
            self.lines.append(line)

    def manage(self, *arguments: str) -> str:
        """Another command of manage.py in the same environment; its standard output."""
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it and wait; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout=60)
        finally:
            self.process.kill()
            self._reader.join(timeout=10)
            assert self.process.stdout is not None
            self.process.stdout.close()


@contextmanager
def running(arguments: list[str], folder: Path, **environment: str) -> Iterator[Portal]:
    """A portal that ends with the block."""
    portal = Portal(arguments, clean(folder, **environment))
    try:
        yield portal
    finally:
        portal.stop()


def clean(folder: Path, **environment: str) -> dict[str, str]:
    """An environment that holds nothing of the tests' own or the developer's settings."""
    ours = ("PORTAL_", "APNS_", "CELERY_", "DJANGO_", "PYTEST_")
    names = {"SECRET_KEY", "DEBUG", "EMAIL_URL", "DATABASE_URL"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours) and name not in names}
    given = {name: value for name, value in environment.items() if value}
    return {**kept, "PORTAL_DATA_DIR": str(folder), **given}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def descendants(pid: int) -> dict[int, str]:
    """Every process below `pid` with its command line."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
    found: dict[int, str] = {}
    level = {pid}
    while level:
        level = {child for child, parent in parents.items() if parent in level}
        for child in level:
            try:
                found[child] = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            except OSError:
                continue
    return found


def eventually(question: Callable[[], Any], *, patience: float = PATIENCE, why: str = "") -> Any:
    """The first true answer; fails after `patience` seconds."""
    deadline = time.monotonic() + patience
    while True:
        answer = question()
        if answer:
            return answer
        assert time.monotonic() < deadline, why or "it never happened"
        time.sleep(0.25)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
