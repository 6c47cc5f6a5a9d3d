"""The pages of provisioning: what they say before anything happens, what they do, and what they never show."""

import re
from datetime import timedelta
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from devices.groups import add_devices, ensure_all_group
from devices.models import Command, DeviceGroup
from operations.models import AuditEvent
from provisioning import holding, rollout
from provisioning.models import (
    ApiKey,
    DeveloperTeam,
    EnterpriseApp,
    Lineage,
    LineageAssignment,
    ListedProvisioningProfile,
    ProvisioningInstallation,
    ProvisioningProfile,
    Renewal,
    RenewalState,
)
from simulator.appstoreconnect import AppStoreConnectServer
from simulator.provisioning_authority import make_authority
from tests.provisioning.files import ipa
from tests.provisioning.phones import enrollments

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("_media")]
ISSUER = "57246542-96fe-1a63-e053-0824d011072a"
UDID = "00008030-001A2B3C4D5E6F70"
STATEMENTS = 24


@pytest.fixture(scope="session")
def apple_today(tmp_path_factory):
    """A fake Apple of today: pages know no other clock than the real one."""
    begin = timezone.now() - timedelta(days=300)
    made = make_authority(begin)
    certificate = made.developer_certificate("Example Ltd", team="AB12CD34EF", now=begin)
    path = tmp_path_factory.mktemp("apple") / "root.pem"
    path.write_bytes(made.root.certificate.public_bytes(serialization.Encoding.PEM))
    return made, certificate, str(path)


@pytest.fixture
def make_file(apple_today, settings):
    """Files of the fake Apple; `ago` is how many days ago they were made."""
    made, certificate, settings.PROVISIONING_EXTRA_ROOTS = apple_today

    def make(*, ago=300, days=365, **changes):
        return made.profile(**{
            "name": "POS In-House", "team": "AB12CD34EF", "bundle_identifier": "com.example.pos",
            "certificates": [certificate], "now": timezone.now() - timedelta(days=ago), "days": days, **changes,
        })  # fmt: skip

    return make


@pytest.fixture
def _media(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path / "media"


@pytest.fixture
def root():
    client = Client()
    client.force_login(get_user_model().objects.create(username="ada", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def reader():
    client = Client()
    user = get_user_model().objects.create(username="rita", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client.force_login(user)
    return client


def address(page, *args):
    return reverse(f"admin:provisioning_{page}", args=args)


def text(response):
    """What the page says, without its tags."""
    return " ".join(re.sub(r"<[^>]*>", " ", response.content.decode()).split())


def upload(client, data, name="a.mobileprovision"):
    return client.post(address("lineage_upload"), {"file": SimpleUploadedFile(name, data)})


def token_in(response):
    return re.search(r'name="token" value="([^"]+)"', response.content.decode())[1]


def take(client, data, **more):
    token = token_in(upload(client, data))
    return client.post(address("lineage_upload"), {"token": token, **more}, follow=True)


@pytest.fixture
def lineage(root, make_file):
    take(root, make_file())
    return Lineage.objects.get()


# --- upload ------------------------------------------------------------------------------------------------------------


def test_an_upload_shows_what_was_read_before_it_counts(root, make_file):
    page = upload(root, make_file())
    assert "com.example.pos" in text(page)
    assert "Begins a new lineage" in text(page)
    assert not Lineage.objects.exists()


def test_an_upload_that_was_confirmed_is_taken_and_recorded(root, make_file):
    page = take(root, make_file())
    assert Lineage.objects.get().name in text(page)
    event = AuditEvent.objects.get(action="provisioning.upload")
    assert event.actor_name == "ada"


def test_a_newer_file_leads_to_its_renewal(root, lineage, make_file):
    page = take(root, make_file(ago=1))
    renewal = Renewal.objects.get()
    assert page.request["PATH_INFO"] == address("renewal_change", renewal.pk)
    assert renewal.new_profile is not None


def test_a_wrong_file_is_refused_in_words(root, make_file):
    page = upload(root, b'{"profile_name": "x"}')
    assert page.status_code == 400
    assert "Automated Device Enrollment" in text(page)


def test_an_older_file_needs_a_reason(root, make_file):
    older = make_file()
    take(root, make_file(ago=10))
    newer = Lineage.objects.get().current
    report = upload(root, older)
    assert "This is a step back" in text(report)
    token = token_in(report)
    assert root.post(address("lineage_upload"), {"token": token}).status_code == 400
    assert Lineage.objects.get().current == newer
    root.post(address("lineage_upload"), {"token": token, "reason": "the newer one is broken"})
    assert Lineage.objects.get().current != newer


def test_a_held_file_is_its_owners_alone(root, make_file):
    token = token_in(upload(root, make_file()))
    other = Client()
    other.force_login(get_user_model().objects.create(username="eve", is_staff=True, is_superuser=True))
    page = other.post(address("lineage_upload"), {"token": token}, follow=True)
    assert "no longer held" in text(page)
    for wrong in ("../../keys/secret_key", "x" * 43, ""):
        assert "no longer held" in text(root.post(address("lineage_upload"), {"token": wrong}, follow=True))
    assert not Lineage.objects.exists()


def test_what_is_held_rests_encrypted_and_goes_after_a_day(root, make_file, settings):
    data = make_file(kind="ad_hoc", devices=[UDID])
    upload(root, data)
    (kept,) = (settings.MEDIA_ROOT / "held").iterdir()
    assert UDID.encode() not in kept.read_bytes()
    user = get_user_model().objects.get(username="ada")
    late = timezone.now() + holding.KEPT_FOR + timedelta(minutes=1)
    holding.hold(SimpleUploadedFile("b", b"x"), user=user, now=late)
    assert not kept.exists()


def test_an_app_is_kept_with_its_profiles(root, make_file):
    data = ipa(make_file(), extension=make_file(bundle_identifier="com.example.pos.share"))
    report = upload(root, data, "pos.ipa")
    assert "with 2 profiles in it" in text(report)
    page = root.post(address("lineage_upload"), {"token": token_in(report)}, follow=True)
    app = EnterpriseApp.objects.get()
    assert page.request["PATH_INFO"] == address("enterpriseapp_change", app.pk)
    assert "com.example.pos.share" in text(page)
    assert Lineage.objects.count() == 2


# --- lineages ----------------------------------------------------------------------------------------------------------


def test_the_list_shows_lanes_with_a_table_for_those_who_do_not_see_them(root, lineage):
    html = root.get(address("lineage_changelist")).content.decode()
    assert "<svg" in html
    assert "<caption>When the provisioning profiles end</caption>" in html
    assert "certificate ends" in html


def test_the_list_is_sorted_by_days_left(root, lineage, make_file):
    take(root, make_file(bundle_identifier="com.example.first", days=320))
    take(root, make_file(bundle_identifier="com.example.last", ago=2))
    html = root.get(address("lineage_changelist")).content.decode().split('id="result_list"')[1]
    shown = [int(pk) for pk in re.findall(r"/lineage/(\d+)/change/", html)]
    assert shown == list(Lineage.objects.order_by("effective_end").values_list("pk", flat=True))
    assert Lineage.objects.get(pk=shown[0]).application_identifier.endswith("first")


def test_a_lineage_page_says_on_how_many_devices_each_profile_is(root, lineage):
    LineageAssignment.objects.create(lineage=lineage, group=ensure_all_group(timezone.now()), created_at=timezone.now())
    found, now = enrollments(3, timezone.now()), timezone.now()
    rollout.plan([one.pk for one in found], now)
    ProvisioningInstallation.objects.filter(enrollment=found[0]).update(state="installed")
    ListedProvisioningProfile.objects.create(
        enrollment=found[0], uuid="U", uuid_key=lineage.current.uuid_key, asked_at=now, reported_at=now
    )
    page = text(root.get(address("lineage_change", lineage.pk)))
    assert "1 installed, 2 waiting" in page
    assert "1 of 3 devices have the wanted profile" in page
    assert str(found[1].device) in page
    assert "1 device" in page


def test_a_lineage_page_costs_the_same_with_many_devices(root, lineage):
    group = ensure_all_group(timezone.now())
    LineageAssignment.objects.create(lineage=lineage, group=group, created_at=timezone.now())
    for number in (2, 80):
        rollout.plan([one.pk for one in enrollments(number, timezone.now())], timezone.now())
        with CaptureQueriesContext(connection) as queries:
            assert root.get(address("lineage_change", lineage.pk)).status_code == 200
        assert len(queries) <= STATEMENTS, [query["sql"] for query in queries]


def test_all_stragglers_are_in_the_csv_and_no_cell_is_a_formula(reader, root, lineage):
    group = ensure_all_group(timezone.now())
    LineageAssignment.objects.create(lineage=lineage, group=group, created_at=timezone.now())
    found = enrollments(60, timezone.now())
    device = found[0].device
    device.name = "=cmd()"
    device.save()
    response = reader.get(address("lineage_stragglers", lineage.pk))
    rows = b"".join(response.streaming_content).decode().splitlines()
    assert len(rows) == 61
    assert any(row.startswith("'=cmd()") for row in rows)


def test_a_vendor_is_written_to_where_somebody_must_ask(root, lineage, apple_today):
    assert "Letter to the vendor" not in text(root.get(address("lineage_change", lineage.pk)))
    Lineage.objects.update(policy="manual")
    page = text(root.get(address("lineage_change", lineage.pk)))
    assert "Subject: Provisioning profile of" in page
    assert "SHA-1" in page
    assert f"{apple_today[1].certificate.serial_number:X}" in page.upper()


def test_settings_are_changed_and_recorded(root, lineage):
    data = {"name": "Tills", "policy": "auto", "lead_days": "60"}
    before = lineage.renew_at
    page = root.post(address("lineage_settings", lineage.pk), data, follow=True)
    lineage.refresh_from_db()
    assert (lineage.name, lineage.policy, lineage.lead_days) == ("Tills", "auto", 60)
    assert lineage.renew_at < before
    assert "no API key that fits" in text(page)
    event = AuditEvent.objects.get(action="lineage.change")
    assert event.details["before"]["policy"] == "propose"


def test_an_in_house_lineage_takes_no_key_of_the_other_program(root, lineage):
    key = ApiKey.objects.create(
        team=lineage.team, program="developer", key_id="K", issuer_id="i", private_key=b"x", added_at=timezone.now()
    )
    data = {"name": "Tills", "policy": "auto", "api_key": key.pk}
    page = root.post(address("lineage_settings", lineage.pk), data)
    assert page.status_code == 400
    assert "Enterprise Program only" in text(page)


def test_assigning_says_the_number_first_and_then_delivers(root, lineage):
    group = DeviceGroup.objects.create(name="tills", created_at=timezone.now())
    found = enrollments(2, timezone.now())
    add_devices(group, [one.device for one in found], now=timezone.now())
    where = address("lineage_assign", lineage.pk) + f"?group={group.pk}"
    assert "2 more devices get" in text(root.get(where))
    assert not LineageAssignment.objects.exists()
    root.post(where, {"confirmed": "1", "reason": "tills need it", "count": "2"})
    assert LineageAssignment.objects.get().group == group
    assert AuditEvent.objects.get(action="lineage.assign").reason == "tills need it"
    rollout.plan([one.pk for one in found], timezone.now())
    assert ProvisioningInstallation.objects.filter(wanted=True).count() == 2


def test_an_assignment_is_taken_back_with_a_reason(root, lineage):
    row = LineageAssignment.objects.create(
        lineage=lineage, group=ensure_all_group(timezone.now()), created_at=timezone.now()
    )
    data = {
        "action": "unassign", "_selected_action": [row.pk], "confirmed": "1", "reason": "over", "count": "1",
    }  # fmt: skip
    root.post(address("lineageassignment_changelist"), data)
    assert not LineageAssignment.objects.exists()
    assert AuditEvent.objects.get(action="lineage.unassign").reason == "over"


def test_a_lineage_is_retired_and_used_again(root, lineage):
    root.post(address("lineage_retire", lineage.pk), {"confirmed": "1", "reason": "app is gone"})
    assert not Lineage.objects.active().exists()
    assert lineage.name not in text(root.get(address("lineage_changelist"))).split("Filters")[-1]
    root.post(address("lineage_revive", lineage.pk))
    assert Lineage.objects.active().exists()
    assert root.get(address("lineage_revive", lineage.pk)).status_code == 405


# --- renewals ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def renewal(root, lineage):
    root.post(address("lineage_renew", lineage.pk), {"confirmed": "1", "reason": "audit next week"})
    return Renewal.objects.get()


def test_a_renewal_begins_by_hand_and_is_recorded(renewal):
    event = AuditEvent.objects.get(action="renewal.start")
    assert event.reason == "audit next week"
    assert renewal.state == RenewalState.PLANNED


def test_a_second_renewal_is_refused_in_words(root, lineage, renewal):
    page = root.post(address("lineage_renew", lineage.pk), {"confirmed": "1", "reason": "again"}, follow=True)
    assert "is being renewed already" in text(page)
    assert Renewal.objects.count() == 1


def acts_on(page):
    return set(re.findall(r"/act/\"|/(\w+)/act/", page.content.decode()))


@pytest.mark.parametrize(
    ("changes", "offered"),
    [
        ({"state": "due"}, {"approve"}),
        ({"state": "blocked", "blocked_state": "creating"}, {"retry"}),
        ({"state": "rolling_out"}, {"pause"}),
        ({"state": "rolling_out", "paused": True}, {"resume"}),
        ({"state": "done"}, set()),
    ],
)
def test_a_renewal_page_offers_what_can_be_done_now(root, renewal, changes, offered):
    paused = changes.pop("paused", False)
    Renewal.objects.update(**changes, paused_at=timezone.now() if paused else None)
    assert acts_on(root.get(address("renewal_change", renewal.pk))) == offered


def test_what_is_due_is_approved(root, renewal):
    Renewal.objects.update(state=RenewalState.DUE)
    root.post(address("renewal_act", renewal.pk, "approve"))
    renewal.refresh_from_db()
    assert renewal.state == RenewalState.PLANNED
    assert renewal.approved_by.get_username() == "ada"
    assert AuditEvent.objects.filter(action="renewal.approve").exists()


def test_an_act_that_came_too_late_says_so(root, renewal):
    page = root.post(address("renewal_act", renewal.pk, "approve"), follow=True)
    assert "does not wait for approval" in text(page)


def test_cancelling_asks_for_a_reason(root, renewal):
    where = address("renewal_cancel", renewal.pk)
    assert "somebody must start the next renewal" in text(root.get(where))
    root.post(where, {"confirmed": "1"})
    renewal.refresh_from_db()
    assert renewal.state == RenewalState.PLANNED
    root.post(where, {"confirmed": "1", "reason": "wrong app"})
    renewal.refresh_from_db()
    assert renewal.state == RenewalState.CANCELLED


def test_the_step_bar_says_where_it_stands_and_where_it_stopped(root, renewal):
    Renewal.objects.update(state="blocked", blocked_state="creating")
    html = root.get(address("renewal_change", renewal.pk)).content.decode()
    (stopped,) = re.findall(r'<li class="provisioning-stopped" aria-current="step"><span>([^<]*)</span>', html)
    assert stopped == "Made at Apple"
    assert html.count("provisioning-passed") == 2


def test_a_renewal_page_groups_devices_by_state_and_reason(root, lineage, make_file):
    LineageAssignment.objects.create(lineage=lineage, group=ensure_all_group(timezone.now()), created_at=timezone.now())
    take(root, make_file(ago=1))
    found = enrollments(5, timezone.now())
    renewal = Renewal.objects.get()
    ProvisioningInstallation.objects.bulk_create(
        ProvisioningInstallation(
            enrollment=one, lineage=lineage, profile=renewal.new_profile, wave=1, created_at=timezone.now(),
            changed_at=timezone.now(), state="failed" if number < 2 else "installed", reason="no room" if number < 2 else "",
        )
        for number, one in enumerate(found)
    )  # fmt: skip
    page = text(root.get(address("renewal_change", renewal.pk)))
    assert "3 of 5 have the new profile · 2 failed" in page
    assert re.search(r"failed no room 2", page)


# --- dry run -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def fake(make_file, apple_today, settings):
    """A fake App Store Connect that really answers, with a team, a key and a profile of 200 days ago."""
    made, certificate, _ = apple_today
    with AppStoreConnectServer(timezone.now, authority=made) as server:
        settings.APPSTORECONNECT_ENTERPRISE_URL = server.url()
        team = server.api.add_team("AB12CD34EF")
        listed = team.add_certificate(now=timezone.now(), issued=certificate)
        app_id = team.add_bundle_id("com.example.pos", entitlements={})
        ago = timezone.now() - timedelta(days=200)
        old = team.create_profile("POS", bundle_id=app_id.id, certificates=(listed.id,), now=ago)
        yield SimpleNamespace(api=server.api, key=team.add_key(), old=old)


@pytest.fixture
def renewable(root, fake):
    """The lineage of that profile, with the key."""
    take(root, fake.old.content)
    lineage = Lineage.objects.get()
    ApiKey.objects.create(
        team=lineage.team, program="enterprise", key_id=fake.key.key_id, issuer_id=fake.key.issuer_id,
        private_key=fake.key.pem, added_at=timezone.now(),
    )  # fmt: skip
    return lineage


def test_a_dry_run_asks_apple_and_makes_nothing(root, renewable, fake):
    where = address("lineage_dry_run", renewable.pk)
    assert "Ask Apple now" in text(root.get(where))
    page = text(root.post(where))
    assert "would work" in page
    assert "IOS_APP_INHOUSE" in page
    assert fake.api.counts["POST", "profiles"] == 0
    assert not Renewal.objects.exists()


def test_a_dry_run_without_a_key_says_so(root, lineage):
    assert "There is no API key" in text(root.post(address("lineage_dry_run", lineage.pk)))


# --- keys --------------------------------------------------------------------------------------------------------------


def key_file():
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def add_key(client, pem, **changes):
    data = {
        "program": "enterprise", "team_identifier": "AB12CD34EF", "issuer_id": ISSUER,
        "file": SimpleUploadedFile("AuthKey_2X9R4HXF34.p8", pem), **changes,
    }  # fmt: skip
    return client.post(address("apikey_add"), data, follow=True)


def test_a_key_is_stored_by_its_file_and_never_shown(root):
    pem = key_file()
    page = add_key(root, pem)
    key = ApiKey.objects.get()
    assert key.key_id == "2X9R4HXF34"
    assert DeveloperTeam.objects.get().identifier == "AB12CD34EF"
    body = pem.decode().splitlines()[1]
    for shown in (page, root.get(address("apikey_changelist")), root.get(address("apikey_change", key.pk))):
        assert body not in shown.content.decode()
    assert body not in str(list(AuditEvent.objects.values_list("details", flat=True)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"issuer_id": "mine"}, "Individual keys have none"),
        ({"program": "other"}, "valid choice"),
        ({"team_identifier": "x"}, "ten letters and digits"),
    ],
)
def test_a_wrong_key_is_refused_at_its_field(root, changes, words):
    page = add_key(root, key_file(), **changes)
    assert page.status_code == 400
    assert words in text(page)
    assert not ApiKey.objects.exists()


def test_a_certificate_is_no_key(root):
    page = add_key(root, b"-----BEGIN CERTIFICATE-----\n")
    assert "This is a certificate." in text(page)


def test_a_key_is_tried_by_its_button_and_the_answer_is_in_words(root, settings):
    add_key(root, key_file())
    # Nothing listens there.
    settings.APPSTORECONNECT_ENTERPRISE_URL = "http://127.0.0.1:9"
    key = ApiKey.objects.get()
    assert root.get(address("apikey_test", key.pk)).status_code == 405
    page = root.post(address("apikey_test", key.pk), follow=True)
    assert "messagelist" in page.content.decode()
    assert AuditEvent.objects.get(action="api_key.test").details["works"] is False


def test_a_key_that_apple_accepts_is_shown_as_working(root, renewable):
    key = ApiKey.objects.get()
    assert "Apple accepts the key" in text(root.post(address("apikey_test", key.pk), follow=True))
    key.refresh_from_db()
    assert key.state == "working"


def test_a_key_is_forgotten_with_a_reason(root):
    add_key(root, key_file())
    key = ApiKey.objects.get()
    root.post(address("apikey_forget", key.pk), {"confirmed": "1", "reason": "left the company"})
    assert not ApiKey.objects.exists()
    assert AuditEvent.objects.get(action="api_key.remove").reason == "left the company"


# --- apps --------------------------------------------------------------------------------------------------------------


def test_an_app_is_installed_on_a_group_after_the_number_was_typed(root, make_file):
    take(root, ipa(make_file()))
    app = EnterpriseApp.objects.get()
    group = DeviceGroup.objects.create(name="tills", created_at=timezone.now())
    add_devices(group, [one.device for one in enrollments(2, timezone.now())], now=timezone.now())
    where = address("enterpriseapp_install", app.pk) + f"?group={group.pk}&version={app.versions.get().pk}"
    assert "not supervised" in text(root.get(where))
    root.post(where, {"confirmed": "1", "reason": "go", "count": "1"})
    assert not Command.objects.exists()
    root.post(where, {"confirmed": "1", "reason": "go", "count": "2"})
    assert Command.objects.filter(request_type="InstallApplication").count() == 2


def test_a_version_is_deleted_with_its_file(root, make_file, django_capture_on_commit_callbacks):
    take(root, ipa(make_file()))
    version = EnterpriseApp.objects.get().versions.get()
    name, storage = version.file.name, version.file.storage
    with django_capture_on_commit_callbacks(execute=True):
        root.post(
            address("enterpriseapp_delete_version", version.app_id, version.pk),
            {"confirmed": "1", "reason": "old", "count": "1"},
        )
    assert not storage.exists(name)
    assert ProvisioningProfile.objects.exists()


# --- who, and what nobody sees -----------------------------------------------------------------------------------------


def test_a_reader_may_look_and_do_nothing(reader, root, lineage, renewal):
    refused = [
        address("lineage_upload"),
        *(address(f"lineage_{page}", lineage.pk) for page in ("assign", "settings", "retire", "renew")),
        address("renewal_cancel", renewal.pk),
        address("apikey_add"),
    ]
    for page in refused:
        assert reader.get(page).status_code == 403, page
        assert reader.post(page, {"confirmed": "1", "reason": "x"}).status_code == 403, page
    for act in ("approve", "pause", "resume", "retry"):
        assert reader.post(address("renewal_act", renewal.pk, act)).status_code == 403
    for page in (address("lineage_change", lineage.pk), address("renewal_change", renewal.pk)):
        html = reader.get(page).content.decode().split('id="content"')[1]
        assert "<button" not in html
        assert "…</a>" not in html


def test_no_page_shows_the_devices_in_a_profile(root, make_file):
    data = make_file(kind="ad_hoc", devices=[UDID])
    report = upload(root, data)
    root.post(address("lineage_upload"), {"token": token_in(report)})
    profile = ProvisioningProfile.objects.get()
    pages = [
        report,
        root.get(address("lineage_change", profile.lineage_id)),
        root.get(address("provisioningprofile_change", profile.pk)),
        root.get(address("lineage_changelist")),
    ]
    for page in pages:
        assert page.status_code == 200
        assert UDID not in page.content.decode()
    assert UDID not in str(list(AuditEvent.objects.values_list("details", flat=True)))
