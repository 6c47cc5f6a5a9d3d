"""Push notifications and the answers of APNs."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.push import PushNotification, PushOutcome, classify

PUSH = PushNotification(
    token=b"\x01\xab" * 16, push_magic='magic"\n\u00e4', topic="com.apple.mgmt.External.1", expiration=1_700_000_000
)


def test_a_push_carries_the_push_magic_and_nothing_else():
    assert PUSH.path() == "/3/device/" + "01ab" * 16
    assert json.loads(PUSH.body()) == {"mdm": 'magic"\n\u00e4'}
    assert PUSH.headers() == {
        "apns-push-type": "mdm",
        "apns-topic": "com.apple.mgmt.External.1",
        "apns-priority": "10",
        "apns-expiration": "1700000000",
    }


def test_neither_token_nor_push_magic_shows_in_a_repr():
    assert "magic" not in repr(PUSH).replace("push_magic", "")
    assert "01ab" not in repr(PUSH)


@pytest.mark.parametrize(
    ("status", "reason", "outcome"),
    [
        (200, "", PushOutcome.ACCEPTED),
        (410, "Unregistered", PushOutcome.TOKEN_DEAD),
        (410, "ExpiredToken", PushOutcome.TOKEN_DEAD),
        (400, "BadDeviceToken", PushOutcome.TOKEN_DEAD),
        (400, "DeviceTokenNotForTopic", PushOutcome.TOPIC_REFUSED),
        (400, "BadTopic", PushOutcome.TOPIC_REFUSED),
        (400, "MissingTopic", PushOutcome.TOPIC_REFUSED),
        (400, "TopicDisallowed", PushOutcome.TOPIC_REFUSED),
        (403, "BadCertificate", PushOutcome.TOPIC_REFUSED),
        (403, "Forbidden", PushOutcome.TOPIC_REFUSED),
        (403, "", PushOutcome.TOPIC_REFUSED),
        (429, "TooManyRequests", PushOutcome.RETRY),
        (500, "InternalServerError", PushOutcome.RETRY),
        (503, "Shutdown", PushOutcome.RETRY),
        (502, "", PushOutcome.RETRY),
        (400, "IdleTimeout", PushOutcome.RETRY),
        (400, "PayloadEmpty", PushOutcome.BUG),
        (404, "BadPath", PushOutcome.BUG),
        (413, "PayloadTooLarge", PushOutcome.BUG),
        (410, "", PushOutcome.BUG),
        (400, "", PushOutcome.BUG),
    ],
)
def test_each_answer_points_one_way(status, reason, outcome):
    body = json.dumps({"reason": reason}).encode() if reason else b""
    answer = classify(status, body)
    assert (answer.status, answer.reason, answer.outcome, answer.timestamp) == (status, reason, outcome, None)


def test_a_dead_token_says_since_when():
    answer = classify(410, b'{"reason": "Unregistered", "timestamp": 1700000000500}')
    assert answer.timestamp == datetime(2023, 11, 14, 22, 13, 20, 500000, tzinfo=UTC)


@given(
    st.integers(100, 599),
    st.binary(max_size=50)
    | st.dictionaries(
        st.sampled_from(["reason", "timestamp"]), st.none() | st.text() | st.integers() | st.floats() | st.just([])
    ).map(lambda d: json.dumps(d).encode()),
)
@settings(max_examples=50)
def test_any_answer_can_be_read(status, body):
    assert classify(status, body).outcome in PushOutcome


def test_a_deeply_nested_answer_counts_by_its_status():
    assert classify(503, b"[" * 100_000).outcome is PushOutcome.RETRY
