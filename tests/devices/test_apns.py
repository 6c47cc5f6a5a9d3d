"""The APNs client against the fake APNs: real TLS with a client certificate, real HTTP/2."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from certificates.models import PushCertificate
from devices.apns import PushSummary, send_pushes
from devices.apns.client import NO_CA_FILE, UNUSABLE_CERTIFICATE, Apns, Credentials
from devices.models import Enrollment, PushState
from protocol.push import PushNotification, PushOutcome
from simulator import apple
from simulator.apns import FakeApns, utc_now
from tests.devices.queue_rows import enrolled

pytestmark = pytest.mark.real_clock
MAGIC = "MAGIC-THAT-NOBODY-MAY-READ"


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeApns]:
    with FakeApns(tmp_path / "apple") as running:
        yield running


@pytest.fixture
def apns(tmp_path: Path) -> Iterator[Apns]:
    client = Apns(tmp_path)
    yield client
    client.close()
    assert list(tmp_path.glob("apns-*")) == []


def credentials(fake: FakeApns, identity: apple.FakeApple | None = None, **values: Any) -> Credentials:
    identity = identity or fake.apple
    defaults: dict[str, Any] = {
        "topic": fake.topic,
        "certificate_pem": identity.push_certificate.read_text(),
        "private_key_pem": identity.push_key.read_bytes(),
        "url": fake.url,
        "ca_file": str(fake.apple.ca),
    }
    return Credentials(**{**defaults, **values})


def notification(fake: FakeApns, number: int = 1, *, registered: bool = True) -> PushNotification:
    token = number.to_bytes(32, "big")
    if registered:
        fake.register(token)
    expiration = int(utc_now().timestamp()) + 3600
    return PushNotification(token=token, push_magic=MAGIC, topic=fake.topic, expiration=expiration)


def test_many_pushes_go_over_one_connection_and_keep_their_order(fake: FakeApns, apns: Apns) -> None:
    batch = [notification(fake, number, registered=number % 7 != 0) for number in range(1, 301)]
    answers = apns.deliver(credentials(fake), batch)
    assert [answer.reason for answer in answers] == ["" if n % 7 else "BadDeviceToken" for n in range(1, 301)]
    assert apns.deliver(credentials(fake), batch[:1])[0].outcome is PushOutcome.ACCEPTED
    assert fake.connections == 1


@pytest.mark.parametrize("end", ["goaway", "close"])
def test_a_connection_that_apple_ends_is_made_anew_and_no_push_is_lost(fake: FakeApns, apns: Apns, end: str) -> None:
    batch = [notification(fake, number) for number in range(1, 151)]
    apns.deliver(credentials(fake), batch[:1])
    fake.script(end)
    answers = apns.deliver(credentials(fake), batch)
    assert {answer.outcome for answer in answers} == {PushOutcome.ACCEPTED}
    assert {push.token for push in fake.pushes} == {one.token for one in batch}
    # httpcore may make one by itself for what Apple says it has not looked at.
    assert fake.connections in {2, 3}


def test_a_busy_apns_is_an_answer_and_not_repeated(fake: FakeApns, apns: Apns) -> None:
    fake.script(503, 429)
    answers = apns.deliver(credentials(fake), [notification(fake)] * 2)
    assert sorted(answer.status for answer in answers) == [429, 503]
    assert fake.connections == 1


def test_a_new_certificate_gets_a_new_connection(fake: FakeApns, apns: Apns, tmp_path: Path) -> None:
    one = notification(fake)
    apns.deliver(credentials(fake), [one])
    changed = credentials(fake, certificate_pem=credentials(fake).certificate_pem + "\n")
    assert apns.deliver(changed, [one])[0].outcome is PushOutcome.ACCEPTED
    assert apns.deliver(changed, [one])[0].outcome is PushOutcome.ACCEPTED
    assert fake.connections == 2


def test_a_certificate_that_the_server_does_not_know_is_a_failure_to_retry(
    fake: FakeApns, apns: Apns, tmp_path: Path
) -> None:
    stranger = apple.make(tmp_path / "other", now=utc_now(), topic=fake.topic)
    answers = apns.deliver(credentials(fake, stranger), [notification(fake)] * 100)
    assert {(answer.status, answer.outcome) for answer in answers} == {(0, PushOutcome.RETRY)}
    assert fake.connections <= 4


def test_a_server_that_is_not_there_fails_the_whole_batch_quickly(fake: FakeApns, apns: Apns) -> None:
    answers = apns.deliver(credentials(fake, url="https://localhost:9"), [notification(fake)] * 400)
    assert {(answer.reason, answer.outcome) for answer in answers} == {("ConnectError", PushOutcome.RETRY)}


def test_a_server_of_another_authority_is_not_trusted(fake: FakeApns, apns: Apns) -> None:
    answers = apns.deliver(credentials(fake, ca_file=""), [notification(fake)])
    assert answers[0].outcome is PushOutcome.RETRY
    assert fake.pushes == []


def test_a_certificate_that_cannot_be_used_stops_the_topic_and_a_missing_ca_file_does_not(
    fake: FakeApns, apns: Apns
) -> None:
    [answer] = apns.deliver(credentials(fake, private_key_pem=b"no key"), [notification(fake)])
    assert (answer.reason, answer.outcome) == (UNUSABLE_CERTIFICATE, PushOutcome.TOPIC_REFUSED)
    [answer] = apns.deliver(credentials(fake, ca_file="/nowhere/ca.pem"), [notification(fake)])
    assert (answer.reason, answer.outcome) == (NO_CA_FILE, PushOutcome.RETRY)


def test_nothing_secret_is_logged_or_shown(fake: FakeApns, apns: Apns, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        batch = [notification(fake, 0xABCDEF), notification(fake, 0xABCDEE, registered=False)]
        answers = apns.deliver(credentials(fake), batch)
    said = caplog.text + repr(batch) + repr(answers) + repr(credentials(fake))
    assert not [secret for secret in ("abcde", MAGIC, "PRIVATE KEY", "/3/device") if secret in said]


@pytest.mark.django_db
def test_devices_are_woken_and_dead_ones_leave_the_rota(fake: FakeApns, apns: Apns, settings: Any) -> None:
    settings.APNS_URL, settings.APNS_CA_FILE = fake.url, str(fake.apple.ca)
    now = timezone.now()
    PushCertificate.objects.create(
        topic=fake.topic,
        sha256=bytes(32),
        certificate_pem=fake.apple.push_certificate.read_text(),
        private_key_pem=fake.apple.push_key.read_bytes(),
        not_before=now,
        not_after=now + timedelta(days=1),
        uploaded_at=now,
    )
    woken: list[str] = []
    rows = []
    for number, updated in ((1, -1), (2, -1), (3, 1)):
        token = bytes([number]) * 32
        fake.register(token, deliver=woken.append)
        row, _ = enrolled(
            now,
            topic=fake.topic,
            token=token,
            push_magic=f"{MAGIC}-{number}",
            push_state=PushState.OK,
            token_updated_at=now + timedelta(hours=updated),
            next_push_at=now,
        )
        rows.append(row)
    fake.kill_token(b"\2" * 32)
    fake.kill_token(b"\3" * 32)
    summary = send_pushes([row.pk for row in rows], now, apns=apns)
    assert summary == PushSummary(accepted=1, dead=1, retried=1)
    assert woken == [f"{MAGIC}-1"]
    states = list(Enrollment.objects.order_by("pk").values_list("push_state", "push_reason"))
    assert states == [("ok", ""), ("dead", "Unregistered"), ("ok", "Unregistered")]
