"""Secrets are stored encrypted, named, versioned, and kept while anything names them."""

import pytest
from django.contrib.auth import get_user_model
from django.db import connection

from operations.models import AuditEvent
from profiles import secrets
from profiles.errors import SecretError
from profiles.models import HeldValue, Secret
from tests.profiles.fleet import WIFI, bundle_of, payload
from tests.published import published

pytestmark = pytest.mark.django_db

VALUE = b"correct horse battery"


@pytest.fixture
def person():
    return get_user_model().objects.create(username="ada")


def store(name, value=VALUE, *, now, **more) -> Secret:
    return secrets.store(name, value, actor=None, now=now, **more)


def test_a_secret_is_encrypted_and_in_no_audit_event(now, person):
    secret = secrets.store("wifi", VALUE, actor=person, now=now, note="office")
    assert (secret.version, secret.length, secret.changed_by) == (1, len(VALUE), person)
    with connection.cursor() as cursor:
        cursor.execute("SELECT value FROM profiles_secret")
        assert VALUE not in bytes(cursor.fetchone()[0])
    assert bytes(Secret.objects.get().value) == VALUE
    events = list(AuditEvent.objects.values_list("action", flat=True))
    assert events == ["secret.create"]
    assert VALUE.decode() not in str(AuditEvent.objects.values())


def test_another_value_is_a_new_version_and_the_same_one_is_none(now, django_capture_on_commit_callbacks):
    store("wifi", now=now)
    published()
    with django_capture_on_commit_callbacks(execute=True):
        assert store("wifi", now=now, note="kept").version == 1
    assert published() == []
    with django_capture_on_commit_callbacks(execute=True):
        again = secrets.rotate(Secret.objects.get(), b"another", reason="leaked", actor=None, now=now)
    assert (again.version, again.note, again.length) == (2, "kept", 7)
    assert published() == [("profiles.tasks.plan_all", [])]
    assert AuditEvent.objects.filter(action="secret.replace", reason="leaked").count() == 1


@pytest.mark.parametrize(
    ("name", "value"), [("", b"x"), ("a b", b"x"), ("a.b", b"x"), ("ä", b"x"), ("a" * 101, b"x"), ("a", b"")]
)
def test_names_that_no_payload_can_write_and_empty_values_are_refused(name, value, now):
    with pytest.raises(SecretError):
        store(name, value, now=now)
    assert not Secret.objects.exists()


def test_a_secret_that_a_draft_names_is_not_deleted(now):
    secret = store("wifi", now=now)
    bundle = bundle_of(payload(WIFI, Password="{{ secret.wifi }}"), now=now)
    assert secrets.usage(secret).drafts == {bundle}
    with pytest.raises(SecretError, match=bundle.name):
        secrets.delete(secret, reason="", actor=None, now=now)
    bundle.payloads.all().delete()
    secrets.delete(secret, reason="", actor=None, now=now)
    assert not Secret.objects.exists()
    assert AuditEvent.objects.filter(action="secret.delete").exists()


def test_a_name_is_readable_and_never_one_that_is_taken(now):
    bundle = bundle_of(payload(WIFI), now=now)
    bundle.name = "Sales"
    first = secrets.name_for(bundle, "Office Wi-Fi", "EAPClientConfiguration.UserPassword")
    assert first == "sales-office-wi-fi-userpassword"
    store(first, now=now)
    second = secrets.name_for(bundle, "Office Wi-Fi", "EAPClientConfiguration.UserPassword")
    third = secrets.name_for(bundle, "Office Wi-Fi", "EAPClientConfiguration.UserPassword", taken={second})
    assert len({first, second, third}) == 3
    long = secrets.name_for(bundle, "日本" * 100, "x" * 300)
    assert store(long, now=now).name == long
    assert secrets.missing([first, "gone"]) == ["gone"]


def test_a_held_value_is_its_owners_for_a_day(now, person, clock):
    other = get_user_model().objects.create(username="bob")
    token = secrets.hold(b"file", file_name="font.ttf", user=person, now=now)
    assert secrets.held(token, user=person) == b"file"
    assert secrets.held(token, user=other) is None
    assert secrets.held("\x00nul", user=person) is None
    clock.forward(hours=23)
    assert secrets.sweep_held(clock.now) == 0
    clock.forward(hours=2)
    assert secrets.sweep_held(clock.now) == 1
    assert secrets.held(token, user=person) is None


def test_one_person_cannot_hold_without_end(now, person):
    tokens = [secrets.hold(b"x", file_name="", user=person, now=now) for _ in range(secrets.MOST_HELD + 3)]
    assert HeldValue.objects.count() == secrets.MOST_HELD
    assert secrets.held(tokens[0], user=person) is None
    assert secrets.held(tokens[-1], user=person) == b"x"


def test_large_files_that_are_held_make_room_for_each_other(now, person):
    font = bytes(secrets.LARGEST * 8)
    tokens = [secrets.hold(font, file_name="font.ttf", user=person, now=now) for _ in range(4)]
    assert HeldValue.objects.count() == 2
    assert secrets.held(tokens[-1], user=person) == font
