"""The fake APNs over a real TLS and HTTP/2 connection."""

import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from simulator import apple
from simulator.apns import FakeApns, server_context, utc_now

pytestmark = pytest.mark.real_clock
TOKEN = bytes(range(32))


@pytest.fixture
def apns(tmp_path: Path) -> Iterator[FakeApns]:
    with FakeApns(tmp_path / "apple") as running:
        running.register(TOKEN)
        yield running


def client(fake: FakeApns, identity: apple.FakeApple | None) -> httpx.Client:
    context = ssl.create_default_context(cafile=str(fake.apple.ca))
    if identity is not None:
        context.load_cert_chain(identity.push_certificate, identity.push_key)
    return httpx.Client(http2=True, http1=False, verify=context, base_url=fake.url, trust_env=False)


def push(connection: httpx.Client, topic: str, token: bytes = TOKEN) -> httpx.Response:
    headers = {
        "apns-push-type": "mdm",
        "apns-topic": topic,
        "apns-priority": "10",
        "apns-expiration": str(int(time.time()) + 3600),
    }
    return connection.post(f"/3/device/{token.hex()}", headers=headers, json={"mdm": "magic"})


def test_many_pushes_share_one_connection(apns: FakeApns) -> None:
    with client(apns, apns.apple) as connection:
        answers = [push(connection, apns.topic) for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}
    assert all(answer.headers["apns-id"] and answer.http_version == "HTTP/2" for answer in answers)
    assert len(apns.pushes) == 20
    assert apns.connections == 1


def test_the_handshake_demands_a_certificate(apns: FakeApns) -> None:
    context = server_context(apns.apple)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert [dict(ca["subject"][0])["commonName"] for ca in context.get_ca_certs()] == ["Example Fake Apple Root CA"]


def test_a_client_without_a_certificate_is_turned_away(apns: FakeApns) -> None:
    with client(apns, None) as connection, pytest.raises(httpx.TransportError):
        push(connection, apns.topic)
    assert apns.pushes == []


def test_a_certificate_of_another_apple_is_turned_away(apns: FakeApns, tmp_path: Path) -> None:
    stranger = apple.make(tmp_path / "other", now=utc_now(), topic=apns.topic)
    with client(apns, stranger) as connection, pytest.raises(httpx.TransportError):
        push(connection, apns.topic)
    assert apns.pushes == []


def test_a_dead_and_an_unknown_token_are_refused(apns: FakeApns) -> None:
    apns.kill_token(TOKEN)
    with client(apns, apns.apple) as connection:
        dead, unknown = push(connection, apns.topic), push(connection, apns.topic, b"unknown")
    assert (dead.status_code, dead.json()["reason"]) == (410, "Unregistered")
    assert isinstance(dead.json()["timestamp"], int)
    assert (unknown.status_code, unknown.json()) == (400, {"reason": "BadDeviceToken"})


def test_a_goaway_costs_a_new_connection_and_nothing_else(apns: FakeApns) -> None:
    apns.script(503, "goaway")
    with client(apns, apns.apple) as connection:
        assert [push(connection, apns.topic).status_code for _ in range(2)] == [503, 200]
    assert apns.connections == 2


def test_a_connection_that_breaks_is_an_error_once(apns: FakeApns) -> None:
    apns.script("close")
    with client(apns, apns.apple) as connection:
        with pytest.raises(httpx.TransportError):
            push(connection, apns.topic)
        assert push(connection, apns.topic).status_code == 200
    assert len(apns.pushes) == 1


def test_a_push_wakes_the_device(apns: FakeApns) -> None:
    heard: list[str] = []
    apns.register(b"phone", deliver=heard.append)
    with client(apns, apns.apple) as connection:
        push(connection, apns.topic, b"phone")
    assert heard == ["magic"]
