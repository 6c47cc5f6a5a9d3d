"""Composing a bundle in the admin: property lists go in and come out whole, and errors say where."""

from datetime import UTC, datetime

import pytest
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from operations.models import AuditEvent
from profiles.models import Bundle, Payload
from protocol.mobileconfig import build_mobileconfig
from protocol.plist import dumps, loads_dict

pytestmark = pytest.mark.django_db
CONTENT = {
    "PayloadType": "com.apple.mobiledevice.passwordpolicy",
    "PayloadIdentifier": "com.example.passcode",
    "PayloadUUID": "7E2F5A7B-0000-4000-8000-000000000001",
    "PayloadVersion": 1,
    "PayloadDisplayName": "Passcode <b>",
    "forcePIN": True,
    "ratio": 1.0,
    "count": 1,
    "until": datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC).replace(tzinfo=None),
    "blob": b"\x00\xff",
    "list": ["a\nb", {"deep": ""}],
}


@pytest.fixture
def client():
    client = Client()
    client.force_login(get_user_model().objects.create(username="root", is_staff=True, is_superuser=True))
    return client


def form(*payloads, initial=0, **values):
    data = {
        "name": "Office",
        "description": "",
        "delivery_rule": "after_compliance",
        "withdraw_on_regression": "on",
        "silent_days": "14",
        "payloads-TOTAL_FORMS": str(len(payloads)),
        "payloads-INITIAL_FORMS": str(initial),
        "payloads-MIN_NUM_FORMS": "0",
        "payloads-MAX_NUM_FORMS": "1000",
        **values,
    }
    for model in ("assignments", "revisions"):
        data |= {f"{model}-TOTAL_FORMS": "0", f"{model}-INITIAL_FORMS": "0"}
    for number, payload in enumerate(payloads):
        data |= {f"payloads-{number}-{key}": value for key, value in payload.items()}
    return data


def text(content):
    # As a browser sends it.
    return dumps(content).decode().replace("\n", "\r\n")


def add(client, *payloads, **values):
    return client.post(reverse("admin:profiles_bundle_add"), form(*payloads, **values))


def change(client, payload, **values):
    said = {"id": payload.pk, "bundle": payload.bundle_id, "position": payload.position, "role": payload.role,
            "name": payload.name, "text": text(loads_dict(bytes(payload.content)))}  # fmt: skip
    page = reverse("admin:profiles_bundle_change", args=[payload.bundle_id])
    return client.post(page, form({**said, **values}, initial=1))


def test_a_payload_comes_in_whole_and_fills_its_columns(client):
    assert add(client, {"text": text(CONTENT)}).status_code == 302
    payload = Payload.objects.get()
    assert loads_dict(bytes(payload.content)) == CONTENT
    assert type(loads_dict(bytes(payload.content))["ratio"]) is float
    assert (payload.position, payload.role, payload.name) == (1, "requirement", "Passcode <b>")
    assert payload.payload_identifier == "com.example.passcode"
    assert Bundle.objects.get().identifier.startswith("mdmportal.bundle.office")
    assert AuditEvent.objects.filter(action="bundle.add").exists()


def test_saving_the_page_again_changes_no_byte(client):
    add(client, {"text": text(CONTENT)})
    payload = Payload.objects.get()
    before = bytes(payload.content)
    page = reverse("admin:profiles_bundle_change", args=[payload.bundle_id])
    shown = client.get(page).content.decode()
    assert "Passcode &amp;lt;b&amp;gt;" in shown
    assert change(client, payload).status_code == 302
    assert bytes(Payload.objects.get().content) == before
    event = AuditEvent.objects.filter(action="bundle.change").first()
    assert event.details == {"what": []}


def test_a_changed_payload_keeps_its_names(client):
    add(client, {"text": text(CONTENT)})
    fewer = {key: value for key, value in CONTENT.items() if key not in {"PayloadUUID", "PayloadIdentifier"}}
    assert change(client, Payload.objects.get(), text=text({**fewer, "minLength": 8})).status_code == 302
    content = loads_dict(bytes(Payload.objects.get().content))
    assert content["minLength"] == 8
    assert content["PayloadUUID"] == CONTENT["PayloadUUID"]
    event = AuditEvent.objects.filter(action="bundle.change").first()
    assert "minLength" not in str(event.details)


@pytest.mark.parametrize("key", ["PayloadUUID", "PayloadIdentifier", "PayloadType"])
def test_a_payload_cannot_become_another(client, key):
    add(client, {"text": text(CONTENT)})
    response = change(client, Payload.objects.get(), text=text({**CONTENT, key: "other"}))
    assert response.status_code == 200
    assert f"{key} cannot change any more" in response.content.decode()
    assert loads_dict(bytes(Payload.objects.get().content)) == CONTENT


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("<dict>\n<key>a</key>\n<strin>b</string></dict>", "at line 3"),
        ("hello", "at line 1, column 1"),
        ("<array/>", "no dictionary"),
        ("<plist><dict><key>a</key><integer>99999999999999999999999</integer></dict></plist>", "64 bits"),
        ("<dict/>", "PayloadType must be a string"),
        ("<dict><key>PayloadType</key><integer>1</integer></dict>", "PayloadType must be a string"),
        ("<dict><key>PayloadType</key><string>com.apple.mdm</string></dict>", "An enrollment"),
        (
            '<!DOCTYPE d [<!ENTITY a "b">]><dict><key>PayloadType</key><string>&a;</string></dict>',
            "not a property list",
        ),
        ("<dict>" + "<key>a</key><dict>" * 90 + "</dict>" * 91, "nested deeper"),
    ],
)
def test_a_wrong_text_is_explained_and_kept(client, typed, sentence):
    response = add(client, {"text": typed})
    assert response.status_code == 200
    html = response.content.decode().replace("&#x27;", "'")
    assert sentence.lower() in html.lower()
    assert (
        typed.splitlines()[0][:30]
        .replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace('"', "&quot;")
        .replace(">", "&gt;")
        in html
    )
    assert not Bundle.objects.exists()


def test_two_payloads_with_one_name_are_refused(client):
    response = add(client, {"text": text(CONTENT)}, {"text": text(CONTENT)})
    assert b"Several payloads share the payload identifier" in response.content
    assert not Payload.objects.exists()


def test_names_are_made_when_the_text_has_none(client):
    wifi = "<dict><key>PayloadType</key><string>com.apple.wifi.managed</string></dict>"
    assert add(client, {"text": wifi}, {"text": wifi}).status_code == 302
    one, other = Payload.objects.all()
    assert one.payload_uuid != other.payload_uuid
    assert (one.role, one.position, other.position) == ("capability", 1, 2)
    assert loads_dict(bytes(one.content))["PayloadUUID"] == one.payload_uuid


def test_a_very_large_payload_is_kept_and_not_edited(client, now):
    add(client, {"text": text(CONTENT)})
    payload = Payload.objects.get()
    payload.content = dumps({**CONTENT, "blob": b"x" * 100_000})
    payload.save()
    page = client.get(reverse("admin:profiles_bundle_change", args=[payload.bundle_id])).content
    assert b"too large to be edited here" in page
    assert change(client, payload, name="Renamed").status_code == 302
    after = Payload.objects.get()
    assert (after.name, bytes(after.content)) == ("Renamed", bytes(payload.content))


def test_a_file_is_imported_into_the_draft(client, now):
    bundle = Bundle.objects.create(name="Office", identifier="office", created_at=now)
    page = reverse("admin:profiles_bundle_import", args=[bundle.pk])
    content = build_mobileconfig([CONTENT], identifier="com.example", uuid="U", display_name="x")
    file = SimpleUploadedFile("a.mobileconfig", dumps(content))
    assert client.post(page, {"file": file, "role": "neutral"}).status_code == 302
    payload = Payload.objects.get()
    assert payload.role == "neutral"
    assert loads_dict(bytes(payload.content)) == CONTENT
    assert AuditEvent.objects.filter(action="bundle.import").count() == 1


@pytest.mark.parametrize(
    ("data", "sentence"), [(b"{}", "The file is JSON"), (b"<html>", "a web page"), (b"\x00\x01", "no property list")]
)
def test_a_file_that_is_no_profile_is_explained(client, now, data, sentence):
    bundle = Bundle.objects.create(name="Office", identifier="office", created_at=now)
    page = reverse("admin:profiles_bundle_import", args=[bundle.pk])
    response = client.post(page, {"file": SimpleUploadedFile("a", data), "role": ""})
    assert response.status_code == 400
    assert sentence in response.content.decode()
    assert not Payload.objects.exists()
