"""The supervisor: names on lines, restarts, an orderly end, and no orphan however it dies."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mdmportal.supervisor import Child, Supervisor

ROOT = Path(__file__).resolve().parents[2]
SLEEP = "import time; print('up', flush=True); time.sleep(60)"


def python(code):
    return [sys.executable, "-u", "-c", code]


class Terminal:
    """Collects the lines and stops the supervisor when one says so."""

    def __init__(self, until):
        self.lines = []
        self.until = until
        self.supervisor = None

    def __call__(self, line):
        self.lines.append(line)
        if self.until(self.lines):
            self.supervisor.stop()


def run(children, until):
    terminal = Terminal(until)
    terminal.supervisor = Supervisor(children, write=terminal)
    before = time.monotonic()
    assert terminal.supervisor.run() == 0
    assert time.monotonic() - before < 30
    return terminal.lines


def test_each_line_carries_the_name_of_its_process():
    children = [Child("web", python(SLEEP)), Child("worker", python(SLEEP))]
    assert sorted(run(children, lambda lines: len(lines) == 2)) == ["web    | up", "worker | up"]


def test_a_process_that_ends_is_started_again_after_a_pause():
    lines = run([Child("web", python("print('up')"))], lambda lines: lines.count("web | up") == 2)
    assert lines == ["web | up", "web | ended with status 0; it is started again in 0.5 s", "web | up"]


def test_a_killed_process_is_named_as_killed():
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert run([Child("web", python(code))], bool) == ["web | was killed by SIGKILL; it is started again in 0.5 s"]


def test_a_program_that_does_not_exist_stops_nothing():
    lines = run([Child("web", ["/nonexistent"])], lambda lines: len(lines) == 2)
    assert "cannot be started" in lines[0]


def test_the_next_process_waits_until_the_one_before_it_is_ready(tmp_path):
    first = f"import pathlib, time; pathlib.Path({str(tmp_path / 'ready')!r}).touch(); time.sleep(60)"
    second = f"import pathlib; print(pathlib.Path({str(tmp_path / 'ready')!r}).exists(), flush=True)"
    children = [Child("first", python(first), ready=(tmp_path / "ready").exists), Child("second", python(second))]
    assert run(children, bool) == ["second | True"]


def test_the_announcement_comes_once_and_when_all_are_ready():
    said = []
    supervisor = Supervisor([Child("web", python(SLEEP))], write=lambda line: line, announce=lambda: said.append("up"))
    supervisor.announce = lambda: (said.append("up"), supervisor.stop())
    supervisor.run()
    assert said == ["up"]


def test_the_last_started_is_stopped_first():
    code = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('down', flush=True))); " + SLEEP
    lines = run(
        [Child("one", python(code)), Child("two", python(code))],
        lambda lines: sorted(lines) == ["one | up", "two | up"],
    )
    assert lines[-2:] == ["two | down", "one | down"]


def test_what_a_killed_process_leaves_behind_is_ended(tmp_path):
    inner = "import time; time.sleep(60)"
    code = (
        "import os, signal, subprocess, sys; "
        f"p = subprocess.Popen([sys.executable, '-c', {inner!r}]); print(p.pid, flush=True); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    lines = run([Child("web", python(code))], lambda lines: "killed" in lines[-1])
    assert ended(int(lines[0].split("| ")[1]))


def test_a_line_without_end_and_bytes_that_are_no_text_are_passed_on():
    code = "import sys, time; sys.stdout.buffer.write(b'x' * 200_000 + b'\\xff\\n'); sys.stdout.flush(); time.sleep(60)"
    lines = run([Child("web", python(code))], lambda lines: "\ufffd" in lines[-1])
    assert sum(line.count("x") for line in lines) == 200_000


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_child_outlives_its_supervisor(number):
    code = (
        "import sys; from mdmportal.supervisor import Child, Supervisor; "
        "child = 'import os, time; print(os.getpid(), flush=True); time.sleep(60)'; "
        "command = [sys.executable, '-c', child]; "
        "Supervisor([Child('one', command), Child('two', command)], write=lambda line: print(line, flush=True)).run()"
    )
    parent = subprocess.Popen(python(code), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    children = [int(parent.stdout.readline().split("| ")[1]) for _ in range(2)]
    parent.send_signal(number)
    parent.wait(timeout=20)
    parent.stdout.close()
    assert all(ended(child) for child in children)


def ended(pid):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False
