"""Alerts: one open per cause, told by mail and by a signed webhook, tried again until it worked."""

import hashlib
import hmac
import json
import threading
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.core import mail

from operations import alerts, delivery
from operations.models import Alert

pytestmark = pytest.mark.django_db


@contextmanager
def receiver(status=204):
    """A real HTTP server on loopback that keeps what it was sent."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", got
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_one_cause_opens_one_alert_until_it_is_resolved(now):
    assert alerts.raise_alert("gate:1", "Late", text="…", now=now)
    assert not alerts.raise_alert("gate:1", "Late", text="…", now=now)
    assert alerts.resolve("gate:1", now=now) == 1
    assert alerts.raise_alert("gate:1", "Late again", text="…", now=now)
    assert Alert.objects.count() == 2


def test_an_alert_is_mailed_once(now, settings):
    settings.ALERT_MAIL_TO = ("it@example.com",)
    alerts.raise_alert("push", "Push certificate ends", text="In 14 days.", now=now, path="/admin/")
    assert delivery.deliver_due(now) == 1
    assert delivery.deliver_due(now) == 0
    assert [message.subject for message in mail.outbox] == [f"[{settings.PORTAL_ORGANIZATION}] Push certificate ends"]
    assert settings.PORTAL_URL + "/admin/" in mail.outbox[0].body


def test_a_webhook_is_signed_over_timestamp_and_body(now, settings):
    settings.ALERT_WEBHOOK_SECRET = "shared"
    with receiver() as (url, got):
        settings.ALERT_WEBHOOK_URL = url
        alerts.raise_alert("push", "Push certificate ends", text="In 14 days.", now=now)
        assert delivery.deliver_due(now) == 1
    headers, body = got[0]
    expected = hmac.new(b"shared", headers["X-Portal-Timestamp"].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers["X-Portal-Signature"] == f"sha256={expected}"
    assert json.loads(body)["title"] == "Push certificate ends"


def test_a_webhook_that_is_down_does_not_repeat_the_mail(now, settings):
    settings.ALERT_MAIL_TO = ("it@example.com",)
    with receiver(status=500) as (url, got):
        settings.ALERT_WEBHOOK_URL = url
        alerts.raise_alert("push", "Push certificate ends", text="In 14 days.", now=now)
        delivery.deliver_due(now)
        delivery.deliver_due(now + timedelta(minutes=5))
        assert len(got) == 2
    assert len(mail.outbox) == 1


def test_a_refused_webhook_is_tried_again_later(now, settings):
    with receiver(status=500) as (url, got):
        settings.ALERT_WEBHOOK_URL = url
        alerts.raise_alert("push", "Push certificate ends", text="In 14 days.", now=now)
        assert delivery.deliver_due(now) == 0
        assert delivery.deliver_due(now + timedelta(seconds=30)) == 0
        assert len(got) == 1
        delivery.deliver_due(now + timedelta(minutes=2))
        assert len(got) == 2
    alert = Alert.objects.get()
    assert alert.delivered_at is None
    assert url not in alert.last_error
