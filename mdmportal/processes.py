"""Which processes make the portal, and when the web server counts as up. `up` and `demo` hand them to the supervisor."""

import os
import secrets
import socket
import sys
from collections.abc import Callable
from typing import Any

from mdmportal import first_start
from mdmportal.supervisor import Child

WORKER_THREADS = "4"
# Celery warns whoever runs it as root, as containers do; what it warns of (pickle) is switched off.
QUIET = "ignore:You're running the worker with superuser"


def portal(settings: Any) -> list[Child]:
    """Web server, worker and beat, in the order of their start."""
    common = environment(settings)
    celery = [sys.executable, "-m", "celery", "-A", "mdmportal", "--quiet"]
    return [
        Child("web", [sys.executable, "-m", "mdmportal.web_server"], common, ready=listening(*settings.PORTAL_LISTEN)),
        Child("worker", [*celery, "worker", "-P", "threads", "-c", WORKER_THREADS, "-n", _unique("worker")], common),
        # The name survives the beat: started again, it goes on with the lease of the one that was killed.
        Child("beat", [*celery, "beat"], {**common, "PORTAL_BEAT_HOLDER": _unique("beat")}),
    ]


def environment(settings: Any) -> dict[str, str]:
    """What each process gets beside our own environment: a folder for temporary files, and where the code is."""
    temporary = settings.DATA_DIR / "tmp"
    temporary.mkdir(mode=0o700, parents=True, exist_ok=True)
    paths = [str(first_start.BASE_DIR), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {
        "DJANGO_SETTINGS_MODULE": "mdmportal.settings",
        "PORTAL_DATA_DIR": str(settings.DATA_DIR),
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": QUIET,
        "TMPDIR": str(temporary),
    }


def listening(host: str, port: int) -> Callable[[], bool]:
    """Whether something accepts connections there; a wildcard address is asked on loopback."""
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (we connect to it, nobody binds)

    def ready() -> bool:
        try:
            with socket.create_connection((address, port), timeout=0.5):
                return True
        except OSError:
            return False

    return ready


def _unique(name: str) -> str:
    return f"{name}-{secrets.token_hex(4)}@{socket.gethostname()}"
