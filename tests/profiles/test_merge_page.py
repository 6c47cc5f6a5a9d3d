"""Two people at one draft: nobody's change is overwritten, what both changed is asked for."""

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from operations.models import AuditEvent
from profiles import drafts, editing, secrets
from profiles.editing import PayloadEdit, content_of
from profiles.models import Bundle, HeldValue, Payload, Secret
from protocol.plist import dumps
from tests.profiles.fleet import PASSCODE, VPN, WIFI, bundle_of, payload
from tests.profiles.person import Page

pytestmark = pytest.mark.django_db


def sign_in(name):
    client = Client()
    client.force_login(get_user_model().objects.create(username=name, is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def ada():
    return sign_in("ada")


@pytest.fixture
def bob():
    return sign_in("bob")


@pytest.fixture
def bundle(now):
    made = bundle_of(payload(PASSCODE, forcePIN=True), payload(VPN, UserDefinedName="HQ", VPNType="IKEv2"), now=now)
    Bundle.objects.filter(pk=made.pk).update(name="Corporate VPN")
    made.refresh_from_db()
    return made


def at(client, page, *args):
    return Page(client, reverse(f"admin:profiles_bundle_{page}", args=args))


def of_type(bundle, payload_type):
    return bundle.payloads.get(payload_type=payload_type)


def save_passcode(bundle, now, **content):
    row = Payload.objects.select_related("bundle").get(bundle=bundle, payload_type=PASSCODE)
    edit = PayloadEdit(name=row.name, role=row.role, content=content)
    editing.save_payload(row, edit, expected_version=row.bundle.draft_version, actor=None, now=now)


def test_changes_that_do_not_touch_are_both_kept(ada, bob, bundle, now):
    passcode = of_type(bundle, PASSCODE)
    mine = at(ada, "payload", bundle.pk, passcode.pk).fill("Minimum length", "8")
    save_passcode(bundle, now, forcePIN=True, allowSimple=False)
    page = mine.press("Save draft")
    assert "both are in the draft" in page.html
    assert content_of(of_type(bundle, PASSCODE)) == {"forcePIN": True, "allowSimple": False, "minLength": 8}


@pytest.mark.parametrize(("choice", "length"), [("Yours", 8), ("Theirs", 12)])
def test_a_key_that_both_changed_is_asked_for(ada, bundle, now, choice, length):
    passcode = of_type(bundle, PASSCODE)
    mine = at(ada, "payload", bundle.pk, passcode.pk).fill("Minimum length", "8").fill("Payload name", "Code")
    save_passcode(bundle, now, forcePIN=True, minLength=12)
    page = mine.press("Save draft")
    assert page.status == 409
    assert content_of(of_type(bundle, PASSCODE))["minLength"] == 12
    again = page.press("Save what I chose")
    assert again.status == 409
    done = again.tick(f"{choice} {8 if choice == 'Yours' else 12}").press("Save what I chose")
    assert done.status == 200
    row = of_type(bundle, PASSCODE)
    assert (row.name, content_of(row)) == ("Code", {"forcePIN": True, "minLength": length})
    assert AuditEvent.objects.filter(action="bundle.merge").count() == 1


def test_settings_that_both_changed_are_asked_for(ada, bundle, now):
    mine = at(ada, "change", bundle.pk).fill("Description", "mine")
    bundle.refresh_from_db()
    editing.save_settings(bundle, {"description": "theirs"}, expected_version=bundle.draft_version, actor=None, now=now)
    page = mine.press("Save draft")
    assert page.status == 409
    assert "mine" in page.html
    assert "theirs" in page.html
    page.tick("Yours mine").press("Save what I chose")
    bundle.refresh_from_db()
    assert bundle.description == "mine"


def test_what_one_person_held_is_nobody_elses(ada, bob, bundle, now):
    mine = at(ada, "change", bundle.pk).fill("Description", "mine")
    bundle.refresh_from_db()
    editing.save_settings(bundle, {"description": "theirs"}, expected_version=bundle.draft_version, actor=None, now=now)
    page = mine.press("Save draft").tick("Yours mine")
    page.client = bob
    assert "no longer kept" in page.press("Save what I chose").html
    bundle.refresh_from_db()
    assert bundle.description == "theirs"


def test_a_payload_that_somebody_removed_meanwhile_is_said(ada, bundle, now):
    passcode = of_type(bundle, PASSCODE)
    mine = at(ada, "payload", bundle.pk, passcode.pk).fill("Minimum length", "8")
    editing.remove_payload(Payload.objects.select_related("bundle").get(pk=passcode.pk), actor=None, now=now)
    assert "Somebody removed this payload" in mine.press("Save draft").html


def forged(bundle):
    """A configuration profile that is a merge as well: whoever uploads it has it held."""
    return dumps({
        "PayloadType": "Configuration",
        "PayloadContent": [],
        "base": b"",
        "mine": drafts.dumps(drafts.read_draft(bundle)),
        "secrets": {"office": b"mine now"},
    })  # fmt: skip


def test_bytes_that_somebody_uploaded_are_no_merge(ada, bundle, now):
    secrets.store("office", b"theirs", actor=None, now=now)
    user = get_user_model().objects.get(username="ada")
    token = secrets.hold(forged(bundle), file_name="office.mobileconfig", user=user, now=now)
    page = ada.post(reverse("admin:profiles_bundle_merge", args=[bundle.pk]), {"token": token}, follow=True)
    assert "no longer kept" in page.content.decode()
    bundle.refresh_from_db()
    assert bundle.draft_version == 1
    assert bytes(Secret.objects.get().value) == b"theirs"


def test_a_merge_of_one_bundle_is_not_saved_in_another(ada, bundle, now):
    mine = at(ada, "change", bundle.pk).fill("Description", "mine")
    bundle.refresh_from_db()
    editing.save_settings(bundle, {"description": "theirs"}, expected_version=bundle.draft_version, actor=None, now=now)
    page = mine.press("Save draft")
    token = page.html.partition('name="token" value="')[2].partition('"')[0]
    assert token
    other = editing.create_bundle("Other", rule="together", actor=None, now=now)
    ada.post(reverse("admin:profiles_bundle_merge", args=[other.pk]), {"token": token})
    other.refresh_from_db()
    assert (other.name, other.draft_version) == ("Other", 1)


def test_what_was_held_is_forgotten_once_it_is_saved(ada, bundle, now):
    mine = at(ada, "payload", bundle.pk, of_type(bundle, PASSCODE).pk).fill("Minimum length", "8")
    save_passcode(bundle, now, forcePIN=True, allowSimple=False)
    mine.press("Save draft")
    assert not HeldValue.objects.exists()


def merged_wifi(now, *, password):
    """A Wi-Fi whose draft names the secret "office-wifi", as a merge made it, and the value to be stored for it."""
    bundle = bundle_of(payload(WIFI, SSID_STR="Office", Password=password, EncryptionType="WPA2"), now=now)
    draft = drafts.read_draft(bundle)
    editing.save_merged(
        bundle,
        draft,
        secrets_by_name={"office-wifi": b"mine"},
        expected_version=bundle.draft_version,
        actor=None,
        now=now,
    )
    return content_of(bundle.payloads.get())["Password"]


def test_a_merge_does_not_replace_a_secret_that_got_the_name_meanwhile(now):
    secrets.store("office-wifi", b"theirs", actor=None, now=now)
    assert merged_wifi(now, password="{{ secret.office-wifi }}") == "{{ secret.office-wifi-2 }}"
    assert {row.name: bytes(row.value) for row in Secret.objects.all()} == {
        "office-wifi": b"theirs",
        "office-wifi-2": b"mine",
    }


def test_a_secret_that_the_merged_draft_does_not_name_is_not_stored(now):
    assert merged_wifi(now, password="{{ secret.another }}") == "{{ secret.another }}"
    assert not Secret.objects.exists()
