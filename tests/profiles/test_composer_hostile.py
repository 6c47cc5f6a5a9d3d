"""What people and files bring in bad faith: no page runs it, no page or row tells a secret, nobody else gets in."""

import re

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.urls import reverse

from certificates.encryption import EncryptedField
from profiles import acts, secrets
from profiles.models import Bundle, Secret
from protocol.mobileconfig import build_mobileconfig
from protocol.plist import dumps
from tests.profiles.fleet import NEEDED, PASSCODE, VPN, WIFI, enrollments, payload
from tests.profiles.person import Page

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("signing")]
MARKER = "hunter2-Marker"
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 }}"


def sign_in(name="ada", **said):
    client = Client()
    client.force_login(get_user_model().objects.create(username=name, is_staff=True, **said))
    return client


@pytest.fixture
def ada():
    return sign_in(is_superuser=True)


def address(page, *args):
    return reverse(f"admin:profiles_bundle_{page}", args=args)


def file(*payloads, **top):
    content = build_mobileconfig(
        payloads, identifier=f"com.example.{HOSTILE}", uuid="U-1", display_name=f"Office {HOSTILE}"
    )
    return dumps({**content, **top})


def hostile_wifi(**settings):
    known = {"SSID_STR": HOSTILE, "EncryptionType": "WPA2", "Password": MARKER}
    odd = {
        HOSTILE: HOSTILE,
        "EAPClientConfiguration": {"AcceptEAPTypes": [25], "UserPassword": MARKER, HOSTILE: [HOSTILE, {HOSTILE: 1}]},
    }
    return payload(WIFI, name=HOSTILE, PayloadDisplayName=HOSTILE, **known, **odd, **settings)


def bring(client, data):
    page = Page(client, address("import_new"))
    page.files["file"] = SimpleUploadedFile(f"{HOSTILE}.mobileconfig", data)
    report = page.press("Look inside")
    return report, report.press("Import as a new draft")


def every_page(bundle):
    rows = list(bundle.payloads.all())
    pages = [address(name, bundle.pk) for name in ("change", "check", "publish", "revisions", "import", "payload_add")]
    pages += [address("payload", bundle.pk, row.pk) for row in rows]
    pages += [address("payload_remove", bundle.pk, row.pk) for row in rows]
    pages += [address(name, bundle.pk) for name in ("assign", "duplicate", "preview", "compare", "payload_other")]
    pages += [f"{address('compare', bundle.pk)}?old={one.number}&new=draft" for one in bundle.revisions.all()]
    pages += [address("restore", bundle.pk, one.number) for one in bundle.revisions.all()]
    pages += [f"{address('preview', bundle.pk)}?device=C02EXAMPLE", reverse("admin:profiles_bundle_changelist")]
    pages += [reverse(f"admin:profiles_{name}_changelist") for name in ("secret", "profile", "revision")]
    pages += [reverse("admin:operations_auditevent_changelist"), reverse("palette") + "?q=office"]
    pages += [reverse("search") + "?q=script"]
    for model in ("secret", "revision", "profile"):
        found = apps.get_model("profiles", model).objects.all()
        pages += [reverse(f"admin:profiles_{model}_change", args=[row.pk]) for row in found]
    events = apps.get_model("operations", "auditevent").objects.all()
    return pages + [reverse("admin:operations_auditevent_change", args=[event.pk]) for event in events]


@pytest.fixture
def bundle(ada, now):
    """Imported from a hostile file, and named by it."""
    needed = {key: value for key, value in NEEDED[VPN].items() if key != "UserDefinedName"}
    vpn = payload(VPN, UserDefinedName=HOSTILE, PayloadDisplayName=f"VPN {HOSTILE}", **needed)
    report, done = bring(ada, file(payload(PASSCODE, forcePIN=True), vpn, hostile_wifi()))
    assert (report.status, done.status) == (200, 200)
    assert MARKER not in report.html
    assert "<script>alert" not in report.html
    device = enrollments(1, now)[0].device
    device.serial_number, device.name = "C02EXAMPLE", HOSTILE
    device.save()
    return Bundle.objects.get()


def test_no_page_shows_a_secret_or_runs_what_a_file_is_called(ada, bundle, now):
    # What the user reads names the payloads; "{{ 7 }}" is no variable.
    acts.publish(bundle, reason=HOSTILE, actor=None, now=now)
    page = Page(ada, address("payload", bundle.pk, bundle.payloads.get(payload_type=WIFI).pk))
    assert page.press("Save draft").status == 200
    for url in every_page(bundle):
        answer = ada.get(url)
        html = answer.content.decode()
        assert answer.status_code == 200, url
        assert MARKER not in html, url
        assert "<script>alert" not in html or answer["Content-Type"] == "application/json", url
        assert "<img src=x" not in html or answer["Content-Type"] == "application/json", url


def test_a_secret_rests_nowhere_but_in_its_own_encrypted_row(ada, bundle, now):
    acts.publish(bundle, reason="", actor=None, now=now)
    bring(ada, file(hostile_wifi(), PayloadDisplayName="Again"))
    assert {bytes(row.value).decode() for row in Secret.objects.all()} == {MARKER}
    for model in apps.get_models():
        if model in {Secret, apps.get_model("profiles", "heldvalue")}:
            continue
        encrypted = [field.name for field in model._meta.concrete_fields if isinstance(field, EncryptedField)]
        for row in model.objects.only("pk", *encrypted) if encrypted else ():
            for name in encrypted:
                assert MARKER.encode() not in bytes(getattr(row, name) or b""), (model, name)
    for table in connection.introspection.table_names():
        with connection.cursor() as cursor:
            cursor.execute(f'SELECT * FROM "{table}"')
            assert MARKER not in str(cursor.fetchall()), table


def test_no_export_holds_a_secret(ada, bundle, now):
    acts.publish(bundle, reason="", actor=None, now=now)
    for which in ("draft", "1"):
        for part in ("requirement", "capability"):
            for form in ("xml", "signed"):
                said = {"which": which, "part": part, "form": form}
                answer = ada.post(address("export", bundle.pk), said)
                assert answer.status_code == 200
                assert answer["Content-Type"] == "application/x-apple-aspen-config"
                assert MARKER.encode() not in answer.content
                assert re.fullmatch(r'attachment; filename="[a-z0-9-]+\.mobileconfig"', answer["Content-Disposition"])
                assert "no-store" in answer["Cache-Control"]


def test_who_may_only_read_or_is_not_signed_in_gets_to_none_of_it(ada, bundle, now):
    acts.publish(bundle, reason="", actor=None, now=now)
    row = bundle.payloads.first()
    reader = sign_in("reader")
    user = get_user_model().objects.get(username="reader")
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    nobody, staff = Client(), sign_in("staff")
    closed = [
        ("assign", [bundle.pk]), ("import", [bundle.pk]), ("import_new", []), ("publish", [bundle.pk]),
        ("compare", [bundle.pk]), ("restore", [bundle.pk, 1]), ("export", [bundle.pk]), ("merge", [bundle.pk]),
        ("preview", [bundle.pk]), ("duplicate", [bundle.pk]), ("payload_add", [bundle.pk]),
        ("payload_other", [bundle.pk]), ("payload_new", [bundle.pk, VPN]), ("payload", [bundle.pk, row.pk]),
        ("payload_act", [bundle.pk, row.pk]), ("payload_remove", [bundle.pk, row.pk]),
    ]  # fmt: skip
    for name, args in closed:
        for client, status in ((nobody, 302), (staff, 403), (reader, 403)):
            assert client.post(address(name, *args), {"which": "1", "part": "capability"}).status_code == status, name
            assert client.get(address(name, *args)).status_code in {status, 405}, name
    secret = secrets.store("office", b"value", actor=None, now=now)
    for page in ("replace", "forget"):
        for client, status in ((nobody, 302), (staff, 403), (reader, 403)):
            url = reverse(f"admin:profiles_secret_{page}", args=[secret.pk])
            said = {"confirmed": "1", "reason": "x", "count": "0", "new_value": "other"}
            assert client.post(url, said).status_code == status
    secret.refresh_from_db()
    assert bytes(secret.value) == b"value"
    bundle.refresh_from_db()
    assert bundle.revisions.count() == 1


def test_no_post_is_taken_without_its_token(ada, bundle):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(get_user_model().objects.get(username="ada"))
    row = bundle.payloads.first()
    for name, args in (
        ("publish", [bundle.pk]),
        ("export", [bundle.pk]),
        ("merge", [bundle.pk]),
        ("payload_act", [bundle.pk, row.pk]),
        ("payload_remove", [bundle.pk, row.pk]),
        ("import_new", []),
        ("change", [bundle.pk]),
    ):
        assert strict.post(address(name, *args), {"act": "up"}).status_code == 403, name


@pytest.mark.parametrize("lookup", ["value__startswith=x", "value=x", "original__contains=x", "payloads__content=x"])
def test_no_list_can_be_asked_for_what_is_encrypted(ada, bundle, lookup):
    model = "secret" if lookup.startswith("value") else "bundle"
    answer = ada.get(reverse(f"admin:profiles_{model}_changelist") + f"?{lookup}")
    assert answer.status_code in {302, 400}
