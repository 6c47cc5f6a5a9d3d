"""The rules of the fake APNs, without network."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from simulator.apns_ledger import Answer, Ledger, PushRequest

TOPIC = "com.apple.mgmt.External.00000000-0000-0000-0000-000000000001"
TOKEN = bytes(range(32))
NOW = datetime(2030, 1, 2, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def request(
    body: bytes = b'{"mdm":"magic"}',
    *,
    method: str = "POST",
    path: str = f"/3/device/{TOKEN.hex()}",
    topic: str = TOPIC,
    **changes: str | None,
) -> PushRequest:
    headers = {
        "apns-push-type": "mdm",
        "apns-topic": TOPIC,
        "apns-priority": "10",
        "apns-expiration": str(int(NOW.timestamp()) + 3600),
    }
    for name, value in changes.items():
        key = name.replace("_", "-")
        if value is None:
            headers.pop(key)
        else:
            headers[key] = value
    return PushRequest(method, path, headers, body, topic)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> Ledger:
    ledger = Ledger(clock)
    ledger.register(TOKEN, topic=TOPIC)
    return ledger


def outcome(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.reason


def test_a_good_push_is_accepted_and_remembered(ledger: Ledger) -> None:
    answer = ledger.handle(request(apns_id="AAAA"))
    assert (answer.status, answer.body, answer.apns_id) == (200, b"", "AAAA")
    assert [(push.token, push.push_magic) for push in ledger.pushes] == [(TOKEN, "magic")]


@pytest.mark.parametrize(
    ("push", "expected"),
    [
        (request(method="GET"), (405, "MethodNotAllowed")),
        (request(path="/3/devices/aa"), (404, "BadPath")),
        (request(path="/3/device/"), (400, "MissingDeviceToken")),
        (request(path="/3/device/xyz"), (400, "BadDeviceToken")),
        (request(path="/3/device/aabb"), (400, "BadDeviceToken")),
        (request(apns_push_type="alert"), (400, "InvalidPushType")),
        (request(apns_push_type=None), (400, "InvalidPushType")),
        (request(apns_topic=None), (400, "MissingTopic")),
        (request(apns_topic="com.apple.mgmt.other"), (400, "TopicDisallowed")),
        (request(apns_priority="7"), (400, "BadPriority")),
        (request(apns_expiration=None), (400, "BadExpirationDate")),
        (request(apns_expiration="0"), (400, "BadExpirationDate")),
        (request(apns_expiration="-1"), (400, "BadExpirationDate")),
        (request(b""), (400, "PayloadEmpty")),
        (request(b"[" * 100000), (413, "PayloadTooLarge")),
        (request(b"[" * 4000), (400, "PayloadEmpty")),
        (request(b'{"mdm":"magic","aps":{}}'), (400, "PayloadEmpty")),
        (request(b'{"mdm":5}'), (400, "PayloadEmpty")),
    ],
)
def test_a_wrong_push_gets_apples_reason(ledger: Ledger, push: PushRequest, expected: tuple[int, str]) -> None:
    assert outcome(ledger.handle(push)) == expected
    assert ledger.pushes == []


def test_a_dead_token_is_gone_since_the_moment_it_died(ledger: Ledger, clock: Clock) -> None:
    ledger.kill_token(TOKEN)
    clock.now += timedelta(hours=1)
    answer = ledger.handle(request())
    assert answer.status == 410
    assert json.loads(answer.body) == {"reason": "Unregistered", "timestamp": int(NOW.timestamp()) * 1000}


def test_a_token_of_another_topic_is_told_apart(ledger: Ledger) -> None:
    ledger.register(b"other", topic="com.apple.mgmt.External.other")
    assert outcome(ledger.handle(request(path=f"/3/device/{b'other'.hex()}"))) == (400, "DeviceTokenNotForTopic")


def test_pushes_wait_for_an_offline_device_and_only_the_last_is_delivered(ledger: Ledger) -> None:
    heard: list[str] = []
    ledger.register(TOKEN, topic=TOPIC, deliver=heard.append, online=False)
    for magic in ("one", "two"):
        ledger.handle(request(json.dumps({"mdm": magic}).encode()))
    assert heard == []
    ledger.set_online(TOKEN, True)
    assert heard == ["two"]
    ledger.set_online(TOKEN, True)
    assert heard == ["two"]


def test_an_expired_push_is_not_delivered(ledger: Ledger, clock: Clock) -> None:
    heard: list[str] = []
    ledger.register(TOKEN, topic=TOPIC, deliver=heard.append, online=False)
    ledger.handle(request())
    clock.now += timedelta(hours=2)
    ledger.set_online(TOKEN, True)
    assert heard == []


def test_an_unknown_token_is_accepted_only_on_request(clock: Clock) -> None:
    assert Ledger(clock, accept_any=True).handle(request()).status == 200


def test_scripted_faults_are_played_in_order(ledger: Ledger) -> None:
    ledger.script(429, 503)
    faults = [ledger.next_fault() for _ in range(3)]
    assert faults == [429, 503, None]
    assert outcome(ledger.handle(request(), 503)) == (503, "ServiceUnavailable")
    with pytest.raises(ValueError, match="unknown fault"):
        ledger.script(418)
