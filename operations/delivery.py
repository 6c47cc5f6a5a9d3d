"""Telling people: alerts go out by mail and by a signed webhook, each tried until it worked.

The webhook body is JSON; `X-Portal-Signature: sha256=<hex>` is HMAC-SHA-256 over `<timestamp>.<body>` under
PORTAL_ALERT_WEBHOOK_SECRET, and `X-Portal-Timestamp` lets a receiver refuse replays.
"""

import hashlib
import hmac
import json
import logging
from datetime import datetime, timedelta

import httpx
from django.conf import settings
from django.core.mail import send_mail

from operations.models import Alert

log = logging.getLogger(__name__)
FIRST_RETRY = timedelta(minutes=1)
LONGEST_RETRY = timedelta(hours=6)
LEASE = timedelta(minutes=5)


def sign(secret: str, body: bytes, *, timestamp: int) -> str:
    """The value of X-Portal-Signature."""
    return "sha256=" + hmac.new(secret.encode(), str(timestamp).encode() + b"." + body, hashlib.sha256).hexdigest()


def deliver_due(now: datetime) -> int:
    """Deliver every open alert whose try is due; how many went out. Nothing configured counts as delivered."""
    return sum(_deliver(alert, now) for alert in Alert.objects.undelivered(now).order_by("pk")[:100])


def _deliver(alert: Alert, now: datetime) -> bool:
    # Claimed by a conditional UPDATE: two workers would otherwise mail the same alert twice.
    mine = (
        Alert.objects.undelivered(now).filter(pk=alert.pk).update(next_try_at=now + LEASE, attempts=alert.attempts + 1)
    )
    if not mine:
        return False
    try:
        _mail(alert, now)
        _webhook(alert, now)
    except (OSError, httpx.HTTPError, ValueError) as error:
        wait = min(FIRST_RETRY * 2 ** min(alert.attempts, 10), LONGEST_RETRY)
        # The type only: an SMTP or HTTP error may quote addresses, credentials or the webhook's URL.
        Alert.objects.filter(pk=alert.pk).update(next_try_at=now + wait, last_error=type(error).__name__)
        log.warning("alert %s not delivered (%s), next try in %s", alert.pk, type(error).__name__, wait)
        return False
    Alert.objects.filter(pk=alert.pk).update(delivered_at=now, last_error="")
    return True


def _mail(alert: Alert, now: datetime) -> None:
    if settings.ALERT_MAIL_TO and alert.mailed_at is None:
        where = f"\n\n{settings.PORTAL_URL}{alert.path}" if alert.path else ""
        send_mail(
            f"[{settings.PORTAL_ORGANIZATION}] {alert.title}", alert.text + where, None, list(settings.ALERT_MAIL_TO)
        )
        Alert.objects.filter(pk=alert.pk).update(mailed_at=now)


def _webhook(alert: Alert, now: datetime) -> None:
    if not settings.ALERT_WEBHOOK_URL:
        return
    said = {
        "id": alert.pk,
        "key": alert.key,
        "severity": alert.severity,
        "title": alert.title,
        "text": alert.text,
        "url": f"{settings.PORTAL_URL}{alert.path}",
        "raised_at": alert.raised_at.isoformat(),
    }
    body = json.dumps(said).encode()
    timestamp = int(now.timestamp())
    headers = {
        "Content-Type": "application/json",
        "X-Portal-Timestamp": str(timestamp),
        "X-Portal-Signature": sign(settings.ALERT_WEBHOOK_SECRET, body, timestamp=timestamp),
    }
    httpx.post(settings.ALERT_WEBHOOK_URL, content=body, headers=headers, timeout=20).raise_for_status()
