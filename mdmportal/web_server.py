"""The web server process: granian over WSGI, as `python -m mdmportal.web_server` (started by `up` and `demo`).

TLS 1.2 and newer when PORTAL_TLS_CERT and PORTAL_TLS_KEY are set; otherwise plain HTTP for a proxy in front, or for
loopback. Everything it needs comes from the environment, like the rest of the portal.
"""

import os
import sys
from pathlib import Path
from typing import Any

from granian.constants import Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.server.mp import MPServer

from mdmportal.supervisor import die_with_parent

TARGET = "mdmportal.wsgi:application"
# Blocking threads of each process: they wait for the database and the signature, not for one another.
THREADS = min(4, 2 * (os.cpu_count() or 1) + 1)
# An Mdm-Signature with its certificate is about 3 KB and a SCEP GET may be 8 KiB; a whole head may be 64 KiB.
HEAD_BYTES = 64 * 1024


def processes(vendor: str) -> int:
    """Workers unless PORTAL_WEB_WORKERS says: one a core; SQLite's writers wait for each other, so one is best there."""
    return 1 if vendor == "sqlite" else max(2, min(os.cpu_count() or 1, 8))


def load(*_: object) -> Any:
    """The application, in a worker: it also asks to die with the server, which may be killed without a word."""
    die_with_parent(os.getppid())
    from mdmportal.wsgi import application

    return application


def build(settings: Any, vendor: str) -> MPServer:
    """The server as the settings want it; not started."""
    host, port = settings.PORTAL_LISTEN
    tls: dict[str, Any] = {}
    if settings.PORTAL_TLS and settings.PORTAL_TLS_CERT:
        tls = {
            "ssl_cert": Path(settings.PORTAL_TLS_CERT),
            "ssl_key": Path(settings.PORTAL_TLS_KEY),
            "ssl_protocol_min": SSLProtocols.tls12,
        }
    return MPServer(
        TARGET,
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=settings.PORTAL_WEB_WORKERS or processes(vendor),
        blocking_threads=THREADS,
        backlog=1024,
        http1_settings=HTTP1Settings(max_buffer_size=HEAD_BYTES),
        websockets=False,
        respawn_failed_workers=True,
        workers_kill_timeout=10,
        **tls,
    )


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mdmportal.settings")
    from django.conf import settings
    from django.db import connection

    build(settings, connection.vendor).serve(target_loader=load, wrap_loader=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
