"""Two people at one draft: nobody's change is overwritten, what both changed is asked for."""

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from operations.models import AuditEvent
from profiles import editing
from profiles.editing import PayloadEdit, content_of
from profiles.models import Bundle, Payload
from tests.profiles.fleet import PASSCODE, VPN, bundle_of, payload
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
