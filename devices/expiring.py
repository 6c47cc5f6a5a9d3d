"""Telling IT, 60, 30, 14, 7, 3 and 1 days before, of certificates that end; and of devices that no push can reach.

One open alert per thing: the next threshold replaces the last, a renewal resolves it. Renewing is not done here.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from certificates.models import CertificateAuthority, PushCertificate
from devices.models import Enrollment, EnrollmentState, Identity
from operations import alerts
from operations.models import Alert

DAYS = (60, 30, 14, 7, 3, 1)
_CRITICAL_DAYS = 7


def warn(now: datetime) -> int:
    """Raise what is due and resolve what no longer holds; returns the number of things that end within 60 days."""
    before = now + timedelta(days=DAYS[0])
    open_keys: list[str] = []
    for certificate in PushCertificate.objects.expiring(before).defer("private_key_pem"):
        what = f"The push certificate {certificate.topic}"
        open_keys.append(_tell(f"ends:push:{certificate.pk}", what, ends=certificate.not_after, now=now))
    for authority in CertificateAuthority.objects.filter(not_after__lt=before).defer("private_key_pem"):
        what = f"The certificate authority {authority.name}"
        open_keys.append(_tell(f"ends:authority:{authority.pk}", what, ends=authority.not_after, now=now))
    ending = Identity.objects.filter(not_after__lt=before, enrollment__state=EnrollmentState.ENROLLED)
    first = ending.order_by("not_after").first()
    if first is not None:
        what = f"The identity of {ending.count()} devices"
        open_keys.append(_tell("ends:identities", what, ends=first.not_after, now=now))
    gone = Alert.objects.filter(key__startswith="ends:", resolved_at=None).exclude(key__in=open_keys)
    gone.update(resolved_at=now)
    return len(open_keys)


def _tell(stem: str, what: str, *, ends: datetime, now: datetime) -> str:
    left = ends - now
    threshold = min(days for days in DAYS if left <= timedelta(days=days))
    key = f"{stem}:{threshold}"
    when = "has ended" if left <= timedelta(0) else f"ends within {threshold} days"
    alerts.raise_alert(
        key,
        f"{what} {when}"[:255],
        text=f"{what} {when}, on {ends:%Y-%m-%d %H:%M} UTC.",
        now=now,
        severity=Alert.Severity.CRITICAL if threshold <= _CRITICAL_DAYS else Alert.Severity.WARNING,
    )
    return key


def tell_of_unreachable(topics: Collection[str], now: datetime) -> int:
    """Alert while pushes are due for topics that have no push certificate (a refused one has an alert of its own)."""
    known = set(PushCertificate.objects.values_list("topic", flat=True)) | set(topics)
    count = Enrollment.objects.push_due(now).exclude(topic__in=known).count()
    if not count:
        alerts.resolve("push-no-certificate", now=now)
        return 0
    alerts.raise_alert(
        "push-no-certificate",
        "Devices wait for a push that cannot be sent",
        text=f"{count} enrollments have a topic for which no push certificate was uploaded.",
        now=now,
    )
    return count
