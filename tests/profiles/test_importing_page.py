"""The import page as a person uses it: first the report, then the import, and nothing written in between."""

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from operations.models import AuditEvent
from profiles.models import Bundle, DeliveryRule, HeldValue, Payload, Secret
from protocol.cms import sign_attached
from protocol.mobileconfig import build_mobileconfig
from protocol.plist import dumps, loads_dict
from tests.profiles.fleet import PASSCODE, WIFI, bundle_of, payload
from tests.profiles.person import Page

pytestmark = pytest.mark.django_db
PASSWORD = "hunter2-marker"
HOSTILE = '<script>alert("1")</script>'
STATEMENTS = 30


def sign_in(name="ada", **said):
    client = Client()
    client.force_login(get_user_model().objects.create(username=name, is_staff=True, **said))
    return client


@pytest.fixture
def ada():
    return sign_in(is_superuser=True)


@pytest.fixture
def bundle(now):
    return bundle_of(payload(PASSCODE, forcePIN=True), now=now)


def file(*payloads, name="Office", **top):
    content = build_mobileconfig(payloads, identifier="com.example.office", uuid="U-1", display_name=name)
    return dumps({**content, **top})


def wifi(**settings):
    return payload(WIFI, SSID_STR="Office", Password=PASSWORD, **settings)


def address(bundle=None):
    if bundle is None:
        return reverse("admin:profiles_bundle_import_new")
    return reverse("admin:profiles_bundle_import", args=[bundle.pk])


def look(client, data, bundle=None):
    page = Page(client, address(bundle))
    page.files["file"] = SimpleUploadedFile("office.mobileconfig", data)
    return page.press("Look inside")


def actions():
    return set(AuditEvent.objects.values_list("action", flat=True))


def test_the_report_is_shown_before_anything_is_written(ada, bundle):
    page = look(ada, file(wifi(Invented=1)), bundle)
    assert page.status == 200
    assert "1 payload, 2 keys known, 1 kept as they are, 1 secret" in page.html
    assert "Invented" in page.html
    assert PASSWORD not in page.html
    assert bundle.payloads.count() == 1
    assert not Secret.objects.exists()
    assert "bundle.import" not in actions()


def test_a_file_comes_into_the_draft_after_the_report(ada, bundle):
    page = look(ada, file(wifi()), bundle).choose("Role of its payloads", "Neutral").press("Import into draft")
    assert page.address == reverse("admin:profiles_bundle_change", args=[bundle.pk])
    assert "1 payload imported" in page.html
    assert "is stored as the secret" in page.html
    row = bundle.payloads.get(payload_type=WIFI)
    assert row.role == "neutral"
    assert PASSWORD.encode() not in bytes(row.content)
    assert bytes(Secret.objects.get().value) == PASSWORD.encode()
    assert AuditEvent.objects.get(action="bundle.import").actor_name == "ada"
    assert not HeldValue.objects.exists()


def test_a_file_becomes_a_new_draft_with_its_settings(ada):
    page = look(ada, file(wifi(), PayloadScope="User"))
    assert page.control("Name of the new bundle").value == "Office"
    page.fill("Name of the new bundle", "Sales Wi-Fi").choose("How devices get it", "both in one profile")
    page.press("Import as a new draft")
    made = Bundle.objects.get()
    assert (made.name, made.scope, made.delivery_rule) == ("Sales Wi-Fi", "User", DeliveryRule.TOGETHER)


def test_a_name_that_is_taken_loses_nothing(ada, bundle):
    page = look(ada, file(wifi())).fill("Name of the new bundle", bundle.name).press("Import as a new draft")
    assert page.status == 400
    assert "There already is a bundle" in page.html
    page.fill("Name of the new bundle", "Another").press("Import as a new draft")
    assert Bundle.objects.get(name="Another").payloads.count() == 1


def test_what_is_replaced_is_said(ada, bundle):
    page = look(ada, file(payload(PASSCODE, forcePIN=False)), bundle)
    assert "1 of the draft's payloads is replaced: Passcode" in page.html.replace("&#x27;", "'")
    page.press("Import into draft")
    assert loads_dict(bytes(bundle.payloads.get().content))["forcePIN"] is False


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<html>", "web page"),
        (b'{"profile_name": "x"}', "Automated Device Enrollment"),
        (b"PK\x03\x04", "ZIP archive"),
        (file(wifi())[:300], "property list"),
        (b"<plist><dict><key>A</key><integer>{{ x }}</integer></dict></plist>", "Line 1 (A) has a placeholder"),
    ],
)
def test_a_wrong_file_is_named_in_words(ada, bundle, data, words):
    page = look(ada, data, bundle)
    assert page.status == 400
    assert words in page.html
    assert bundle.payloads.count() == 1


def test_an_empty_file_and_no_file_are_told(ada, bundle):
    assert "empty" in look(ada, b"", bundle).html
    page = Page(ada, address(bundle)).press("Look inside")
    assert (page.status, "Choose a file." in page.html) == (400, True)


def test_a_bare_payload_gets_a_profile_when_the_person_says_so(ada, bundle):
    page = look(ada, dumps(wifi()), bundle)
    assert "single payload" in page.html
    page = page.press("Put a profile around it")
    assert "The payload got a profile around it." in page.html
    page.press("Import into draft")
    assert bundle.payloads.filter(payload_type=WIFI).exists()


def test_an_enrollment_cannot_be_imported(ada, bundle):
    page = look(ada, file(payload("com.apple.mdm")), bundle)
    assert "invitation" in page.html
    assert "Import into draft" not in page.buttons()


@pytest.fixture
def signed(signing):
    from datetime import UTC, datetime

    from certificates.authority import signer

    certificate, key, chain = signer(datetime(2026, 11, 23, 12, tzinfo=UTC))
    return sign_attached(file(wifi()), certificate, private_key=key, chain=chain)


def test_a_signed_file_can_go_out_as_it_is(ada, signed):
    page = look(ada, signed)
    assert "Signed by" in page.html
    assert "does not lead to Apple" in page.html
    page = page.tick("This very file, byte for byte: nothing in it can be changed").press("Import as a new draft")
    made = Bundle.objects.get()
    assert (bytes(made.original), made.payloads.count()) == (signed, 0)
    assert "See what is inside, or replace it" in page.html
    inside = Page(ada, address(made)).html
    assert "Wi-Fi" in inside
    assert PASSWORD not in inside


def test_the_payloads_of_a_signed_file_can_be_taken_instead(ada, signed):
    look(ada, signed).press("Import as a new draft")
    assert Bundle.objects.get().payloads.get().payload_type == WIFI
    assert not Bundle.objects.get().original


def test_an_unsigned_file_is_not_offered_byte_for_byte(ada, bundle):
    assert "byte for byte" not in look(ada, file(wifi())).html
    page = look(ada, file(wifi()), bundle)
    assert "byte for byte" not in page.html


def test_a_held_file_is_its_owners_alone(ada, bundle):
    page = look(ada, file(wifi()), bundle)
    token = HeldValue.objects.get().token
    bob = sign_in("bob", is_superuser=True)
    answer = bob.post(address(bundle), {"token": token, "decide": "1", "how": "payloads"})
    assert b"no longer held" in answer.content
    assert bundle.payloads.count() == 1
    assert page.control("Role of its payloads") is not None


def test_hostile_names_are_shown_as_text(ada, bundle):
    data = file(wifi(PayloadDisplayName=HOSTILE, **{HOSTILE: 1}), name=HOSTILE, PayloadOrganization=HOSTILE)
    page = look(ada, data, bundle)
    assert page.status == 200
    assert HOSTILE not in page.html
    assert "&lt;script&gt;" in page.html


def test_only_those_who_may_compose_import(bundle):
    reader = get_user_model().objects.create(username="reader", is_staff=True)
    reader.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = Client()
    client.force_login(reader)
    for page in (address(), address(bundle)):
        assert client.get(page).status_code == 403
        assert client.post(page, {"token": "x"}).status_code == 403
    assert "Import .mobileconfig" not in client.get(reverse("admin:profiles_bundle_changelist")).content.decode()


def test_the_list_of_bundles_leads_to_the_import(ada):
    page = ada.get(reverse("admin:profiles_bundle_changelist")).content.decode()
    assert f'href="{address()}"' in page


def test_a_file_of_many_payloads_takes_few_statements(ada, bundle):
    many = [payload(WIFI, f"wifi-{number}", SSID_STR="x") for number in range(50)]
    data = file(*many)
    with CaptureQueriesContext(
        connection,
    ) as said:
        page = look(ada, data, bundle)
    assert len(said) <= STATEMENTS
    with CaptureQueriesContext(connection) as said:
        page.press("Import into draft")
    # One for each payload that is written, and the composer's page after it.
    assert len(said) <= 2 * 50 + 60
    assert Payload.objects.count() == 51
