"""The publish page and the pages of revisions: they say what happens before it does, and only then does it happen."""

import re

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from devices.groups import add_devices, ensure_all_group
from devices.models import Device, DeviceGroup, LadderState
from operations.models import AuditEvent
from profiles import acts, drafts
from profiles.models import Assignment, Bundle, Installation, Part, Profile, Revision, Scope
from protocol.mobileconfig import unwrap_mobileconfig
from protocol.plist import dumps, loads_dict
from tests.profiles.fleet import PASSCODE, VPN, WIFI, bundle_of, enrollments, payload

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("signing")]
STATEMENTS = 45


@pytest.fixture
def ada():
    client = Client()
    client.force_login(get_user_model().objects.create(username="ada", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def reader():
    client = Client()
    user = get_user_model().objects.create(username="rita", is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(codename__in=("view_bundle", "view_revision", "view_profile")))
    client.force_login(user)
    return client


@pytest.fixture
def bundle(clock):
    return bundle_of(payload(PASSCODE, forcePIN=True, minLength=6), payload(VPN), now=clock())


def address(page, *args):
    return reverse(f"admin:profiles_bundle_{page}", args=args)


def text(response):
    """What the page says, without its tags."""
    return " ".join(re.sub(r"<[^>]*>", " ", response.content.decode()).split())


def publish(bundle, clock):
    revision = acts.publish(bundle, reason="", actor=None, now=clock())
    bundle.refresh_from_db()
    return revision


def assign(bundle, group, *, now, excluded=False):
    Assignment.objects.create(bundle=bundle, group=group, excluded=excluded, created_at=now)


def change(bundle, clock, old=b"<integer>6</integer>", new=b"<integer>8</integer>"):
    """What saving another minimum length leaves."""
    row = bundle.payloads.get(payload_type=PASSCODE)
    row.content = bytes(row.content).replace(old, new)
    row.save()
    drafts.touch(bundle, expected_version=bundle.draft_version, actor=None, now=clock())


def confirmed(bundle, count, **said):
    typed = {"count": str(count)} if count else {}
    return {"confirmed": "1", "reason": "New rule", "draft_version": str(bundle.draft_version), **typed, **said}


def hold(bundle, enrolled, *, now):
    """The devices hold what is published."""
    for profile in bundle.current_revision.profiles.all():
        Installation.objects.bulk_create(
            Installation(
                enrollment=row,
                bundle=bundle,
                part=profile.part,
                profile=profile,
                payload_uuid=profile.uuid,
                state=LadderState.INSTALLED,
                created_at=now,
                changed_at=now,
            )
            for row in enrolled
        )


def test_the_page_says_what_changes_from_what_to_what(ada, bundle, clock):
    publish(bundle, clock)
    change(bundle, clock)
    said = text(ada.get(address("publish", bundle.pk)))
    assert "What changes (1)" in said
    assert re.search(r"minLength 6 8", said)
    assert "Now (v1) Then (v2)" in said


def test_values_are_said_as_the_form_says_them_with_the_raw_one_beside(ada, bundle, clock):
    row = bundle.payloads.get(payload_type=VPN)
    content = {"AuthenticationMethod": "None", "ExtendedAuthEnabled": 1, "RemoteAddress": "vpn.example.com"}
    row.content = dumps({**loads_dict(bytes(row.content)), "IKEv2": content})
    row.save()
    html = ada.get(address("publish", bundle.pk)).content.decode()
    assert "<ins>Only EAP</ins><code>None</code>" in html
    assert "<ins>Yes</ins><code>1</code>" in html
    assert "<ins>vpn.example.com</ins></td>" in html
    # a card of a phone shows the payload's name once
    assert html.count('class="publish-first"') == 2


def test_a_first_publish_lists_everything(ada, bundle):
    said = text(ada.get(address("publish", bundle.pk)))
    assert "published for the first time" in said
    assert "IKEv2.RemoteAddress vpn.example.com" in said


def test_the_funnel_counts_scope_exclusions_channels_and_those_that_cannot_use_it(ada, clock):
    bundle = bundle_of(payload("com.apple.MCX.FileVault2", Enable="On", Defer=True), now=clock())
    everyone = ensure_all_group(clock())
    lab = DeviceGroup.objects.create(name="Lab", created_at=clock())
    phones, macs = enrollments(3, clock(), platform="iOS"), enrollments(4, clock(), platform="macOS")
    add_devices(lab, [macs[0].device], now=clock())
    Device.objects.create(udid="NO-CHANNEL", platform="macOS", state=Device.State.ENROLLED, created_at=clock())
    assign(bundle, everyone, now=clock())
    assign(bundle, lab, now=clock(), excluded=True)
    said = text(ada.get(address("publish", bundle.pk)))
    assert "In scope all 8" in said
    assert "Excluded Lab \N{MINUS SIGN}1" in said
    assert "no device channel \N{MINUS SIGN}1" in said
    assert "Get v1 6" in said
    assert f"no payload of it exists on iOS {len(phones)}" in said
    assert "Publish v1 to 6 devices" in said


def test_a_users_bundle_reaches_user_channels_only(ada, bundle, clock):
    Bundle.objects.filter(pk=bundle.pk).update(scope=Scope.USER)
    enrollments(2, clock())
    assign(bundle, ensure_all_group(clock()), now=clock())
    said = text(ada.get(address("publish", bundle.pk)))
    assert "no user channel (only Macs have one) \N{MINUS SIGN}2" in said
    assert "Publish v1 to nobody yet" in said


def test_an_unchanged_part_is_told_not_to_be_sent_again(ada, bundle, clock):
    assign(bundle, ensure_all_group(clock()), now=clock())
    publish(bundle, clock)
    hold(bundle, enrollments(5, clock()), now=clock())
    enrollments(2, clock())
    row = bundle.payloads.get(payload_type=VPN)
    row.content = bytes(row.content).replace(b"vpn.example.com", b"new.example.com")
    row.save()
    said = text(ada.get(address("publish", bundle.pk)))
    assert "Unchanged: not sent again to the 5 devices that have it, and sent to 2 devices more." in said
    assert "Changed: sent to 7 devices. Each gets it once it has proved the requirement." in said


def test_a_part_that_the_draft_no_longer_has_goes_away(ada, bundle, clock):
    assign(bundle, ensure_all_group(clock()), now=clock())
    publish(bundle, clock)
    hold(bundle, enrollments(3, clock()), now=clock())
    bundle.payloads.filter(payload_type=VPN).delete()
    assert "Goes away from 3 devices: the draft has none any more." in text(ada.get(address("publish", bundle.pk)))


def test_devices_that_are_no_longer_in_scope_lose_it(ada, bundle, clock):
    publish(bundle, clock)
    hold(bundle, enrollments(3, clock()), now=clock())
    said = text(ada.get(address("publish", bundle.pk)))
    assert "Lose it: no longer in scope 3" in said


def test_publishing_is_confirmed_by_the_number_and_recorded_with_reason_and_warnings(ada, bundle, clock):
    enrollments(3, clock())
    assign(bundle, ensure_all_group(clock()), now=clock())
    page = address("publish", bundle.pk)
    assert ada.post(page, confirmed(bundle, 4)).status_code == 400
    assert ada.post(page, confirmed(bundle, 3, reason="")).status_code == 400
    assert not Revision.objects.exists()
    answer = ada.post(page, confirmed(bundle, 3), follow=True)
    assert "v1 is published. It is on its way to 3 devices." in text(answer)
    revision = Revision.objects.get()
    assert (revision.reason, revision.published_by.username) == ("New rule", "ada")
    event = AuditEvent.objects.get(action="bundle.publish")
    assert (event.reason, event.details["revision"]) == ("New rule", 1)
    assert isinstance(event.details["warnings"], int)


def test_publishing_to_nobody_says_so(ada, bundle):
    page = address("publish", bundle.pk)
    assert "Publish v1 to nobody yet" in text(ada.get(page))
    answer = ada.post(page, confirmed(bundle, 0), follow=True)
    assert "It is assigned to nobody yet, so nothing goes out." in text(answer)


@pytest.mark.parametrize("version", ["1", "", "x", "999999999999"])
def test_a_draft_that_changed_since_the_page_was_opened_is_shown_again(ada, bundle, clock, version):
    change(bundle, clock)
    answer = ada.post(address("publish", bundle.pk), confirmed(bundle, 0, draft_version=version))
    assert answer.status_code == 409
    assert "The draft changed since you opened this page" in text(answer)
    assert b'name="draft_version" value="2"' in answer.content
    assert b"New rule" in answer.content
    assert not Revision.objects.exists()


def test_errors_stop_a_publish_and_are_listed(ada, bundle):
    row = bundle.payloads.get(payload_type=PASSCODE)
    row.content = bytes(row.content).replace(b"<integer>6</integer>", b"<string>six</string>")
    row.save()
    page = address("publish", bundle.pk)
    shown = ada.get(page)
    assert "1 error" in text(shown)
    assert re.search(r"Minimum length .*whole number", text(shown))
    assert b'name="confirmed"' not in shown.content
    assert ada.post(page, confirmed(bundle, 0)).status_code == 400
    assert not Revision.objects.exists()


def test_no_secret_stands_on_any_page(ada, bundle, clock):
    row = bundle.payloads.get(payload_type=VPN)
    row.content = bytes(row.content).replace(b"<key>RemoteAddress", b"<key>SharedSecret</key><string>hunter2</string><key>RemoteAddress")  # fmt: skip
    row.save()
    pages = [address("publish", bundle.pk)]
    publish(bundle, clock)
    profile = Profile.objects.get(part=Part.CAPABILITY)
    row.delete()
    pages += [
        address("publish", bundle.pk),
        address("revisions", bundle.pk),
        address("compare", bundle.pk) + "?old=1&new=draft",
        address("restore", bundle.pk, 1),
        reverse("admin:profiles_profile_change", args=[profile.pk]),
        reverse("admin:profiles_revision_change", args=[profile.revision_id]),
    ]
    for page in pages:
        answer = ada.get(page)
        assert answer.status_code == 200
        assert b"hunter2" not in answer.content
    assert "IKEv2.SharedSecret ••••••" in text(ada.get(pages[-2]))


def test_the_page_costs_the_same_statements_for_20_and_for_2000_devices(ada, bundle, clock):
    assign(bundle, ensure_all_group(clock()), now=clock())
    publish(bundle, clock)
    hold(bundle, enrollments(20, clock()), now=clock())
    counts = []
    for more in (0, 1980):
        hold(bundle, enrollments(more, clock()), now=clock())
        with CaptureQueriesContext(
            connection,
        ) as statements:
            assert ada.get(address("publish", bundle.pk)).status_code == 200
        counts.append(len(statements))
    assert counts[0] == counts[1] <= STATEMENTS


def test_the_revisions_page_lists_them_with_reason_and_ways_on(ada, bundle, clock):
    publish(bundle, clock)
    acts.publish(bundle, reason="Again", actor=None, now=clock())
    answer = ada.get(address("revisions", bundle.pk))
    said = text(answer)
    assert "Again" in said
    assert "in force" in said
    assert address("restore", bundle.pk, 1).encode() in answer.content


def test_any_two_states_can_be_compared(ada, bundle, clock):
    publish(bundle, clock)
    change(bundle, clock)
    publish(bundle, clock)
    change(bundle, clock, old=b"<integer>8</integer>", new=b"<integer>10</integer>")
    compare = address("compare", bundle.pk)
    assert "minLength 6 8" in text(ada.get(compare, {"old": "1", "new": "2"}))
    assert "minLength 10 6" in text(ada.get(compare, {"old": "draft", "new": "1"}))
    assert "No difference" in text(ada.get(compare, {"old": "2", "new": "2"}))
    assert ada.get(compare, {"old": "3", "new": "1"}).status_code == 400
    assert ada.get(compare).status_code == 200


def test_a_restore_is_asked_for_then_done_and_recorded(ada, bundle, clock):
    publish(bundle, clock)
    change(bundle, clock)
    page = address("restore", bundle.pk, 1)
    assert "minLength 8 6" in text(ada.get(page))
    assert ada.post(page, {"reason": "", "draft_version": "2"}).status_code == 400
    assert ada.post(page, {"reason": "Back", "draft_version": "1"}).status_code == 409
    assert b"<integer>8" in bytes(bundle.payloads.get(payload_type=PASSCODE).content)
    assert ada.post(page, {"reason": "Back", "draft_version": "2"}).status_code == 302
    bundle.refresh_from_db()
    assert bundle.draft_version == 3
    assert bundle.draft_changed_by.username == "ada"
    assert b"<integer>6" in bytes(bundle.payloads.get(payload_type=PASSCODE).content)
    event = AuditEvent.objects.get(action="bundle.restore")
    assert (event.reason, event.details) == ("Back", {"revision": 1, "draft": 3})
    assert ada.get(address("restore", bundle.pk, 9)).status_code == 404


def test_an_export_is_a_recorded_post_of_what_was_asked_for(ada, bundle, clock):
    publish(bundle, clock)
    change(bundle, clock)
    page = address("export", bundle.pk)
    assert ada.get(page).status_code == 405
    for which, length in (("1", 6), ("draft", 8)):
        for form in ("signed", "xml"):
            answer = ada.post(page, {"which": which, "part": "requirement", "form": form})
            content, signer = unwrap_mobileconfig(answer.content)
            assert (signer is not None) is (form == "signed")
            assert content.payloads[0]["minLength"] == length
            assert answer["Content-Disposition"].endswith('.mobileconfig"')
    assert AuditEvent.objects.filter(action__endswith=".export").count() == 4
    assert ada.post(page, {"which": "1", "part": "whole"}).status_code == 404
    assert ada.post(page, {"which": "7", "part": "requirement"}).status_code == 404
    assert ada.post(page, {"which": "draft", "part": "whole"}).status_code == 302


def test_a_reader_sees_that_there_are_revisions_and_nothing_inside(reader, bundle, clock):
    publish(bundle, clock)
    assert reader.get(address("revisions", bundle.pk)).status_code == 200
    for page in (address("publish", bundle.pk), address("compare", bundle.pk), address("restore", bundle.pk, 1)):
        assert reader.get(page).status_code == 403
        assert reader.post(page).status_code == 403
    assert reader.post(address("export", bundle.pk), {"which": "1", "part": "requirement"}).status_code == 403
    profile = Profile.objects.get(part=Part.CAPABILITY)
    shown = reader.get(reverse("admin:profiles_profile_change", args=[profile.pk]))
    assert shown.status_code == 200
    assert b"RemoteAddress" not in shown.content


def test_a_bundle_whose_file_cannot_be_read_says_so(ada, clock):
    bundle = bundle_of(payload(WIFI), now=clock())
    bundle.payloads.all().delete()
    bundle.original = b"no profile"
    bundle.save()
    for page in ("publish", "revisions"):
        assert ada.get(address(page, bundle.pk)).status_code == 200
    assert ada.post(address("publish", bundle.pk), confirmed(bundle, 0)).status_code == 400
