"""The pages of secrets: added, replaced with a count, deleted when nothing uses them, and never shown."""

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from operations.models import AuditEvent
from profiles import secrets
from profiles.assignment import assign
from profiles.models import Secret
from tests.profiles.faster import somebody_faster
from tests.profiles.fleet import WIFI, payload
from tests.profiles.test_per_device import published

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("signing")]

VALUE = "correct horse battery"


@pytest.fixture
def client(db) -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create(username="root", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def secret(clock) -> Secret:
    return secrets.store("wifi", VALUE.encode(), actor=None, now=clock())


def page(name: str, *args: int) -> str:
    return reverse(f"admin:profiles_secret_{name}", args=args)


def test_a_secret_is_added_and_never_shown(client):
    answer = client.post(page("add"), {"name": "wifi", "new_value": f" {VALUE}", "note": "office"})
    assert answer.status_code == 302
    secret = Secret.objects.get()
    assert (bytes(secret.value), secret.note, secret.changed_by.username) == (f" {VALUE}".encode(), "office", "root")
    for address in (
        page("changelist"),
        page("change", secret.pk),
        page("history", secret.pk),
        page("replace", secret.pk),
    ):
        html = client.get(address).content.decode()
        assert VALUE not in html, address
    assert "{{ secret.wifi }}" in client.get(page("change", secret.pk)).content.decode()


def test_a_name_that_somebody_takes_in_the_same_moment_keeps_their_value(client, clock):
    def take():
        theirs = {"value": b"theirs", "length": 6, "created_at": clock.now, "changed_at": clock.now}
        Secret.objects.get_or_create(name="wifi", defaults=theirs)

    with somebody_faster("profiles_secret", take):
        answer = client.post(page("add"), {"name": "wifi", "new_value": VALUE})
    assert answer.status_code == 200
    assert VALUE not in answer.content.decode()
    assert "already exists" in answer.content.decode()
    assert bytes(Secret.objects.get().value) == b"theirs"


def test_a_file_is_taken_as_it_is(client):
    answer = client.post(page("add"), {"name": "key", "file": SimpleUploadedFile("key.der", b"\xff\x00\n")})
    assert answer.status_code == 302
    assert bytes(Secret.objects.get().value) == b"\xff\x00\n"


@pytest.mark.parametrize(
    "said", [{}, {"name": "a b", "new_value": VALUE}, {"name": "wifi"}, {"name": "taken", "new_value": VALUE}]
)
def test_a_form_that_comes_back_does_not_show_the_value(client, clock, said):
    secrets.store("taken", b"x", actor=None, now=clock())
    answer = client.post(page("add"), said)
    assert answer.status_code == 200
    assert VALUE not in answer.content.decode()
    assert Secret.objects.count() == 1
    assert bytes(Secret.objects.get().value) == b"x"


def test_replacing_says_how_many_devices_and_asks_for_the_number(client, secret, make_device, clock, everyone):
    assign(published(payload(WIFI, Password="{{ secret.wifi }}"), now=clock()), everyone, now=clock())
    for device in (make_device(), make_device()):
        device.plan()
    make_device()
    asked = client.get(page("replace", secret.pk)).content.decode()
    assert "2 devices hold profiles" in asked
    said = {"confirmed": "1", "reason": "leaked", "new_value": "new", "count": "3"}
    wrong = client.post(page("replace", secret.pk), said)
    assert wrong.status_code == 400
    assert 'value="new"' not in wrong.content.decode()
    assert client.post(page("replace", secret.pk), {**said, "count": "2"}).status_code == 302
    secret.refresh_from_db()
    assert (bytes(secret.value), secret.version) == (b"new", 2)
    assert AuditEvent.objects.get(action="secret.replace").reason == "leaked"


def test_a_value_is_replaced_by_a_file(client, secret):
    said = {"confirmed": "1", "reason": "renewed"}
    assert 'enctype="multipart/form-data"' in client.get(page("replace", secret.pk)).content.decode()
    assert client.post(page("replace", secret.pk), said).status_code == 400
    both = {**said, "new_value": "typed", "file": SimpleUploadedFile("identity.p12", b"\x30\xff")}
    assert client.post(page("replace", secret.pk), both).status_code == 400
    file = {**said, "file": SimpleUploadedFile("identity.p12", b"\x30\xff")}
    assert client.post(page("replace", secret.pk), file).status_code == 302
    secret.refresh_from_db()
    assert bytes(secret.value) == b"\x30\xff"


def test_a_secret_that_is_used_is_not_deleted_and_its_page_says_by_whom(client, secret, clock):
    bundle = published(payload(WIFI, Password="{{ secret.wifi }}"), now=clock())
    assert bundle.name in client.get(page("change", secret.pk)).content.decode()
    assert bundle.name in client.get(page("changelist")).content.decode()
    said = {"confirmed": "1", "reason": "old"}
    assert client.post(page("forget", secret.pk), said)["Location"] == page("change", secret.pk)
    # Gone from the draft, it still is in what devices get.
    bundle.payloads.all().delete()
    client.post(page("forget", secret.pk), said)
    assert Secret.objects.count() == 1
    bundle.current_revision = None
    bundle.save()
    assert client.get(page("forget", secret.pk)).status_code == 200
    client.post(page("forget", secret.pk), said)
    assert not Secret.objects.exists()


def test_who_may_only_look_replaces_and_deletes_nothing(secret):
    user = get_user_model().objects.create(username="reader", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = Client()
    client.force_login(user)
    assert "Replace" not in client.get(page("change", secret.pk)).content.decode()
    for name in ("replace", "forget"):
        assert (
            client.post(page(name, secret.pk), {"confirmed": "1", "reason": "x", "new_value": "y"}).status_code == 403
        )
    assert client.get(page("add")).status_code == 403
    assert bytes(Secret.objects.get().value) == VALUE.encode()
