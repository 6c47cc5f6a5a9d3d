"""The environment of the demo, made before Django reads its settings (from manage.py).

What the caller has set wins, so that tests can give a database, a folder or an interval of their own. Ports are kept
between runs, for the devices of the last run know the portal by its address.
"""

import json
import shutil
import socket
import sys
from collections.abc import Collection, Mapping, MutableMapping, Sequence
from contextlib import suppress
from pathlib import Path

from mdmportal import first_start
from mdmportal.demo_data import MARKER, is_demo_folder

BASE_DIR = Path(__file__).resolve().parents[2]
# Seconds. Real life is in .env.example.
INTERVALS = {
    "PORTAL_GATE_FAST_INTERVAL": "2",
    # A demo may run all day.
    "PORTAL_GATE_FAST_PERIOD": "864000",
    "PORTAL_GATE_PROVED_INTERVAL": "4",
    "PORTAL_RETRY_INTERVAL": "5",
    "PORTAL_REPUSH_INTERVAL": "10",
    "PORTAL_SWEEP_INTERVAL": "2",
    "PORTAL_PLAN_INTERVAL": "10",
    # Provisioning profiles live for eight minutes (mdmportal.demo.provisioning).
    "PORTAL_PROVISIONING_LIFETIME": "480",
    "PORTAL_PROVISIONING_CANARY_SOAK": "15",
    "PORTAL_PROVISIONING_WAVE_INTERVAL": "10",
    "PORTAL_PROVISIONING_CLEANUP_AFTER": "30",
    "PORTAL_PROVISIONING_BACK_OFF": "2,5,10,30",
    "PORTAL_PROVISIONING_LOOK_INTERVAL": "5",
    "PORTAL_PROVISIONING_SLOW_RETRY": "60",
    "PORTAL_PROVISIONING_LEASE": "30",
    "PORTAL_PROVISIONING_SCAN_INTERVAL": "10",
    "PORTAL_PROVISIONING_ADVANCE_INTERVAL": "3",
    "PORTAL_PROVISIONING_LIST_INTERVAL": "60",
}
# 0 takes any free one: two demos that start together must not both find the same next port.
FIRST_PORTS = {"portal": 8000, "apns": 0, "control": 0, "appstoreconnect": 0}
KEPT_FILE = "demo.json"


def apply(environ: MutableMapping[str, str], arguments: Sequence[str]) -> None:
    """Fill in what the demo's processes need; with --fresh the folder of the last run is removed first."""
    directory = Path(environ.get("PORTAL_DATA_DIR") or BASE_DIR / "data-demo").resolve()
    _refuse_foreign(directory)
    if "--fresh" in arguments:
        if environ.get("DATABASE_URL") or environ.get("DATABASE_URL_FILE"):
            sys.exit("--fresh cannot empty the database of DATABASE_URL: give it an empty one instead.")
        if (directory / "keys").is_dir() and not first_start.occupy(directory):
            sys.exit(f"A demo runs on {directory} already. Stop it first.")
        shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    (directory / MARKER).touch()
    ports = _ports(directory, environ)
    environ["PORTAL_DATA_DIR"] = str(directory)
    environ["PORTAL_DEMO"] = "1"
    environ["PORTAL_TLS"] = "0"
    for name in ("PORTAL_TLS_CERT", "PORTAL_TLS_KEY"):
        environ.pop(name, None)
        environ.pop(f"{name}_FILE", None)
    for name, value in _values(directory, ports).items():
        environ.setdefault(name, value)
    for name in ("apns", "control", "appstoreconnect"):
        environ[f"PORTAL_DEMO_{name.upper()}_PORT"] = str(ports[name])


def attach(environ: MutableMapping[str, str]) -> None:
    """For another command on a demo's folder (`PORTAL_DATA_DIR=data-demo manage.py status`): the same environment."""
    directory = Path(environ.get("PORTAL_DATA_DIR") or BASE_DIR / "data").resolve()
    if not is_demo_folder(directory):
        return
    environ["PORTAL_DEMO"] = "1"
    for name, value in _values(directory, {**FIRST_PORTS, **_kept_ports(directory)}).items():
        environ.setdefault(name, value)


def _values(directory: Path, ports: Mapping[str, int]) -> dict[str, str]:
    return {
        "PORTAL_LISTEN": f"127.0.0.1:{ports['portal']}",
        "PORTAL_URL": f"http://127.0.0.1:{ports['portal']}",
        "PORTAL_ORGANIZATION": "Example Ltd",
        "APNS_URL": f"https://localhost:{ports['apns']}",
        "APNS_CA_FILE": str(directory / "apple" / "apns-ca.pem"),
        "APPSTORECONNECT_URL": f"http://127.0.0.1:{ports['appstoreconnect']}/developer",
        "APPSTORECONNECT_ENTERPRISE_URL": f"http://127.0.0.1:{ports['appstoreconnect']}/enterprise",
        "PORTAL_PROVISIONING_EXTRA_ROOTS": str(directory / "appstoreconnect" / "provisioning-roots.pem"),
        **INTERVALS,
    }


def _refuse_foreign(directory: Path) -> None:
    """A folder with something in it that no demo made is never touched: it may be the portal for real devices."""
    if directory.is_dir() and any(directory.iterdir()) and not is_demo_folder(directory):
        sys.exit(f"{directory} is not empty and was not made by the demo. Set PORTAL_DATA_DIR to another folder.")


def _ports(directory: Path, environ: MutableMapping[str, str]) -> dict[str, int]:
    """The ports of the last run where they are free, else the next free ones; a new portal port means new devices."""
    kept = _kept_ports(directory)
    host, _, listen = environ.get("PORTAL_LISTEN", "").rpartition(":")
    wanted = {**FIRST_PORTS, **kept, **({"portal": int(listen)} if listen.isdigit() else {})}
    chosen: dict[str, int] = {}
    for name, port in wanted.items():
        chosen[name] = free_port(port, taken=chosen.values())
    if kept and kept.get("portal") != chosen["portal"]:
        # They would call an address where nobody answers.
        shutil.rmtree(directory / "fleet", ignore_errors=True)
    (directory / KEPT_FILE).write_text(json.dumps(chosen))
    environ["PORTAL_LISTEN"] = f"{host or '127.0.0.1'}:{chosen['portal']}"
    return chosen


def _kept_ports(directory: Path) -> dict[str, int]:
    with suppress(OSError, ValueError, TypeError, AttributeError):
        kept = json.loads((directory / KEPT_FILE).read_text())
        return {name: int(kept[name]) for name in FIRST_PORTS if name in kept}
    return {}


def free_port(first: int, *, taken: Collection[int] = ()) -> int:
    """The first port from `first` on that nobody listens on and that is not `taken`; 0 is any free one."""
    port = first
    while True:
        with socket.socket() as probe, suppress(OSError):
            # As the server does: a connection that has just ended does not make the port busy.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            found = int(probe.getsockname()[1])
            if found not in taken:
                return found
        if port:
            port += 1
