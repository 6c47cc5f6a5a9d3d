"""The composer as a person uses it, without JavaScript: nothing typed is lost, nobody's change is overwritten."""

import re

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from devices.models import LadderState
from operations.models import AuditEvent
from profiles import editing
from profiles.editing import PayloadEdit, content_of
from profiles.models import Assignment, Bundle, Installation, Secret
from protocol.plist import dumps, loads_dict
from tests.profiles.faster import somebody_faster
from tests.profiles.fleet import PASSCODE, VPN, WIFI, bundle_of, enrollments, payload
from tests.profiles.person import Page

pytestmark = pytest.mark.django_db
STATEMENTS = 40


def sign_in(name="ada", **said):
    client = Client()
    client.force_login(get_user_model().objects.create(username=name, is_staff=True, **said))
    return client


@pytest.fixture
def ada():
    return sign_in(is_superuser=True)


@pytest.fixture
def bundle(now):
    made = bundle_of(payload(PASSCODE, forcePIN=True), payload(VPN, UserDefinedName="HQ", VPNType="IKEv2"), now=now)
    Bundle.objects.filter(pk=made.pk).update(name="Corporate VPN")
    made.refresh_from_db()
    return made


def address(page, *args):
    return reverse(f"admin:profiles_bundle_{page}", args=args)


def at(client, page, *args):
    return Page(client, address(page, *args))


def of_type(bundle, payload_type):
    return bundle.payloads.get(payload_type=payload_type)


# --- a bundle from nothing ---------------------------------------------------------------------------------------------


def test_vpn_after_passcode_is_composed_from_nothing_without_a_script(ada):
    page = at(ada, "add").fill("Name", "Corporate VPN").press("Make the draft")
    assert "No payloads yet" in page.html
    bundle = Bundle.objects.get()
    assert (bundle.delivery_rule, bundle.draft_changed_by.username) == ("after_compliance", "ada")

    found = at(ada, "payload_add", bundle.pk).fill("Find a payload", "passcode").press("Find")
    assert "com.apple.mobiledevice.passwordpolicy" in found.html
    assert "com.apple.vpn.managed.applayer" not in found.html
    page = at(ada, "payload_new", bundle.pk, PASSCODE).press("Save draft")
    assert page.status == 200
    assert "is in the draft" in page.html

    page = at(ada, "payload_new", bundle.pk, VPN).fill("Payload name", "HQ").fill("Name", "HQ")
    page = page.choose("Kind of VPN", "IKEv2")
    page = page.press("Show").press("Configure IKEv2")
    assert not bundle.payloads.filter(payload_type=VPN).exists()
    page.fill("Server", "vpn.example.com").fill("Local identifier", "{{ user.email }}")
    page = page.fill("Remote identifier", "vpn.example.com").fill("Device proves itself by", "None").press("Save draft")
    assert page.status == 200, page.html
    passcode, vpn = bundle.payloads.all()
    assert (passcode.role, vpn.role, vpn.name) == ("requirement", "capability", "HQ")
    actions = list(AuditEvent.objects.order_by("pk").values_list("action", flat=True))
    assert actions == ["bundle.create", "payload.add", "payload.add"]


def test_a_bundle_can_start_from_a_template(ada):
    page = at(ada, "add").fill("Name", "VPN").tick("VPN after passcode").press("Make the draft")
    assert Bundle.objects.get().payloads.count() == 2
    assert "is required" in page.html


def test_a_taken_or_missing_name_is_said_and_nothing_is_made(ada, bundle):
    page = at(ada, "add").fill("Name", "Corporate VPN").press("Make the draft")
    assert page.status == 400
    assert "There already is a bundle" in page.html
    assert page.control("Name").value == "Corporate VPN"
    assert at(ada, "add").fill("Name", " ").press("Make the draft").status == 400
    assert Bundle.objects.count() == 1


def office_of_somebody_else(now):
    return lambda: Bundle.objects.get_or_create(name="Office", defaults={"identifier": "theirs", "created_at": now})


@pytest.mark.parametrize("name", ["add", "duplicate"])
def test_a_name_that_somebody_takes_in_the_same_moment_is_said_at_the_field(ada, bundle, now, name):
    page = at(ada, name, *([bundle.pk] if name == "duplicate" else [])).fill("Name", "Office")
    with somebody_faster("profiles_bundle", office_of_somebody_else(now)):
        page = page.press("Make the draft" if name == "add" else "Duplicate Corporate VPN")
    assert page.status == 400
    assert "There already is a bundle" in page.html
    assert page.control("Name").value == "Office"


def test_a_rename_that_somebody_overtakes_changes_nothing(ada, bundle, now):
    page = at(ada, "change", bundle.pk).fill("Name", "Office").fill("Description", "Ours")
    with somebody_faster("profiles_bundle", office_of_somebody_else(now), verb="UPDATE"):
        page = page.press("Save draft")
    assert page.status == 400
    assert "There already is a bundle" in page.html
    assert page.control("Description").value == "Ours"
    bundle.refresh_from_db()
    assert (bundle.name, bundle.description, bundle.draft_version) == ("Corporate VPN", "", 1)


def test_the_old_name_of_a_renamed_bundle_is_free(ada):
    at(ada, "add").fill("Name", "Office").press("Make the draft")
    Bundle.objects.update(name="Office 2025")
    assert at(ada, "add").fill("Name", "Office").press("Make the draft").status == 200
    assert Bundle.objects.values("identifier").distinct().count() == 2


def test_a_payloads_problems_stand_before_its_form(ada, bundle):
    vpn = of_type(bundle, VPN)
    vpn.content = dumps({**loads_dict(bytes(vpn.content)), "VPNType": "Nonsense"})
    vpn.save()
    page = at(ada, "payload", bundle.pk, vpn.pk)
    assert 0 < page.html.index("Problems as saved") < page.html.index('id="compose-form"')
    quiet = at(ada, "payload", bundle.pk, of_type(bundle, PASSCODE).pk)
    assert "Problems as saved" not in quiet.html
    assert quiet.html.index("Nothing found") < quiet.html.index('id="compose-form"')


def test_the_list_beside_a_payload_is_there_folded_for_phones(ada, bundle):
    html = at(ada, "payload", bundle.pk, of_type(bundle, VPN).pk).html
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert re.search(r"<summary>Corporate VPN: 2 payloads</summary>", html)


# --- the bundle's page -------------------------------------------------------------------------------------------------


def test_the_page_of_a_bundle_shows_its_draft_and_saves_its_settings(ada, bundle):
    page = at(ada, "change", bundle.pk)
    assert "Draft only" in page.html
    page.fill("Description", "For the sales team")
    page.tick("Both in one profile")
    page.tick("Take the capability away while a device does not comply", on=False)
    page = page.press("Save draft")
    assert "The draft is saved" in page.html
    bundle.refresh_from_db()
    assert (bundle.description, bundle.delivery_rule) == ("For the sales team", "together")
    assert not bundle.withdraw_on_regression
    event = AuditEvent.objects.get(action="bundle.change")
    assert event.details == {"settings": ["description", "delivery_rule", "withdraw_on_regression"]}


def test_saving_without_a_change_is_no_change(ada, bundle):
    page = at(ada, "change", bundle.pk).press("Save draft")
    assert "Nothing was changed" in page.html
    bundle.refresh_from_db()
    assert bundle.draft_version == 1
    assert not AuditEvent.objects.filter(action="bundle.change").exists()


def test_a_wrong_setting_is_said_and_what_was_typed_stays(ada, bundle):
    page = at(ada, "change", bundle.pk).fill("Name", "").fill("Description", "kept").press("Save draft")
    assert page.status == 400
    assert "This field is required" in page.html
    assert page.control("Description").value == "kept"
    bundle.refresh_from_db()
    assert (bundle.name, bundle.description) == ("Corporate VPN", "")


def test_the_buttons_save_before_they_lead_on(ada, bundle):
    page = at(ada, "change", bundle.pk).fill("Description", "first saved").press("Check")
    assert page.address == address("check", bundle.pk)
    bundle.refresh_from_db()
    assert bundle.description == "first saved"


def test_payloads_are_ordered_and_given_roles_by_buttons(ada, bundle):
    passcode = of_type(bundle, PASSCODE)
    at(ada, "change", bundle.pk).press(f"Move {passcode.name} down")
    assert [row.payload_type for row in bundle.payloads.all()] == [VPN, PASSCODE]
    client_page = at(ada, "change", bundle.pk)
    words = next(words for words in client_page.buttons() if words.startswith("Neutral"))
    client_page.press(words)
    assert bundle.payloads.first().role == "neutral"


def test_a_payload_is_removed_after_a_question(ada, bundle):
    vpn = of_type(bundle, VPN)
    question = at(ada, "payload_remove", bundle.pk, vpn.pk)
    assert bundle.payloads.count() == 2
    page = question.press("Remove from the draft")
    assert page.address == address("change", bundle.pk)
    assert [row.payload_type for row in bundle.payloads.all()] == [PASSCODE]


def test_who_names_a_removed_payload_is_said(ada, now):
    bundle = bundle_of(
        payload("com.apple.security.pem", "ca"),
        payload(WIFI, PayloadCertificateUUID="CA-COM.APPLE.SECURITY.PEM"),
        now=now,
    )
    certificate = of_type(bundle, "com.apple.security.pem")
    assert "Still in use" in at(ada, "payload_remove", bundle.pk, certificate.pk).html
    assert "Still in use" not in at(ada, "payload_remove", bundle.pk, of_type(bundle, WIFI).pk).html


def test_a_bundle_is_duplicated(ada, bundle):
    page = at(ada, "duplicate", bundle.pk).fill("Name of the copy", "Second").press(f"Duplicate {bundle}")
    assert page.address == address("change", Bundle.objects.get(name="Second").pk)
    assert Bundle.objects.get(name="Second").payloads.count() == 2


def test_only_a_draft_that_was_never_published_is_deleted(ada, bundle, now):
    delete = address("delete", bundle.pk)
    assert ada.get(delete).status_code == 200
    bundle.current_revision = bundle.revisions.create(number=1, delivery_rule="together", published_at=now)
    bundle.save()
    assert ada.get(delete).status_code == 403
    assert "Delete…" not in at(ada, "change", bundle.pk).html


# --- a payload's page --------------------------------------------------------------------------------------------------


def test_a_change_of_a_payload_is_saved_and_keeps_the_rest(ada, bundle):
    passcode = of_type(bundle, PASSCODE)
    page = at(ada, "payload", bundle.pk, passcode.pk).fill("Minimum length", "8").press("Save draft")
    assert "is saved in the draft" in page.html
    assert content_of(of_type(bundle, PASSCODE)) == {"forcePIN": True, "minLength": 8}
    assert "<integer>8</integer>" in page.html.replace("&lt;", "<").replace("&gt;", ">")


def test_a_wrong_value_is_explained_and_everything_typed_stays(ada, bundle):
    passcode = of_type(bundle, PASSCODE)
    page = at(ada, "payload", bundle.pk, passcode.pk)
    page = page.fill("Payload name", "Code").fill("Minimum length", "ninety").press("Save draft")
    assert page.status == 400
    assert "Must be a whole number" in page.html
    assert (page.control("Payload name").value, page.control("Minimum length").value) == ("Code", "ninety")
    assert content_of(of_type(bundle, PASSCODE)) == {"forcePIN": True}


def test_a_secret_is_stored_by_name_and_never_shown(ada, bundle):
    page = at(ada, "payload_new", bundle.pk, WIFI).fill("Payload name", "Office").fill("Network name (SSID)", "office")
    page = page.fill("Password", "open sesame").press("Save draft")
    assert page.status == 200, page.html
    secret = Secret.objects.get()
    assert bytes(secret.value) == b"open sesame"
    assert content_of(of_type(bundle, WIFI))["Password"] == "{{ secret." + secret.name + " }}"
    assert "open sesame" not in page.html
    assert "open sesame" not in str(list(AuditEvent.objects.values_list("details", "object_label")))


def test_a_payload_of_an_unknown_type_is_written_as_xml(ada, bundle):
    page = at(ada, "payload_other", bundle.pk)
    page = page.fill("Payload type", "com.example.agent").fill("Payload name", "Agent")
    page = page.press("Save draft")
    row = of_type(bundle, "com.example.agent")
    assert (row.name, row.variant, content_of(row)) == ("Agent", "", {})
    refused = (
        at(ada, "payload_other", bundle.pk)
        .fill("Payload type", "com.apple.mdm")
        .fill("Payload name", "x")
        .press("Save draft")
    )
    assert refused.status == 400
    assert "invitation" in refused.html


def test_an_enrollment_is_not_offered(ada, bundle):
    assert "com.apple.mdm<" not in at(ada, "payload_add", bundle.pk).html
    assert ada.get(address("payload_new", bundle.pk, "com.apple.mdm")).status_code == 404


def test_the_catalogue_is_searched_by_words_keys_and_platform(ada, bundle):
    page = at(ada, "payload_add", bundle.pk).fill("Find a payload", "allowCamera").press("Find")
    assert "com.apple.applicationaccess" in page.html
    assert "com.apple.wifi.managed" not in page.html
    page = at(ada, "payload_add", bundle.pk).choose("Platform", "tvOS").press("Find")
    assert "com.apple.wifi.managed" in page.html
    assert "com.apple.MCX.FileVault2" not in page.html
    page = at(ada, "payload_add", bundle.pk).fill("Find a payload", "<nothing>").press("Find")
    assert "&lt;nothing&gt;" in page.html


# --- previews, permissions, cost ---------------------------------------------------------------------------------------


def test_a_preview_fills_in_a_devices_values_and_masks_secrets(ada, now):
    bundle = bundle_of(
        payload(WIFI, SSID_STR="{{ device.serial_number }}", Password="clear text", EncryptionType="WPA2"), now=now
    )
    device = enrollments(1, now)[0].device
    device.serial_number, device.name = "C02EXAMPLE", "Reception"
    device.save()
    page = at(ada, "preview", bundle.pk).fill("Serial number or name of a device", "recept").press("Show")
    assert "C02EXAMPLE" in page.html
    assert "clear text" not in page.html
    assert "No device has this serial number" in Page(ada, address("preview", bundle.pk) + "?device=nothing").html
    row = bundle.payloads.get()
    assert "clear text" not in at(ada, "payload", bundle.pk, row.pk).html


def test_a_reader_sees_the_bundle_and_may_not_touch_it(bundle):
    reader = sign_in("reader")
    user = get_user_model().objects.get(username="reader")
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    row = bundle.payloads.first()
    page = at(reader, "change", bundle.pk)
    assert page.status == 200
    assert "Save draft" not in page.html
    assert "Add payload" not in page.html
    assert reader.post(page.address, {"name": "x"}).status_code == 403
    assert at(reader, "check", bundle.pk).status == 200
    for name, args in (
        ("payload_add", [bundle.pk]),
        ("payload_new", [bundle.pk, VPN]),
        ("payload_other", [bundle.pk]),
        ("payload", [bundle.pk, row.pk]),
        ("payload_remove", [bundle.pk, row.pk]),
        ("preview", [bundle.pk]),
        ("duplicate", [bundle.pk]),
    ):
        assert reader.get(address(name, *args)).status_code == 403, name
        assert reader.post(address(name, *args), {}).status_code == 403, name
    for name, args in (("payload_act", [bundle.pk, row.pk]), ("merge", [bundle.pk])):
        assert reader.post(address(name, *args), {"act": "down"}).status_code == 403, name


def test_nothing_changes_by_a_get(ada, bundle):
    row = bundle.payloads.first()
    assert ada.get(address("payload_act", bundle.pk, row.pk)).status_code == 405
    assert ada.get(address("merge", bundle.pk)).status_code == 405
    ada.get(address("payload_remove", bundle.pk, row.pk))
    bundle.refresh_from_db()
    assert bundle.draft_version == 1


def test_a_payload_of_another_bundle_is_not_reached(ada, bundle, now):
    other = bundle_of(payload(PASSCODE, "other"), now=now).payloads.get()
    assert ada.get(address("payload", bundle.pk, other.pk)).status_code == 404
    assert ada.post(address("payload_remove", bundle.pk, other.pk)).status_code == 404
    assert ada.get(address("change", 999)).status_code == 404


def test_the_pages_cost_the_same_with_many_payloads_and_devices(ada, bundle, now, everyone):
    Assignment.objects.create(bundle=bundle, group=everyone, created_at=now)

    def cost():
        numbers = []
        for name, args in (("change", [bundle.pk]), ("payload", [bundle.pk, bundle.payloads.first().pk])):
            with CaptureQueriesContext(connection) as queries:
                assert ada.get(address(name, *args)).status_code == 200
            numbers.append(len(queries))
        return numbers

    few = cost()
    enrollments(40, now)
    for number in range(12):
        row = PayloadEdit(name=f"Clip {number}", role="neutral", content={"Label": "x", "URL": "https://example.com"})
        bundle.refresh_from_db()
        editing.add_payload(
            bundle, "com.apple.webClip.managed", variant="com.apple.webClip.managed", edit=row,
            expected_version=bundle.draft_version, actor=None, now=now,
        )  # fmt: skip
    many = cost()
    assert max(many) <= STATEMENTS, many
    assert max(many[0] - few[0], many[1] - few[1]) <= 2, (few, many)


def test_the_list_says_where_each_bundle_stands(ada, bundle, now):
    revision = bundle.revisions.create(number=3, delivery_rule="together", published_at=now)
    profile = revision.profiles.create(
        part="whole", identifier="x", uuid="U", display_name="x", content=b"", signed=b""
    )
    bundle.current_revision = revision
    bundle.save()
    states = [LadderState.INSTALLED, LadderState.INSTALLED, LadderState.SENT, LadderState.FAILED, LadderState.REMOVED]
    for one, state in zip(enrollments(5, now), states, strict=True):
        Installation.objects.create(
            bundle=bundle, enrollment=one, part="whole", profile=profile, payload_uuid="U", state=state, created_at=now,
            changed_at=now,
        )  # fmt: skip
    html = ada.get(reverse("admin:profiles_bundle_changelist")).content.decode()
    for words in ("v3<", "2 installed", "1 waiting", "1 failed", "nobody"):
        assert words in html, words
    editing.save_settings(bundle, {"description": "x"}, expected_version=1, actor=None, now=now.replace(year=2030))
    html = ada.get(reverse("admin:profiles_bundle_changelist")).content.decode()
    assert "changed since v3" in html
