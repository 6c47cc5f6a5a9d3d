"""A real PostgreSQL server of our own, started in a temporary folder and stopped again.

It listens on a free loopback port and a socket in its folder, is not durable on purpose (fsync off), and runs as an
unprivileged user when we are root, because initdb refuses root. It is no part of the portal.
"""

import ctypes
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

START_SECONDS = 60
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "log_min_messages": "fatal",
    # A failed assertion must not wait for a test's forgotten transaction.
    "idle_in_transaction_session_timeout": "120s",
}


class PostgresError(Exception):
    """The server binaries are missing, or the server did not start."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server; `url` is the DATABASE_URL of its superuser's database."""

    url: str

    def create_database(self) -> str:
        """A new empty database; returns its DATABASE_URL."""
        name = f"portal_{secrets.token_hex(6)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))


def binaries() -> Path | None:
    """The folder that holds initdb and postgres: of PATH, else Debian's newest; None when there is none."""
    found = shutil.which("initdb")
    if found and (Path(found).resolve().parent / "postgres").exists():
        return Path(found).resolve().parent
    versions = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(versions, key=lambda folder: [int(n) for n in re.findall(r"\d+", str(folder))], default=None)


@contextmanager
def running() -> Iterator[Server]:
    """A server for the length of the `with` block. PostgresError when it cannot be started."""
    folder = binaries()
    if folder is None:
        raise PostgresError("no PostgreSQL server binaries (Debian: apt-get install postgresql)")
    home = Path(tempfile.mkdtemp(prefix="mdmportal-postgres-"))
    password, port = secrets.token_urlsafe(16), _free_port()
    process = None
    try:
        _initialise(folder, home, password)
        process = _start(folder, home, port)
        url = f"postgres://portal:{password}@127.0.0.1:{port}/postgres"
        _wait(url, process, home)
        yield Server(url)
    finally:
        if process is not None:
            _stop(process)
        shutil.rmtree(home, ignore_errors=True)


def _unprivileged() -> dict[str, object]:
    """The user to run as, for subprocess: ourselves unless we are root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise PostgresError("PostgreSQL refuses root and there is neither a user postgres nor nobody")


def _initialise(folder: Path, home: Path, password: str) -> None:
    secret = home / "password"
    secret.touch(mode=0o600)
    secret.write_text(password)
    user = _unprivileged()
    if user:
        for path in (home, secret):
            os.chown(path, user["user"], user["group"])  # type: ignore[arg-type]
    command = [folder / "initdb", "-D", home / "data", "-U", "portal", "-A", "scram-sha-256", f"--pwfile={secret}"]
    done = subprocess.run(
        [*command, "-E", "UTF8", "--locale=C", "--no-sync"], cwd=home, capture_output=True, text=True, check=False, **user
    )  # fmt: skip
    if done.returncode != 0:
        raise PostgresError(f"initdb failed: {done.stderr.strip()[-500:]}")


def _start(folder: Path, home: Path, port: int) -> "subprocess.Popen[bytes]":
    settings = {**SETTINGS, "port": str(port), "unix_socket_directories": str(home)}
    flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with (home / "log").open("wb") as log:
        return subprocess.Popen(
            [folder / "postgres", "-D", home / "data", *flags],
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 (started before any thread of ours)
            # A group of its own: Ctrl-C is for pytest, which may still need the database to end its tests.
            start_new_session=True,
            **_unprivileged(),
        )


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGQUIT)  # PR_SET_PDEATHSIG; SIGQUIT is PostgreSQL's immediate shutdown


def _wait(url: str, process: "subprocess.Popen[bytes]", home: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(psycopg.OperationalError):
            psycopg.connect(url, connect_timeout=5).close()
            return
        time.sleep(0.1)
    raise PostgresError(f"PostgreSQL did not start: {(home / 'log').read_text(errors='replace')[-500:]}")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGINT)  # fast shutdown: connections are cut
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
