"""A newer release of Apple's schema: read with limits, compared, and counted only once somebody says so."""

import io
import zipfile
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from operations.models import AuditEvent
from profiles import catalogue, schema_releases
from profiles.models import SchemaRelease
from protocol.errors import SchemaError
from protocol.schema import packaged
from protocol.schema.archive import read_zip

pytestmark = pytest.mark.django_db
SYSTEMS = "supportedOS: {iOS: {introduced: '19.0'}, macOS: {introduced: '16.0'}}"
PASSCODE = f"""
title: Passcode
description: Rules for passcodes
payload: {{payloadtype: com.apple.mobiledevice.passwordpolicy, {SYSTEMS}}}
payloadkeys:
- {{key: forcePIN, type: <boolean>, title: Force, content: Words of the maker}}
- {{key: newRule, type: <integer>, range: {{min: 1, max: 3}}}}
"""
RELEASE = {
    "mdm/profiles/com.apple.mobiledevice.passwordpolicy.yaml": PASSCODE,
    "mdm/profiles/TopLevel.yaml": f"payload: {{payloadtype: TopLevel, {SYSTEMS}}}\npayloadkeys: []",
    "mdm/profiles/CommonPayloadKeys.yaml": f"payload: {{payloadtype: CommonPayloadKeys, {SYSTEMS}}}\npayloadkeys: []",
    "mdm/commands/lock.yaml": f"payload: {{requesttype: DeviceLock, {SYSTEMS}}}\npayloadkeys: []",
    "mdm/checkin/checkout.yaml": f"payload: {{requesttype: CheckOut, {SYSTEMS}}}\npayloadkeys: []",
    "declarative/declarations/a.yaml": f"payload: {{declarationtype: com.example.a, {SYSTEMS}}}\npayloadkeys: []",
}
FILES = {path: text.encode() for path, text in RELEASE.items()}


def zipped(files, folder="device-management-release"):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(f"{folder}/{path}", content)
    return out.getvalue()


def load(now=None):
    return schema_releases.load(FILES, name="", actor=None, now=now or timezone.now())


def test_a_loaded_release_shows_its_changes_and_does_not_count_yet():
    release = load()
    assert release.name == "iOS 19.0, macOS 16.0"
    assert "com.apple.mobiledevice.passwordpolicy: newRule" in release.changes["added"]
    assert "com.apple.wifi.managed" in release.changes["removed"]
    assert any(
        change.startswith("com.apple.mobiledevice.passwordpolicy (platforms") for change in release.changes["changed"]
    )
    assert catalogue.current() is packaged()


def test_an_activated_release_counts_with_its_words_until_it_is_taken_back():
    release, now = load(), timezone.now()
    schema_releases.activate(release, reason="new systems", actor=None, now=now)
    current = catalogue.current()
    assert list(current.payloads) == ["com.apple.mobiledevice.passwordpolicy"]
    assert current.words("com.apple.mobiledevice.passwordpolicy", "forcePIN") == ("Force", "Words of the maker")
    schema_releases.deactivate(release, reason="not yet", actor=None, now=now)
    assert catalogue.current() is packaged()
    assert [event.action for event in AuditEvent.objects.order_by("pk")] == [
        "schema.load", "schema.activate", "schema.deactivate",
    ]  # fmt: skip


def test_the_release_that_was_activated_last_counts():
    now = timezone.now()
    first, second = load(now), load(now)
    schema_releases.activate(second, reason="a", actor=None, now=now)
    schema_releases.activate(first, reason="b", actor=None, now=now + timedelta(seconds=1))
    assert catalogue.current() is catalogue._release(first.pk)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("mdm/profiles/bad.yaml", "!!python/object/apply:os.system [id]"),
        ("mdm/profiles/bad.yaml", f"payload: {{payloadtype: a, {SYSTEMS}}}\npayloadkeys: [{{key: a, type: <oddity>}}]"),
        ("mdm/profiles/bad.yaml", f"payload: {{payloadtype: a, {SYSTEMS}}}\npayloadkeys: [{{key: a, type: <string>, format: '('}}]"),
        ("mdm/profiles/bad.yaml", f"payload: {{payloadtype: a, {SYSTEMS}}}\npayloadkeys: [{{key: a, type: <integer>, range: {{min: x}}}}]"),
        ("mdm/profiles/bad.yaml", "payload: {payloadtype: a, supportedOS: {iOS: 5}}"),
    ],
)  # fmt: skip
def test_a_release_with_a_bad_file_is_refused_whole_and_the_file_is_named(path, text):
    with pytest.raises(SchemaError, match="bad"):
        schema_releases.load({**FILES, path: text.encode()}, name="", actor=None, now=timezone.now())
    assert not SchemaRelease.objects.exists()


def test_half_a_release_is_refused():
    with pytest.raises(SchemaError, match="not the whole"):
        schema_releases.load(dict(list(FILES.items())[:2]), name="", actor=None, now=timezone.now())


def test_only_apples_folders_are_read_from_an_archive():
    found = read_zip(zipped({**FILES, "../mdm/evil.yaml": b"", "README.md": b"", "other/a.yaml": b""}))
    assert found == FILES


def test_an_archive_that_unpacks_without_end_is_refused():
    with pytest.raises(SchemaError, match="larger than"):
        read_zip(zipped({"mdm/profiles/a.yaml": b"a" * 5_000_000}))
    with pytest.raises(SchemaError, match="no readable ZIP"):
        read_zip(b"PK\x03\x04 but not really")


def test_an_administrator_loads_a_release_by_the_page_and_then_activates_it():
    user = get_user_model().objects.create_superuser("ada")
    client = Client()
    client.force_login(user)
    page = reverse("admin:profiles_schemarelease_load")
    answer = client.post(page, {"file": SimpleUploadedFile("a.zip", b"nonsense")})
    assert (answer.status_code, "no readable ZIP" in answer.content.decode()) == (400, True)
    answer = client.post(page, {"file": SimpleUploadedFile("a.zip", zipped(FILES)), "name": "Next"}, follow=True)
    assert "newRule" in answer.content.decode()
    release = SchemaRelease.objects.get()
    act = {
        "action": "activate",
        "_selected_action": [release.pk],
        "confirmed": "1",
        "reason": "new systems",
        "count": 1,
    }
    client.post(reverse("admin:profiles_schemarelease_changelist"), act)
    assert list(catalogue.current().payloads) == ["com.apple.mobiledevice.passwordpolicy"]


def test_who_may_only_look_cannot_load(django_user_model):
    client = Client()
    client.force_login(django_user_model.objects.create_user("eve", is_staff=True))
    assert client.get(reverse("admin:profiles_schemarelease_load")).status_code == 403
