"""What APNs' answers mean for the channels and for the push certificate, written in a few statements per batch.

The table is Apple's "Handling notification responses from APNs". No network here.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from certificates.models import PushCertificate
from devices import push
from devices.models import Enrollment, PushState
from operations import alerts
from operations.models import Alert
from protocol.push import PushAnswer, PushOutcome

log = logging.getLogger(__name__)
# One device with a foreign token earns it; that says nothing about the other devices of the topic.
_FOREIGN_TOKEN = "DeviceTokenNotForTopic"


@dataclass(frozen=True, slots=True)
class PushSummary:
    """How many pushes went which way; `skipped` were not due, not reachable or claimed by another worker."""

    accepted: int = 0
    dead: int = 0
    refused: int = 0
    retried: int = 0
    skipped: int = 0

    def __add__(self, other: "PushSummary") -> "PushSummary":
        return PushSummary(
            self.accepted + other.accepted,
            self.dead + other.dead,
            self.refused + other.refused,
            self.retried + other.retried,
            self.skipped + other.skipped,
        )


@dataclass(frozen=True, slots=True)
class Pushed:
    """One claimed channel and its answer."""

    enrollment: Enrollment
    answer: PushAnswer

    @property
    def kind(self) -> PushOutcome:
        """The answer's outcome as it counts for this channel."""
        answer, since = self.answer, self.enrollment.token_updated_at
        if answer.outcome is PushOutcome.TOKEN_DEAD and answer.timestamp and since and answer.timestamp <= since:
            return PushOutcome.RETRY  # it speaks of an older token than the one we have
        if answer.reason == _FOREIGN_TOKEN:
            return PushOutcome.RETRY
        return answer.outcome


def apply(pushed: Iterable[Pushed], certificate: PushCertificate, *, now: datetime) -> PushSummary:
    """Write a batch's answers. `now` is the moment of its claim. A channel that was asked for again meanwhile stays due."""
    by_kind: dict[PushOutcome, list[Pushed]] = defaultdict(list)
    for one in pushed:
        by_kind[one.kind].append(one)
    _accepted(by_kind[PushOutcome.ACCEPTED], certificate.topic, now=now)
    _dead(by_kind[PushOutcome.TOKEN_DEAD], now=now)
    _refused(by_kind[PushOutcome.TOPIC_REFUSED], certificate, now=now)
    failed = by_kind[PushOutcome.RETRY] + by_kind[PushOutcome.BUG]
    _failed(failed, now=now)
    _tell_of_failures(failed, certificate.topic, reached=len(failed) < sum(map(len, by_kind.values())), now=now)
    return PushSummary(
        accepted=len(by_kind[PushOutcome.ACCEPTED]),
        dead=len(by_kind[PushOutcome.TOKEN_DEAD]),
        refused=len(by_kind[PushOutcome.TOPIC_REFUSED]),
        retried=len(failed),
    )


def _claimed(pks: list[int], now: datetime) -> "Q":
    # The lease is the claim's mark: an enqueue during the push has set another moment, which must win.
    return Q(pk__in=pks, next_push_at=now + push.LEASE)


def _accepted(accepted: list[Pushed], topic: str, *, now: datetime) -> None:
    groups: dict[int, list[int]] = defaultdict(list)
    for one in accepted:
        # Failed tries are no wake-ups: the first accepted push starts the counting.
        groups[0 if one.enrollment.push_reason else one.enrollment.push_attempts].append(one.enrollment.pk)
    for attempts, pks in groups.items():
        Enrollment.objects.filter(pk__in=pks).update(last_push_at=now, push_reason="")
        Enrollment.objects.filter(_claimed(pks, now)).update(
            next_push_at=push.repush_at(attempts, now), push_attempts=attempts + 1
        )
    if accepted:
        alerts.resolve(f"push-refused:{topic}", now=now)


def _dead(dead: list[Pushed], *, now: datetime) -> None:
    groups: dict[str, list[int]] = defaultdict(list)
    for one in dead:
        groups[one.answer.reason].append(one.enrollment.pk)
    for reason, pks in groups.items():
        # A TokenUpdate during the push brought a new token, which this answer does not mean.
        rows = Enrollment.objects.filter(Q(token_updated_at=None) | Q(token_updated_at__lte=now), pk__in=pks)
        # Left due, so that the next TokenUpdate, which makes the channel reachable, is followed by a push.
        rows.update(push_state=PushState.DEAD, push_reason=reason, next_push_at=now, push_attempts=0)


def _refused(refused: list[Pushed], certificate: PushCertificate, *, now: datetime) -> None:
    if not refused:
        return
    reason = refused[0].answer.reason or str(refused[0].answer.status)
    rows = PushCertificate.objects.filter(pk=certificate.pk, stopped_at=None)
    if rows.update(stopped_at=now, stopped_reason=reason[:255]):
        log.error("push: APNs refuses the certificate of topic %s: %s", certificate.topic, reason)
    # The devices are not to blame: they stay due and are woken as soon as the topic has a certificate that works.
    pks = [one.enrollment.pk for one in refused]
    Enrollment.objects.filter(_claimed(pks, now)).update(next_push_at=now)
    alerts.raise_alert(
        f"push-refused:{certificate.topic}",
        "Apple refuses the push certificate",
        text=f"APNs answered {reason} for the topic {certificate.topic}. No device of this topic is woken "
        "until a working push certificate is uploaded.",
        now=now,
        severity=Alert.Severity.CRITICAL,
    )


def _failed(failed: list[Pushed], *, now: datetime) -> None:
    groups: dict[tuple[int, str], list[int]] = defaultdict(list)
    for one in failed:
        reason = one.answer.reason or str(one.answer.status)
        # Counted from the first failure, not from the wake-ups before it.
        attempts = one.enrollment.push_attempts if one.enrollment.push_reason else 0
        groups[attempts, reason].append(one.enrollment.pk)
    for (attempts, reason), pks in groups.items():
        Enrollment.objects.filter(_claimed(pks, now)).update(
            next_push_at=push.retry_at(attempts, now), push_attempts=attempts + 1, push_reason=reason[:255]
        )


def _tell_of_failures(failed: list[Pushed], topic: str, *, reached: bool, now: datetime) -> None:
    for reason in {one.answer.reason for one in failed if one.answer.outcome is PushOutcome.BUG}:
        log.error("push: APNs calls a request of ours wrong: %s", reason)
    if any(one.answer.reason == _FOREIGN_TOKEN for one in failed):
        alerts.raise_alert(
            f"push-foreign-token:{topic}",
            "A device's push token belongs to another push certificate",
            text=f"APNs answered {_FOREIGN_TOKEN} for the topic {topic}. Was the push certificate replaced by one "
            "of another Apple Account? Such devices have to enroll again.",
            now=now,
        )
    if reached:
        alerts.resolve(f"push-unreachable:{topic}", now=now)
    elif any(one.answer.status == 0 for one in failed):
        alerts.raise_alert(
            f"push-unreachable:{topic}",
            "APNs cannot be reached",
            text=f"The connection for topic {topic} failed: {failed[0].answer.reason}. Pushes are retried.",
            now=now,
        )
