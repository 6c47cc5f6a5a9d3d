"""The client of Apple's APIs against a real HTTP server that behaves as Apple's do."""

import itertools
import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from provisioning.appstoreconnect import AppleProfile, AppStoreConnectError, Client, ErrorKind, KeyMaterial, RateLimit
from tests.provisioning.apple import BUNDLE, Clock, FakeApple

NAME = "amdm 7QK2 com.example.pos 20261123"


@pytest.fixture
def apple(now: datetime) -> Iterator[FakeApple]:
    made = FakeApple(Clock(now))
    with made.server:
        yield made


@pytest.fixture
def client(apple: FakeApple) -> Iterator[Client]:
    with apple.client() as made:
        yield made


def create(client: Client, apple: FakeApple, name: str = NAME) -> AppleProfile:
    return client.create_profile(
        name, "IOS_APP_INHOUSE", bundle_id=apple.bundle_id.id, certificate_ids=[apple.certificate.id]
    )


def failure(call: Callable[[], object]) -> AppStoreConnectError:
    with pytest.raises(AppStoreConnectError) as caught:
        call()
    return caught.value


def test_what_is_created_is_found_read_and_deleted(client: Client, apple: FakeApple) -> None:
    made = create(client, apple)
    assert made.content == apple.team.profiles[made.id].content
    assert made.content
    assert (made.name, made.type, made.state, made.bundle_id_id) == (
        NAME, "IOS_APP_INHOUSE", "ACTIVE", apple.bundle_id.id,
    )  # fmt: skip
    assert made.expires_at == apple.clock.now + timedelta(days=365)
    assert made.certificate_ids is None  # Apple does not tell here
    found = client.profile(made.id)
    assert found.certificate_ids == (apple.certificate.id,)
    assert [one.id for one in client.profiles(name=NAME)] == [made.id]
    client.delete_profile(made.id)
    client.delete_profile(made.id)  # gone is deleted
    assert client.profiles(name=NAME) == []
    assert failure(lambda: client.profile(made.id)).kind is ErrorKind.NOT_FOUND


def test_names_and_identifiers_are_compared_whole_though_apple_matches_parts(client: Client, apple: FakeApple) -> None:
    create(client, apple)
    create(client, apple, f"{NAME} 2")
    apple.team.add_bundle_id(f"{BUNDLE}.share")
    assert [one.name for one in client.profiles(name=NAME)] == [NAME]
    assert [one.identifier for one in client.bundle_ids(BUNDLE)] == [BUNDLE]
    assert client.bundle_ids(BUNDLE)[0].seed_id == "AB12CD34EF"


def test_an_expired_profile_is_hidden_except_at_its_app_id(client: Client, apple: FakeApple) -> None:
    apple.clock.forward(days=60)
    assert client.profiles() == []
    (hidden,) = client.profiles_of_bundle_id(apple.bundle_id.id)
    assert (hidden.id, hidden.bundle_id_id, hidden.certificate_ids) == (apple.old.id, apple.bundle_id.id, None)
    assert failure(lambda: create(client, apple, apple.old.name)).kind is ErrorKind.NAME_TAKEN


def test_certificates_and_devices_are_listed_with_what_identifies_them(client: Client, apple: FakeApple) -> None:
    apple.team.add_device("00008110-000A1B2C3D4E5F60")
    (certificate,) = client.certificates()
    assert certificate.content == apple.certificate.issued.der
    assert certificate.serial_number == apple.certificate.issued.serial_number
    assert certificate.type == "IOS_DISTRIBUTION"
    assert certificate.expires_at == apple.certificate.issued.certificate.not_valid_after_utc
    (device,) = client.devices()
    assert (device.udid, device.status) == ("00008110-000A1B2C3D4E5F60", "ENABLED")
    assert "0000811" not in repr(device)


def test_all_pages_are_read(client: Client, apple: FakeApple) -> None:
    apple.api.page_limit = 2
    names = {apple.old.name, *(apple.create(f"profile {number}").name for number in range(6))}
    assert {one.name for one in client.profiles()} == names
    assert {one.name for one in client.profiles_of_bundle_id(apple.bundle_id.id)} == names
    assert apple.api.counts["GET", "profiles"] == 4


def test_a_broken_cursor_is_answered_by_the_lists_two_ends(client: Client, apple: FakeApple) -> None:
    apple.api.page_limit = 3
    names = {apple.old.name, *(apple.create(f"profile {number}").name for number in range(4))}
    apple.server.fail_next("GET", "/profiles", "broken_cursor")
    assert {one.name for one in client.profiles()} == names


def test_two_ends_that_do_not_meet_are_no_whole_list(client: Client, apple: FakeApple) -> None:
    apple.api.page_limit = 2
    for number in range(4):
        apple.create(f"profile {number}")
    apple.server.fail_next("GET", "/profiles", "broken_cursor")
    assert failure(client.profiles).kind is ErrorKind.UNAVAILABLE


@pytest.mark.parametrize("fault", ["foreign_next", "endless", "no_json", "no_object", "proxy_page", "redirect", "huge"])
def test_an_odd_answer_is_an_unavailable_apple(client: Client, apple: FakeApple, fault: str) -> None:
    apple.server.fail_next("GET", "/profiles", fault, times=10)
    error = failure(client.profiles)
    assert (error.kind, error.permanent) == (ErrorKind.UNAVAILABLE, False)


def test_an_answer_is_bounded(client: Client, apple: FakeApple) -> None:
    apple.server.fail_next("POST", "/profiles", "huge")
    assert "larger than 64 MiB" in failure(lambda: create(client, apple)).sentence


@pytest.mark.parametrize(
    "link",
    [
        "https://elsewhere.example.com/v1/profiles",
        "http://api.example.com/v1/profiles",
        "https://api.example.com:8443/v1/profiles",
        "https://user@api.example.com/v1/profiles",
        "https://api.example.com.example.org/v1/profiles",
        "https://api.example.com/v2/profiles",
        "//elsewhere.example.com/v1/profiles",
        "/v1/profiles?cursor=x",
        "https://[",
        7,
    ],
)
def test_the_token_is_never_taken_to_another_address(apple: FakeApple, link: object) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, json={"data": [], "links": {"next": link}})

    transport = httpx.MockTransport(answer)
    with Client(apple.material(), clock=apple.clock, base_url="https://api.example.com", transport=transport) as client:
        assert failure(client.devices).kind is ErrorKind.UNAVAILABLE
    assert asked == ["https://api.example.com/v1/devices?limit=200"]


@pytest.mark.parametrize(
    ("fault", "kind", "is_permanent"),
    [
        ("agreement", ErrorKind.AGREEMENT, True),
        ("membership", ErrorKind.MEMBERSHIP, True),
        ("role", ErrorKind.ROLE, True),
        ("not_found", ErrorKind.NOT_FOUND, False),
        ("path_error", ErrorKind.BUG, True),
        ("duplicate", ErrorKind.NAME_TAKEN, False),
        ("no_app_id", ErrorKind.APP_ID, True),
        ("certificate_refused", ErrorKind.CERTIFICATE, True),
        ("devices_refused", ErrorKind.BUG, True),
        ("unknown_attribute", ErrorKind.BUG, True),
        ("capability", ErrorKind.CAPABILITY, True),
        ("illegal_parameter", ErrorKind.BUG, True),
        ("unprocessable", ErrorKind.BUG, True),
        ("rate_limit", ErrorKind.RATE_LIMIT, False),
        ("server_error", ErrorKind.UNAVAILABLE, False),
        ("unavailable", ErrorKind.UNAVAILABLE, False),
        ("bad_gateway", ErrorKind.UNAVAILABLE, False),
        ("drop", ErrorKind.UNAVAILABLE, False),
    ],
)
def test_every_refusal_of_apples_has_its_kind(
    client: Client, apple: FakeApple, fault: str, kind: ErrorKind, is_permanent: bool
) -> None:
    apple.server.fail_next("POST", "/profiles", fault)
    error = failure(lambda: create(client, apple))
    assert (error.kind, error.permanent) == (kind, is_permanent)
    assert error.sentence == str(error)
    assert apple.posts() == 1
    assert apple.api.created == []


def test_apples_code_id_and_words_are_kept_for_its_support(client: Client, apple: FakeApple) -> None:
    apple.server.fail_next("GET", "/profiles", "membership")
    error = failure(client.check)
    assert (error.status, error.apple_code) == (403, "FORBIDDEN_ERROR")
    assert error.apple_id == "9f2d1584-d967-4d2b-9a3b-a824afc95e3f"
    assert "not associated with an active membership" in error.sentence
    assert client.last_exchange is not None
    assert client.last_exchange.apple_code == "FORBIDDEN_ERROR"


@pytest.mark.parametrize("fault", ["server_error_after", "drop_after", "no_json", "no_object"])
def test_a_post_whose_answer_is_lost_is_not_sent_again(client: Client, apple: FakeApple, fault: str) -> None:
    apple.server.fail_next("POST", "/profiles", fault)
    assert failure(lambda: create(client, apple)).kind is ErrorKind.UNAVAILABLE
    assert apple.posts() == 1
    assert [one.name for one in client.profiles_of_bundle_id(apple.bundle_id.id)] == [apple.old.name, NAME]


def test_a_get_is_tried_three_times_and_waits_in_between(apple: FakeApple) -> None:
    waits: list[float] = []
    with apple.client(pause=waits.append) as client:
        apple.server.fail_next("GET", "/profiles", "bad_gateway")
        apple.server.fail_next("GET", "/profiles", "drop")
        assert len(client.profiles()) == 1
        assert waits == [2, 4]
        apple.server.fail_next("GET", "/profiles", "unavailable", times=3)
        assert failure(client.profiles).kind is ErrorKind.UNAVAILABLE


def test_a_body_that_does_not_come_is_given_up(apple: FakeApple) -> None:
    apple.server.fail_next("POST", "/profiles", "slow", seconds=5)
    with apple.client(timeout=0.1) as client:
        assert failure(lambda: create(client, apple)).kind is ErrorKind.UNAVAILABLE


def test_a_server_that_is_not_there_is_unavailable(apple: FakeApple) -> None:
    with apple.client() as client:
        apple.server.stop()
        assert failure(client.check).kind is ErrorKind.UNAVAILABLE
        assert client.last_exchange is not None
        assert client.last_exchange.status is None


def test_retry_after_is_read_as_seconds_and_as_a_date(client: Client, apple: FakeApple) -> None:
    apple.server.fail_next("GET", "/profiles", "rate_limit", retry_after="30")
    assert failure(client.check).retry_after == 30
    apple.server.fail_next("GET", "/profiles", "rate_limit", retry_after="Mon, 23 Nov 2026 12:05:00 GMT")
    assert failure(client.check).retry_after == 300
    apple.server.fail_next("GET", "/profiles", "rate_limit", retry_after="soon")
    assert failure(client.check).retry_after is None
    assert apple.api.counts["GET", "profiles"] == 3  # a limit is not beaten upon


def test_apples_limit_is_told_with_every_answer(apple: FakeApple) -> None:
    rates: list[RateLimit] = []
    apple.api.rate_limit = 100
    with apple.client(on_rate=rates.append) as client:
        client.check()
        client.check()
    assert rates == [RateLimit(100, 99), RateLimit(100, 98)]


def test_only_half_of_the_limit_is_ours(client: Client, apple: FakeApple) -> None:
    apple.api.rate_limit = 10
    for _ in range(6):
        client.check()
    error = failure(client.check)
    assert (error.kind, error.retry_after) == (ErrorKind.RATE_LIMIT, 720)
    assert apple.api.counts["GET", "profiles"] == 6
    apple.clock.forward(minutes=12)
    client.check()


def test_a_refused_token_is_replaced_once(client: Client, apple: FakeApple) -> None:
    apple.server.fail_next("POST", "/profiles", "unauthorized")
    create(client, apple)
    assert len(apple.api.created) == 1
    apple.team.keys[apple.key.key_id].is_revoked = True
    error = failure(client.check)
    assert (error.kind, error.permanent, error.status) == (ErrorKind.KEY, True, 401)
    assert apple.api.counts["GET", "profiles"] == 2


def test_a_token_is_used_again_until_it_nears_its_end(apple: FakeApple) -> None:
    tokens: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        tokens.append(request.headers["Authorization"])
        return httpx.Response(200, json={"data": []})

    with apple.client(transport=httpx.MockTransport(answer)) as client:
        for minutes in (0, 10, 10):
            apple.clock.forward(minutes=minutes)
            client.check()
    assert tokens[0] == tokens[1] != tokens[2]


def test_the_token_after_a_refused_one_is_another(apple: FakeApple) -> None:
    tokens: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        tokens.append(request.headers["Authorization"])
        return httpx.Response(401 if len(tokens) == 1 else 200, json={"data": []})

    with apple.client(transport=httpx.MockTransport(answer)) as client:
        client.check()
    assert len(set(tokens)) == 2


def test_the_wrong_program_is_a_wrong_key(apple: FakeApple) -> None:
    with apple.client(apple.material(program="developer")) as client:
        assert failure(client.check).kind is ErrorKind.KEY


@pytest.mark.parametrize("minutes", [-30, 30])
def test_a_wrong_clock_is_corrected_by_apples(apple: FakeApple, minutes: int) -> None:
    with apple.client(clock=lambda: apple.clock.now + timedelta(minutes=minutes)) as client:
        client.check()
        client.check()
    assert apple.api.counts["GET", "profiles"] == 3


def test_a_clock_that_cannot_be_corrected_is_named(apple: FakeApple) -> None:
    apple.team.keys[apple.key.key_id].is_revoked = True
    with apple.client(clock=lambda: apple.clock.now - timedelta(hours=2)) as client:
        error = failure(client.check)
    assert (error.kind, error.permanent) == (ErrorKind.CLOCK, True)


@pytest.mark.parametrize("address", ["http://api.example.com", "ftp://127.0.0.1", "", "http://", "https://"])
def test_tokens_never_travel_in_clear(apple: FakeApple, address: str) -> None:
    if address:
        made = failure(lambda: Client(apple.material(), clock=apple.clock, base_url=address))
        assert made.kind is ErrorKind.BUG
    else:
        Client(apple.material(), clock=apple.clock, base_url=address).close()  # Apple's own


def test_only_apples_ids_become_parts_of_a_path(client: Client, apple: FakeApple) -> None:
    for identifier in ("../devices", "a/b", "", "x?y", "é"):
        assert failure(lambda: client.profile(identifier)).kind is ErrorKind.BUG  # noqa: B023
    assert not apple.api.requests


def test_a_profile_without_content_has_none(client: Client, apple: FakeApple) -> None:
    apple.server.fail_next("POST", "/profiles", "invalid")
    made = create(client, apple)
    assert (made.state, made.content) == ("INVALID", None)


def test_nothing_secret_is_logged_or_shown(client: Client, apple: FakeApple, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("", "httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, logger=name)
    apple.team.add_device("00008110-000A1B2C3D4E5F60")
    material = apple.material()
    client.devices()
    made = create(client, apple)
    errors = []
    for fault in ("unauthorized", "drop", "bad_gateway", "role", "no_json"):
        apple.server.fail_next("GET", "/profiles", fault, times=5)
        errors.append(failure(client.profiles))
        apple.api.faults.lines.clear()
    shown = [*(record.getMessage() for record in caplog.records), *(f"{error} {error!r}" for error in errors)]
    shown += [repr(made), repr(material), repr(client.last_exchange), repr(client.certificates())]
    shown += [repr(error.__cause__) + repr(error.__context__) for error in errors]
    text = "\n".join(shown)
    assert "httpx" in {record.name for record in caplog.records}
    for secret in ("Bearer", "eyJ", "PRIVATE", "00008110", "MII", material.private_key_pem.decode()[60:90]):
        assert secret not in text


def test_apples_words_are_cleaned_of_tokens_and_devices() -> None:
    detail = "token eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln of 00008110-000A1B2C3D4E5F60\x00\x1b[31m " + "ab" * 20

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(403, json={"errors": [{"code": "FORBIDDEN_ERROR", "detail": detail}]})

    moment = datetime(2026, 11, 23, tzinfo=UTC)
    apple = FakeApple(Clock(moment))
    with apple.client(transport=httpx.MockTransport(answer)) as client:
        text = str(failure(client.check))
    assert text.endswith("Apple's words: token […] of […] [31m […]")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["data", "links", "next", "id", "type", "attributes", "relationships", "errors", "name", "source"]
            )
            | st.text(max_size=3),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
_RESOURCE = st.fixed_dictionaries(
    {"data": st.lists(st.fixed_dictionaries({"type": st.just("profiles"), "id": st.text(), "attributes": _JSON}))}
)


# A minute between two requests keeps the budget full.
_MOMENTS = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number) for number in itertools.count())


@cache
def _key() -> KeyMaterial:
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return KeyMaterial("enterprise", "KEY0000001", "6f8f6c2e-0000-4000-8000-000000000001", pem)


@given(document=_JSON | _RESOURCE, status=st.sampled_from([200, 201, 204, 301, 400, 401, 403, 404, 409, 429, 500]))
@settings(max_examples=50)
def test_no_answer_raises_anything_but_the_one_error(document: object, status: int) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        headers = {"Retry-After": json.dumps(document)[:40], "X-Rate-Limit": json.dumps(document)[:40]}
        return httpx.Response(status, content=json.dumps(document).encode(), headers=headers)

    with Client(_key(), clock=lambda: next(_MOMENTS), transport=httpx.MockTransport(answer)) as client:
        errors: list[AppStoreConnectError] = []
        for call in (client.profiles, client.certificates, client.devices, lambda: client.profile("P1")):
            try:
                call()
            except AppStoreConnectError as error:
                errors.append(error)
    assert all(str(error).isprintable() for error in errors)
