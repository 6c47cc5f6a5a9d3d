"""API keys: what is taken, what Apple's answers make of them, and that nothing of them is ever shown."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from django.contrib.auth.models import User
from django.db import connection

from operations.models import AuditEvent
from provisioning import keys
from provisioning.appstoreconnect import AppStoreConnectError, ErrorKind
from provisioning.models import ApiKey, DeveloperTeam, KeyState, Program
from tests.provisioning.apple import TEAM, Clock, FakeApple

pytestmark = pytest.mark.django_db


@pytest.fixture
def apple(now: datetime, settings: Any) -> Iterator[FakeApple]:
    made = FakeApple(Clock(now))
    with made.server:
        settings.APPSTORECONNECT_URL = made.server.url("developer")
        settings.APPSTORECONNECT_ENTERPRISE_URL = made.server.url("enterprise")
        yield made


@pytest.fixture
def team(now: datetime) -> DeveloperTeam:
    return DeveloperTeam.objects.create(identifier=TEAM, name="Example Ltd", created_at=now)


@pytest.fixture
def add(team: DeveloperTeam, apple: FakeApple, now: datetime) -> Callable[..., ApiKey]:
    """Add the fake Apple's key, with some of its values replaced."""

    def added(**changed: object) -> ApiKey:
        values: dict[str, object] = {
            "program": "enterprise", "key_id": apple.key.key_id, "issuer_id": apple.key.issuer_id,
            "private_key_pem": apple.key.pem, "actor": None, "now": now,
        }  # fmt: skip
        return keys.add_key(team, **(values | changed))

    return added


def test_a_key_is_added_encrypted_and_recorded_without_its_secret(
    add: Callable[..., ApiKey], apple: FakeApple, now: datetime
) -> None:
    user = User.objects.create(username="ada")
    made = add(actor=user, reason="renewals", key_id=f" {apple.key.key_id.lower()} ")
    assert (made.key_id, made.state, made.added_by) == (apple.key.key_id, KeyState.UNCHECKED, user)
    assert bytes(ApiKey.objects.get().private_key) == apple.key.pem
    with connection.cursor() as cursor:
        cursor.execute("SELECT private_key FROM provisioning_apikey")
        assert b"PRIVATE KEY" not in bytes(cursor.fetchone()[0])
    event = AuditEvent.objects.get()
    assert (event.action, event.reason) == ("api_key.add", "renewals")
    assert event.details == {"team": TEAM, "program": "enterprise", "key_id": apple.key.key_id}


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes = b"") -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("program", "other"),
        ("key_id", "TOO-SHORT"),
        ("key_id", "ABCDE12345X"),
        ("issuer_id", ""),
        ("issuer_id", "69a6de7e"),
        ("private_key_pem", b""),
        ("private_key_pem", b"\x00\xff" * 9000),
        ("private_key_pem", b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"),
        ("private_key_pem", _pem(ec.generate_private_key(ec.SECP384R1()))),
        ("private_key_pem", _pem(ec.generate_private_key(ec.SECP256R1()), b"secret")),
        ("private_key_pem", _pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))),
    ],
)
def test_what_is_no_team_key_is_refused_by_field(add: Callable[..., ApiKey], field: str, value: object) -> None:
    with pytest.raises(keys.KeyRefused) as refused:
        add(**{field: value})
    assert refused.value.field == field
    assert refused.value.reason.endswith(".") or "(PEM)" in refused.value.reason
    assert not ApiKey.objects.exists()
    assert not AuditEvent.objects.exists()


def test_the_same_key_is_added_once(add: Callable[..., ApiKey]) -> None:
    add()
    with pytest.raises(keys.KeyRefused, match="here already"):
        add()
    assert AuditEvent.objects.count() == 1


def test_removing_a_key_is_recorded(add: Callable[..., ApiKey], now: datetime) -> None:
    keys.remove_key(add(), reason="rotated", actor=None, now=now)
    assert not ApiKey.objects.exists()
    assert AuditEvent.objects.latest("pk").action == "api_key.remove"


def test_a_working_key_says_so_with_its_rate_limit(add: Callable[..., ApiKey], now: datetime) -> None:
    made = add()
    assert keys.check_key(made, now=now) is None
    made.refresh_from_db()
    assert (made.state, made.checked_at, made.last_ok_at, made.error) == (KeyState.WORKING, now, now, "")
    assert (made.rate_limit, made.rate_remaining) == (3600, 3599)


@pytest.mark.parametrize("fault", ["agreement", "membership", "role"])
def test_a_refusal_is_kept_in_words_and_gone_when_the_key_works(
    add: Callable[..., ApiKey], apple: FakeApple, now: datetime, fault: str
) -> None:
    made = add()
    apple.server.fail_next("GET", "/profiles", fault)
    assert keys.check_keys(now) == [made.pk]
    made.refresh_from_db()
    assert (made.state, made.error_kind, made.last_ok_at) == (KeyState.FAILING, fault, None)
    assert made.error
    assert keys.check_keys(now) == []
    made.refresh_from_db()
    assert (made.state, made.error_kind, made.error) == (KeyState.WORKING, "", "")


def test_a_key_of_the_other_program_fails(add: Callable[..., ApiKey], now: datetime) -> None:
    made = add(program=Program.DEVELOPER)
    error = keys.check_key(made, now=now)
    assert error is not None
    assert error.kind is ErrorKind.KEY


def test_an_apple_that_is_down_says_nothing_about_the_key(
    add: Callable[..., ApiKey], apple: FakeApple, now: datetime
) -> None:
    made = add()
    keys.check_key(made, now=now)
    apple.server.stop()
    error = keys.check_key(made, now=now)
    assert error is not None
    assert error.kind is ErrorKind.UNAVAILABLE
    made.refresh_from_db()
    assert made.state == KeyState.WORKING


def test_a_key_that_cannot_be_decrypted_does_not_stop_the_others(
    add: Callable[..., ApiKey], apple: FakeApple, now: datetime
) -> None:
    broken, second = add(), apple.team.add_key()
    working = add(key_id=second.key_id, issuer_id=second.issuer_id, private_key_pem=second.pem)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE provisioning_apikey SET private_key = %s WHERE id = %s", [b"gone", broken.pk])
    assert keys.check_keys(now) == [broken.pk]
    working.refresh_from_db()
    assert working.state == KeyState.WORKING


def test_a_renewals_error_marks_the_key_only_when_it_is_about_the_key(
    add: Callable[..., ApiKey], now: datetime
) -> None:
    made = add()
    keys.record_refusal(made.pk, AppStoreConnectError(ErrorKind.APP_ID), now=now)
    made.refresh_from_db()
    assert made.state == KeyState.UNCHECKED
    keys.record_refusal(made.pk, AppStoreConnectError(ErrorKind.MEMBERSHIP), now=now)
    made.refresh_from_db()
    assert (made.state, made.error_kind) == (KeyState.FAILING, "membership")


def test_an_address_in_clear_is_refused_before_anything_is_sent(
    add: Callable[..., ApiKey], settings: Any, now: datetime
) -> None:
    settings.APPSTORECONNECT_ENTERPRISE_URL = "http://apple.example.com"
    error = keys.check_key(add(), now=now)
    assert error is not None
    assert error.kind is ErrorKind.BUG


@pytest.mark.parametrize(
    ("name", "key_id"),
    [
        ("AuthKey_2X9R4HXF34.p8", "2X9R4HXF34"),
        ("AuthKey_2X9R4HXF34 (1).p8", "2X9R4HXF34"),
        ("key.p8", ""),
        ("AuthKey_2X9R4HXF34X.p8", ""),
    ],
)
def test_the_files_name_tells_the_key_id(name: str, key_id: str) -> None:
    assert keys.key_id_in(name) == key_id
