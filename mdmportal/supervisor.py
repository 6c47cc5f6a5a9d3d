"""Several processes in one terminal: each line with its process's name, restarted with back-off, stopped in order.

Children die with the parent, however it dies (PR_SET_PDEATHSIG), and each has a process group of its own: Ctrl-C
reaches only us, and what a killed child leaves behind is ended before it is started again. One thread and no Django.
"""

import ctypes
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO

PR_SET_PDEATHSIG = 1
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
# A child that ran this long had started well: its next failure begins with the shortest pause again.
HEALTHY_SECONDS = 60.0
STOP_SECONDS = 15.0
READY_SECONDS = 120.0
LONGEST_LINE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Child:
    """One process. The next one is started when `ready` says yes (at once when there is no such question)."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[], bool] | None = None


class Running:
    """A child's present process, the pause before the next one, and the output that is no whole line yet."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.process: subprocess.Popen[bytes] | None = None
        self.output: IO[bytes] | None = None
        self.partial = b""
        self.started_at = 0.0
        self.start_at = 0.0
        self.pause = FIRST_PAUSE
        self.was_ready = False

    def start(self, now: float) -> None:
        parent = os.getpid()
        self.process = subprocess.Popen(
            list(self.child.command),
            env={**os.environ, **self.child.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
            preexec_fn=lambda: die_with_parent(parent),  # noqa: PLW1509 (this process has one thread)
        )
        self.output = self.process.stdout
        if self.output is not None:
            os.set_blocking(self.output.fileno(), False)
        self.started_at = now

    def signal(self, number: int) -> None:
        """To the whole group: granian's workers are children of the child."""
        if self.process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)


def die_with_parent(parent: int) -> None:
    """Ask the kernel for SIGTERM when the parent dies; called in the child, between fork and exec."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)  # it died before we asked


class Supervisor:
    """Runs `children` until a signal or `stop()`; `write` gets every line; `announce` is called once all are ready."""

    def __init__(
        self,
        children: Sequence[Child],
        *,
        write: Callable[[str], None],
        announce: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.running = [Running(child) for child in children]
        self.write = write
        self.announce = announce
        self.clock = clock
        self.stopping = False
        self.announced = False
        self.selector = selectors.DefaultSelector()

    def run(self) -> int:
        """Until SIGINT, SIGTERM or SIGHUP; then every child is stopped, last started first. Returns 0."""
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, lambda *_: self.stop()) for number in numbers}
        try:
            while not self.stopping:
                self._advance()
                self._read(0.1)
        finally:
            self._end()
            for number, handler in before.items():
                signal.signal(number, handler)
        return 0

    def stop(self) -> None:
        """End `run` at its next step; safe in a signal handler."""
        self.stopping = True

    def _advance(self) -> None:
        """Start what is due, in order; a child that is not ready yet holds back only the ones after it."""
        now = self.clock()
        for one in self.running:
            self._reap(one, now)
            if one.process is None and now >= one.start_at:
                self._start(one, now)
            if one.process is None or not self._ready(one, now):
                break
        else:
            if not self.announced:
                self.announced = True
                self.announce()

    def _start(self, one: Running, now: float) -> None:
        try:
            one.start(now)
        except OSError as error:
            self._say(one, f"cannot be started: {error}")
            self._postpone(one, now)
            return
        self.selector.register(one.output, selectors.EVENT_READ, one)  # type: ignore[arg-type]  # PIPE was asked for

    def _ready(self, one: Running, now: float) -> bool:
        if not one.was_ready:
            # A question that never says yes must not keep the others from starting for ever.
            late = now - one.started_at > READY_SECONDS
            one.was_ready = one.child.ready is None or late or one.child.ready()
        return one.was_ready

    def _reap(self, one: Running, now: float) -> None:
        if one.process is None or one.process.poll() is None:
            return
        status = one.process.returncode
        one.signal(signal.SIGKILL)  # what it left behind may still hold the port
        self._drain(one)
        self._close(one)
        if now - one.started_at >= HEALTHY_SECONDS:
            one.pause = FIRST_PAUSE
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        self._say(one, f"{how}; it is started again in {one.pause:g} s")
        self._postpone(one, now)

    def _postpone(self, one: Running, now: float) -> None:
        one.process = None
        one.start_at = now + one.pause
        one.pause = min(one.pause * 2, LONGEST_PAUSE)

    def _read(self, seconds: float) -> None:
        if not self.selector.get_map():
            time.sleep(seconds)
            return
        for key, _ in self.selector.select(seconds):
            self._drain(key.data, once=True)

    def _drain(self, one: Running, *, once: bool = False) -> None:
        """Pass on the lines that are there; never waits, for the pipe may be held open by a grandchild."""
        while one.output is not None:
            chunk = one.output.read(LONGEST_LINE)
            if not chunk:
                if chunk == b"":
                    self._close(one)
                return
            *lines, one.partial = (one.partial + chunk).split(b"\n")
            if len(one.partial) > LONGEST_LINE:
                lines, one.partial = [*lines, one.partial], b""
            for line in lines:
                self._say(one, line.decode(errors="replace").rstrip())
            if once:
                return

    def _close(self, one: Running) -> None:
        if one.output is None:
            return
        self.selector.unregister(one.output)
        one.output.close()
        one.output = None
        if one.partial:
            self._say(one, one.partial.decode(errors="replace").rstrip())
            one.partial = b""

    def _say(self, one: Running, text: str) -> None:
        width = max(len(other.child.name) for other in self.running)
        self.write(f"{one.child.name:<{width}} | {text}")

    def _end(self) -> None:
        for one in reversed(self.running):
            self._stop(one)
        self.selector.close()

    def _stop(self, one: Running) -> None:
        if one.process is None:
            return
        # SIGTERM to the child alone: it knows in which order its own children end.
        with suppress(ProcessLookupError):
            one.process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        while one.process.poll() is None and time.monotonic() < deadline:
            self._read(0.05)
        if one.process.poll() is None:
            self._say(one, f"did not stop within {STOP_SECONDS:g} s and is killed")
        one.signal(signal.SIGKILL)
        one.process.wait()
        self._drain(one)
        self._close(one)
        one.process = None
