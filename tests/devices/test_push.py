"""Who is pushed when, and what APNs' answers change; a fake answers in APNs' place."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from certificates.models import PushCertificate
from devices import expiring, push, tasks
from devices.apns import PushSummary, send_pushes, usable_certificates
from devices.apns.client import Credentials
from devices.models import Command, CommandState, Enrollment, PushState
from operations.models import Alert
from protocol.push import PushAnswer, PushNotification, PushOutcome, classify
from tests.devices.queue_rows import enrolled, queued

pytestmark = pytest.mark.django_db
TOPIC = "com.apple.mgmt.External.example"
REPUSH = timedelta(minutes=15)
ACCEPTED = classify(200, b"")
BUSY = classify(429, b'{"reason": "TooManyRequests"}')
UNREGISTERED = PushAnswer(410, "Unregistered", None, PushOutcome.TOKEN_DEAD)
REFUSED = classify(403, b'{"reason": "BadCertificate"}')
DOWN = PushAnswer(0, "ConnectError", None, PushOutcome.RETRY)


class FakeApns:
    """Answers every push alike, or by its token; keeps what it was asked."""

    def __init__(self, answer: PushAnswer = ACCEPTED, during: Callable[[], Any] = lambda: None) -> None:
        self.answer = answer
        self.by_token: dict[bytes, PushAnswer] = {}
        self.during = during
        self.pushed: list[PushNotification] = []

    def deliver(self, credentials: Credentials, notifications: Sequence[PushNotification]) -> list[PushAnswer]:
        self.pushed += notifications
        self.during()
        return [self.by_token.get(notification.token, self.answer) for notification in notifications]


def certificate(now: datetime, **values: Any) -> PushCertificate:
    defaults = {
        "topic": TOPIC,
        "sha256": bytes(31) + bytes([PushCertificate.objects.count()]),
        "certificate_pem": "",
        "private_key_pem": b"key",
        "not_before": now,
        "not_after": now + timedelta(days=365),
        "uploaded_at": now,
    }
    return PushCertificate.objects.create(**{**defaults, **values})


def reachable(now: datetime, **values: Any) -> Enrollment:
    count = Enrollment.objects.count()
    defaults = {
        "topic": TOPIC,
        "push_magic": f"MAGIC-{count}",
        "token": bytes([count]) * 32,
        "push_state": PushState.OK,
    }
    defaults |= {"token_updated_at": now - timedelta(days=1), "next_push_at": now}
    return enrolled(now, **{**defaults, **values})[0]


def send(enrollments: list[Enrollment], now: datetime, apns: FakeApns) -> PushSummary:
    summary = send_pushes([enrollment.pk for enrollment in enrollments], now, apns=apns)
    for enrollment in enrollments:
        enrollment.refresh_from_db()
    return summary


def test_an_accepted_push_is_repeated_later_and_later_up_to_a_day(now: datetime) -> None:
    certificate(now)
    enrollment, apns, waits = reachable(now), FakeApns(), []
    for _ in range(9):
        assert send([enrollment], now, apns) == PushSummary(accepted=1)
        waits.append(enrollment.next_push_at - now)
        assert enrollment.last_push_at == now
        now = enrollment.next_push_at
    assert waits[:4] == [REPUSH, 2 * REPUSH, 4 * REPUSH, 8 * REPUSH]
    assert waits[-1] == timedelta(hours=24)


def test_a_push_carries_the_channels_own_token_and_magic_and_an_expiration(now: datetime, settings: Any) -> None:
    certificate(now)
    enrollment, apns = reachable(now), FakeApns()
    send([enrollment], now, apns)
    [pushed] = apns.pushed
    assert (pushed.token, pushed.push_magic, pushed.topic) == (bytes(enrollment.token), enrollment.push_magic, TOPIC)
    assert pushed.expiration == int((now + settings.PUSH_EXPIRATION).timestamp())


def test_what_is_not_due_or_not_reachable_is_left_alone(now: datetime) -> None:
    certificate(now)
    apns = FakeApns()
    rows = [
        reachable(now, next_push_at=None),
        reachable(now, next_push_at=now + timedelta(seconds=1)),
        reachable(now, push_state=PushState.NO_TOKEN),
        reachable(now, push_state=PushState.DEAD),
        reachable(now, state="archived"),
        reachable(now, topic="com.apple.mgmt.External.other"),
    ]
    assert send(rows, now, apns) == PushSummary(skipped=6)
    assert apns.pushed == []


def test_a_claimed_push_is_not_sent_twice(now: datetime) -> None:
    certificate(now)
    enrollment, second = reachable(now), FakeApns()
    first = FakeApns(during=lambda: send_pushes([enrollment.pk], now, apns=second))
    send([enrollment], now, first)
    assert (len(first.pushed), len(second.pushed)) == (1, 0)


def test_a_push_whose_worker_died_becomes_due_again(now: datetime) -> None:
    enrollment = reachable(now)
    push.claim([enrollment.pk], topics=[TOPIC], now=now)
    assert push.due(now, topics=[TOPIC], limit=9) == []
    assert push.due(now + push.LEASE, topics=[TOPIC], limit=9) == [enrollment.pk]


@pytest.mark.parametrize("answer", [ACCEPTED, BUSY, REFUSED])
def test_what_is_asked_for_during_a_push_stays_due(now: datetime, answer: PushAnswer) -> None:
    certificate(now)
    enrollment, later = reachable(now), now + timedelta(seconds=1)
    send([enrollment], now, FakeApns(answer, during=lambda: push.push_soon([enrollment.pk], later)))
    assert (enrollment.next_push_at, enrollment.push_attempts) == (later, 0)


@pytest.mark.parametrize("answer", [BUSY, DOWN, classify(503, b""), classify(413, b'{"reason": "PayloadTooLarge"}')])
def test_a_failed_push_is_retried_with_back_off_and_keeps_its_reason(now: datetime, answer: PushAnswer) -> None:
    certificate(now)
    enrollment, apns, waits = reachable(now, push_attempts=3), FakeApns(answer), []
    for _ in range(3):
        assert send([enrollment], now, apns).retried == 1
        waits.append(enrollment.next_push_at - now)
        now = enrollment.next_push_at
    assert waits == [push.FIRST_RETRY, 2 * push.FIRST_RETRY, 4 * push.FIRST_RETRY]
    assert enrollment.push_reason == answer.reason or str(answer.status)
    assert enrollment.push_state == PushState.OK
    send([enrollment], now, FakeApns())
    assert (enrollment.push_reason, enrollment.next_push_at) == ("", now + REPUSH)


@pytest.mark.parametrize("answer", [UNREGISTERED, classify(400, b'{"reason": "BadDeviceToken"}')])
def test_a_dead_token_leaves_the_rota_and_is_due_as_soon_as_it_is_replaced(now: datetime, answer: PushAnswer) -> None:
    certificate(now)
    enrollment = reachable(now)
    assert send([enrollment], now, FakeApns(answer)).dead == 1
    assert (enrollment.push_state, enrollment.push_reason) == (PushState.DEAD, answer.reason)
    assert push.due(now + timedelta(days=9), topics=[TOPIC], limit=9) == []
    Enrollment.objects.update(push_state=PushState.OK)
    assert push.due(now, topics=[TOPIC], limit=9) == [enrollment.pk]


def test_an_answer_about_an_older_token_does_not_kill_the_new_one(now: datetime) -> None:
    certificate(now)
    enrollment = reachable(now)
    old = PushAnswer(410, "Unregistered", enrollment.token_updated_at, PushOutcome.TOKEN_DEAD)
    assert send([enrollment], now, FakeApns(old)).retried == 1
    assert enrollment.push_state == PushState.OK


def test_a_token_update_during_the_push_keeps_the_channel_alive(now: datetime) -> None:
    certificate(now)
    enrollment = reachable(now)

    def update() -> None:
        Enrollment.objects.update(token_updated_at=now + timedelta(seconds=1), token=b"new")

    send([enrollment], now, FakeApns(UNREGISTERED, during=update))
    assert enrollment.push_state == PushState.OK


def test_a_refused_certificate_stops_the_topic_once_and_blames_no_device(now: datetime) -> None:
    stored = certificate(now)
    enrollments = [reachable(now), reachable(now)]
    assert send(enrollments, now, FakeApns(REFUSED)).refused == 2
    stored.refresh_from_db()
    assert (stored.stopped_at, stored.stopped_reason) == (now, "BadCertificate")
    assert [(row.push_state, row.push_reason, row.push_attempts) for row in enrollments] == [("ok", "", 0)] * 2
    [alert] = Alert.objects.all()
    assert (alert.severity, alert.resolved_at) == (Alert.Severity.CRITICAL, None)
    quiet = FakeApns()
    send(enrollments, now + REPUSH, quiet)
    assert quiet.pushed == []
    certificate(now)
    assert send(enrollments, now + REPUSH, FakeApns()).accepted == 2
    alert.refresh_from_db()
    assert alert.resolved_at == now + REPUSH


def test_one_foreign_token_alerts_but_does_not_stop_the_topic(now: datetime) -> None:
    certificate(now)
    enrollments, apns = [reachable(now), reachable(now)], FakeApns()
    apns.by_token[bytes(enrollments[0].token)] = classify(400, b'{"reason": "DeviceTokenNotForTopic"}')
    assert send(enrollments, now, apns) == PushSummary(accepted=1, retried=1)
    assert list(usable_certificates()) == [TOPIC]
    assert [alert.key for alert in Alert.objects.all()] == [f"push-foreign-token:{TOPIC}"]


def test_an_unreachable_apns_alerts_until_it_answers(now: datetime) -> None:
    certificate(now)
    enrollment = reachable(now)
    send([enrollment], now, FakeApns(DOWN))
    alert = Alert.objects.get()
    assert (alert.key, alert.resolved_at) == (f"push-unreachable:{TOPIC}", None)
    send([enrollment], now + REPUSH, FakeApns())
    alert.refresh_from_db()
    assert alert.resolved_at == now + REPUSH


def test_pushing_costs_the_same_statements_for_many_as_for_few(now: datetime) -> None:
    certificate(now)
    counts = []
    for number in (2, 60):
        pks = [reachable(now).pk for _ in range(number)]
        with CaptureQueriesContext(connection) as captured:
            assert send_pushes(pks, now, apns=FakeApns()).accepted == number
        counts.append(len(captured))
    assert counts[0] == counts[1] <= 10


def test_asking_for_a_push_makes_it_due_at_once_and_tells_the_worker_on_commit(
    now: datetime, django_capture_on_commit_callbacks: Any
) -> None:
    rows = [reachable(now, next_push_at=None, push_attempts=7), reachable(now, next_push_at=now + REPUSH)]
    with django_capture_on_commit_callbacks() as callbacks:
        push.push_soon([rows[1].pk, rows[0].pk, rows[0].pk], now)
    assert len(callbacks) == 1
    assert push.due(now, topics=[TOPIC], limit=9) == [row.pk for row in rows]
    assert set(Enrollment.objects.values_list("push_attempts", flat=True)) == {0}


def test_a_channel_goes_quiet_when_nothing_is_open(now: datetime) -> None:
    working, idle, fresh, failing = (
        reachable(now, push_attempts=1),
        reachable(now, push_attempts=1),
        reachable(now),
        reachable(now, push_attempts=1, push_reason="TooManyRequests"),
    )
    queued(working, now)
    queued(idle, now, state=CommandState.ACKNOWLEDGED)
    queued(idle, now, expires_at=now)
    assert push.go_quiet(now) == 1
    assert push.due(now, topics=[TOPIC], limit=9) == [working.pk, fresh.pk, failing.pk]
    idle.refresh_from_db()
    assert (idle.next_push_at, idle.push_attempts) == (None, 0)


def test_a_command_for_later_sets_the_push_to_its_moment(now: datetime) -> None:
    enrollment = reachable(now, push_attempts=1)
    for hours in (5, 2):
        queued(enrollment, now, not_before=now + timedelta(hours=hours))
    push.go_quiet(now)
    enrollment.refresh_from_db()
    assert enrollment.next_push_at == now + timedelta(hours=2)


def test_expired_commands_are_closed(now: datetime) -> None:
    enrollment = reachable(now)
    gone, kept = queued(enrollment, now, expires_at=now - timedelta(days=3650)), queued(enrollment, now)
    tasks.expire_commands()
    states = dict(Command.objects.values_list("pk", "state"))
    assert states == {gone.pk: CommandState.EXPIRED, kept.pk: CommandState.QUEUED}


def test_the_sweep_runs_on_an_empty_database() -> None:
    tasks.push_due()
    tasks.push([])
    tasks.warn_expiring()
    assert not Alert.objects.exists()


def test_the_sweep_hands_out_what_a_certificate_can_reach(
    now: datetime, django_capture_on_commit_callbacks: Any
) -> None:
    long_ago = now - timedelta(days=3650)
    reachable(now, next_push_at=long_ago)
    with django_capture_on_commit_callbacks() as callbacks:
        tasks.push_due()
    assert callbacks == []
    certificate(now)
    with django_capture_on_commit_callbacks() as callbacks:
        tasks.push_due()
    assert len(callbacks) == 1


def test_devices_without_a_push_certificate_alert_until_one_is_uploaded(now: datetime) -> None:
    reachable(now)
    assert expiring.tell_of_unreachable([], now) == 1
    certificate(now)
    assert expiring.tell_of_unreachable([TOPIC], now) == 0
    assert Alert.objects.get().resolved_at == now


def test_a_push_certificate_that_ends_alerts_at_each_threshold_and_no_more_once_renewed(now: datetime) -> None:
    stored = certificate(now, not_after=now + timedelta(days=61))
    assert expiring.warn(now) == 0
    for days in (1, 2, 54, 60, 62):
        expiring.warn(now + timedelta(days=days))
    raised = [alert.key.rsplit(":", 1)[1] for alert in Alert.objects.order_by("pk")]
    assert raised == ["60", "7", "1"]
    assert [alert.severity for alert in Alert.objects.order_by("pk")] == ["warning", "critical", "critical"]
    assert Alert.objects.filter(resolved_at=None).count() == 1
    PushCertificate.objects.filter(pk=stored.pk).update(replaced_at=now)
    expiring.warn(now + timedelta(days=63))
    assert not Alert.objects.filter(resolved_at=None).exists()


def test_ending_identities_of_enrolled_devices_are_told_in_one_alert(now: datetime) -> None:
    for state in ("enrolled", "enrolled", "archived"):
        enrolled(now, state=state)
    assert expiring.warn(now + timedelta(days=360)) == 1
    assert "2 devices" in Alert.objects.get().title
