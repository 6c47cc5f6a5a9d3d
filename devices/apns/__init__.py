"""Waking devices through APNs: claim what is due, push it, write the answers (architecture section 9).

When to push is decided in `devices.push`. No network call happens inside a transaction.
"""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime

from django.conf import settings

from certificates.models import PushCertificate
from devices import push
from devices.apns import outcomes
from devices.apns.client import Apns, Credentials, shared
from devices.apns.outcomes import Pushed, PushSummary
from devices.models import Enrollment
from protocol.push import PushNotification

__all__ = ["PushSummary", "send_pushes", "usable_certificates"]


def usable_certificates() -> dict[str, PushCertificate]:
    """The newest push certificate of each topic, unless Apple refuses it."""
    newest = {certificate.topic: certificate for certificate in PushCertificate.objects.order_by("pk")}
    return {topic: certificate for topic, certificate in newest.items() if certificate.stopped_at is None}


def send_pushes(enrollment_pks: Collection[int], now: datetime, *, apns: Apns | None = None) -> PushSummary:
    """Wake those of these channels that are due and write what became of it; any number, a few statements per topic."""
    certificates = usable_certificates()
    claimed: dict[str, list[Enrollment]] = defaultdict(list)
    for enrollment in push.claim(enrollment_pks, topics=list(certificates), now=now):
        claimed[enrollment.topic].append(enrollment)
    summary = PushSummary(skipped=len(enrollment_pks) - sum(map(len, claimed.values())))
    for topic, enrollments in claimed.items():
        summary += _push_topic(enrollments, certificates[topic], now=now, apns=apns or shared(settings.DATA_DIR))
    return summary


def _push_topic(
    enrollments: list[Enrollment], certificate: PushCertificate, *, now: datetime, apns: Apns
) -> PushSummary:
    credentials = Credentials(
        topic=certificate.topic,
        certificate_pem=certificate.certificate_pem,
        private_key_pem=bytes(certificate.private_key_pem),
        url=settings.APNS_URL,
        ca_file=settings.APNS_CA_FILE,
    )
    expiration = int((now + settings.PUSH_EXPIRATION).timestamp())
    notifications = [
        PushNotification(
            token=bytes(enrollment.token),
            push_magic=enrollment.push_magic,
            topic=enrollment.topic,
            expiration=expiration,
        )
        for enrollment in enrollments
    ]
    answers = apns.deliver(credentials, notifications)
    pushed = [Pushed(enrollment, answer) for enrollment, answer in zip(enrollments, answers, strict=True)]
    return outcomes.apply(pushed, certificate, now=now)
