"""Every secret of the configuration stays out of the request, of error pages and of logs, with DEBUG on and off.

A process of its own, for the settings read the environment once.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECRETS = {
    "SECRET_KEY": "marker-one-" + "x" * 50,
    "PORTAL_ENCRYPTION_KEYS": "bWFya2VyLXR3by1tYXJrZXItdHdvLW1hcmtlci10d28=",
    "DATABASE_URL": "postgres://portal:marker-three@127.0.0.1:1/portal",
    "CELERY_BROKER_URL": "redis://:marker-four@127.0.0.1:1/0",
    "EMAIL_URL": "smtp://portal:marker-five@127.0.0.1:1",
    "PORTAL_ALERT_WEBHOOK_URL": "https://hooks.example.com/services/marker-six",
    "PORTAL_ALERT_WEBHOOK_SECRET": "marker-seven",
}
MARKERS = [
    "marker-one-", "bWFya2Vy", "marker-three", "marker-four", "marker-five", "marker-six", "marker-seven",
    "process-marker",
]  # fmt: skip
# As granian does it: the request on top of the whole environment of the process.
SCRIPT = """
import io, json, logging, os, sys
from mdmportal.wsgi import application
from django.conf import settings
from django.urls import path
from django.views.debug import ExceptionReporter
from endpoint import urls, views

logging.getLogger().setLevel(logging.DEBUG)
seen = []

def broken(request):
    seen.append(repr(request.META))
    seen.append(repr(request))
    reporter = ExceptionReporter(request, ValueError, ValueError("broken"), None)
    seen.append(reporter.get_traceback_html() + reporter.get_traceback_text())
    raise ValueError("broken")

urls.urlpatterns.append(path("broken", broken))

def ask(method, address, body=b"", **headers):
    environ = {
        **os.environ, "REQUEST_METHOD": method, "PATH_INFO": address, "QUERY_STRING": "", "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000", "HTTP_HOST": "127.0.0.1", "REMOTE_ADDR": "127.0.0.1", "wsgi.input": io.BytesIO(body),
        "wsgi.url_scheme": "http", "wsgi.errors": sys.stderr, "CONTENT_LENGTH": str(len(body)), **headers,
    }
    status = []
    answer = application(environ, lambda line, headers: status.append(line + repr(headers)))
    seen.append(status[0] + b"".join(answer).decode("utf-8", "replace"))

ask("GET", "/broken")
ask("GET", "/nothing/here")
ask("GET", "/admin/login/")
ask("GET", "/enroll/some-token/")
ask("GET", "/broken", HTTP_HOST="evil.example.org")
ask("PUT", "/mdm/connect", b"x")
ask("PUT", "/mdm/checkin", b"x")
ask("POST", "/scep", b"x", QUERY_STRING="operation=PKIOperation")
print(json.dumps(seen))
"""


@pytest.mark.parametrize("debug", ["false", "true"])
def test_no_configured_secret_is_in_the_request_an_error_page_or_a_log(debug, tmp_path):
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "HOME") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT],
        cwd=ROOT,
        env={
            **kept, **SECRETS, "DEBUG": debug, "PORTAL_LOG_LEVEL": "DEBUG", "PORTAL_DATA_DIR": str(tmp_path),
            "DJANGO_SETTINGS_MODULE": "mdmportal.settings", "PORTAL_URL": "http://127.0.0.1:8000",
            "HTTP_PROXY": "http://user:process-marker@proxy.example.com", "UNRELATED": "process-marker",
        },
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout)
    assert "broken" in seen[2]
    assert "503" in done.stderr
    said = "\n".join(seen) + done.stderr
    assert [marker for marker in MARKERS if marker in said] == []
