"""Enterprise apps: kept as they came, handed out by links of one device and a day, and never once they cannot run."""

import io
import plistlib
from datetime import timedelta

import pytest
from django.core.files.storage import default_storage
from django.core.signing import Signer
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from devices.commands import enqueue_each
from devices.groups import ensure_all_group
from devices.models import Command, Enrollment, EnrollmentState
from devices.queue import Offer
from endpoint import handlers
from endpoint.log_filter import cut_tokens
from operations.models import AuditEvent
from provisioning import enterprise_apps, rollout, uploading
from provisioning.errors import ProvisioningRefused
from provisioning.models import AppBundle, AppVersion, EnterpriseApp, LineageAssignment
from tests.protocol.provisioning_files import NOW, in_house
from tests.provisioning.files import ipa
from tests.provisioning.phones import Phone, enrollments

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_roots")]


@pytest.fixture(autouse=True)
def _media(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path / "media"


def add(data, now=NOW):
    file = io.BytesIO(data)
    return enterprise_apps.add_version(file, uploading.read_upload(file, now), actor=None, now=now)[0]


@pytest.fixture
def version():
    return add(ipa(extension=in_house(bundle_identifier="com.example.pos.share")))


@pytest.fixture
def enrollment():
    return enrollments(1, NOW)[0]


def content_of(version):
    with version.file.open("rb") as file:
        return file.read()


def test_a_file_is_kept_as_it_came_with_every_bundle_in_it(version):
    assert version.app.bundle_identifier == "com.example.pos"
    assert content_of(version)[:2] == b"PK"
    assert [bundle.bundle_identifier for bundle in version.bundles.order_by("path")] == [
        "com.example.pos",
        "com.example.pos.share",
    ]


def test_the_same_file_again_is_the_same_version():
    data = ipa()
    assert add(data) == add(data)
    assert AppVersion.objects.count() == AppBundle.objects.count() == 1
    assert AuditEvent.objects.filter(action="app.upload").count() == 1


def test_a_new_file_is_another_version_of_the_same_app(version):
    profile = bytes(version.bundles.first().profile.data)
    newer = add(ipa(profile, version="8"))
    assert newer.app == version.app
    assert EnterpriseApp.objects.count() == 1


def test_a_link_is_good_for_its_device_version_and_time_only(version, enrollment):
    token = enterprise_apps.sign_link(enrollment.pk, version.pk, NOW)
    link = enterprise_apps.read_link(token, NOW)
    assert (link.enrollment_id, link.version_id) == (enrollment.pk, version.pk)
    assert enterprise_apps.read_link(token, NOW + enterprise_apps.LINK_LIFETIME) is None


@pytest.mark.parametrize("change", ["1-1-99999999999", "x", "", "1-1", "1-1-9e9", "-1--1-1"])
def test_a_link_that_we_did_not_sign_opens_nothing(version, enrollment, change):
    signature = enterprise_apps.sign_link(enrollment.pk, version.pk, NOW).rpartition(".")[2]
    assert enterprise_apps.read_link(f"{change}.{signature}", NOW) is None
    assert enterprise_apps.read_link(change, NOW) is None
    # Another of the portal's signatures is no key to an app.
    assert enterprise_apps.read_link(Signer(sep=".", salt="another").sign("1-1-99999999999"), NOW) is None


def get(name, token):
    return Client().get(reverse(name, args=[token]))


def test_a_device_gets_the_manifest_and_the_file_without_a_session(version, enrollment, settings):
    now = timezone.now()
    token = enterprise_apps.sign_link(enrollment.pk, version.pk, now)
    response = get("app-manifest", token)
    assert response["Content-Type"] == "application/xml"
    assert response["Cache-Control"] == "no-store"
    (item,) = plistlib.loads(response.content)["items"]
    assert item["metadata"]["bundle-identifier"] == "com.example.pos"
    assert item["metadata"]["bundle-version"] == "7"
    url = item["assets"][0]["url"]
    assert url == f"{settings.PORTAL_URL}{reverse('app-file', args=[token])}"
    download = get("app-file", token)
    assert b"".join(download.streaming_content) == content_of(version)
    download.close()


def test_nobody_else_gets_anything(version, enrollment):
    now = timezone.now()
    ended = enterprise_apps.sign_link(enrollment.pk, version.pk, now - timedelta(days=2))
    unknown = enterprise_apps.sign_link(enrollment.pk, 999_999, now)
    for token in (ended, unknown, "x.y", "1-1-99999999999"):
        assert get("app-manifest", token).status_code == 404
        assert get("app-file", token).status_code == 404


def test_a_link_ends_with_its_enrollment(version, enrollment):
    token = enterprise_apps.sign_link(enrollment.pk, version.pk, timezone.now())
    Enrollment.objects.filter(pk=enrollment.pk).update(state=EnrollmentState.CHECKED_OUT)
    assert get("app-file", token).status_code == 404


def test_a_file_that_is_gone_is_no_failure(version, enrollment):
    default_storage.delete(version.file.name)
    token = enterprise_apps.sign_link(enrollment.pk, version.pk, timezone.now())
    assert get("app-file", token).status_code == 404


def test_tokens_are_cut_from_logs(version, enrollment):
    token = enterprise_apps.sign_link(enrollment.pk, version.pk, NOW)
    assert token.rpartition(".")[2] not in cut_tokens(f"Not Found: /app/{token}/app.ipa")


def test_the_command_refers_to_the_version_and_its_link_is_made_when_the_device_asks(version, enrollment):
    everybody = Enrollment.objects.all()
    assert enterprise_apps.install(version, everybody, reason="new tills", actor=None, now=NOW) == 1
    command = Command.objects.get(request_type="InstallApplication")
    late = NOW + timedelta(days=20)
    offer = Offer(command_id=1, uuid=command.uuid, request_type=command.request_type, params=_stored(command))
    sent = plistlib.loads(handlers.render(offer, enrollment.pk, late))["Command"]
    assert sent["RequestType"] == "InstallApplication"
    token = sent["ManifestURL"].split("/app/")[1].split("/")[0]
    assert enterprise_apps.read_link(token, late).enrollment_id == enrollment.pk
    event = AuditEvent.objects.get(action="app.install")
    assert (event.reason, event.details["enrollments"]) == ("new tills", 1)


def _stored(command):
    """The parameters as the queue's own SQL reads them."""
    from certificates.encryption import encrypt

    return encrypt(bytes(command.params))


def test_an_app_without_a_version_of_ours_is_sent_as_it_is_written(enrollment):
    from certificates.encryption import encrypt
    from protocol.plist import dumps

    offer = Offer(
        command_id=1, uuid="U", request_type="InstallApplication", params=encrypt(dumps({"iTunesStoreID": 1}))
    )
    assert plistlib.loads(handlers.render(offer, enrollment.pk, NOW))["Command"]["iTunesStoreID"] == 1


def test_a_command_whose_file_was_deleted_fails_alone(version, enrollment):
    enterprise_apps.install(version, Enrollment.objects.all(), reason="", actor=None, now=NOW)
    command = Command.objects.get(request_type="InstallApplication")
    enterprise_apps.delete_version(version, reason="", actor=None, now=NOW)
    offer = Offer(command_id=1, uuid=command.uuid, request_type=command.request_type, params=_stored(command))
    with pytest.raises(handlers.RenderError, match="deleted"):
        handlers.render(offer, enrollment.pk, NOW)


def test_a_file_whose_profile_has_ended_is_not_installed_any_more(version, enrollment):
    with pytest.raises(ProvisioningRefused, match="Ask for a new"):
        enterprise_apps.install(version, Enrollment.objects.all(), reason="", actor=None, now=NOW + timedelta(days=366))
    assert not Command.objects.exists()


def test_macs_are_left_out(version, enrollment):
    enrollment.device.platform = "macOS"
    enrollment.device.save()
    assert enterprise_apps.install(version, Enrollment.objects.all(), reason="", actor=None, now=NOW) == 0


def test_a_device_validates_the_apps_once_when_it_proves_their_new_profile(version, enrollment):
    lineage = version.bundles.first().lineage
    LineageAssignment.objects.create(lineage=lineage, group=ensure_all_group(NOW), created_at=NOW)
    phone = Phone(enrollment)
    rollout.plan([enrollment.pk], NOW)
    phone.connect(NOW)
    asked = Command.objects.filter(request_type="ValidateApplications")
    assert [plistlib.loads(bytes(command.params))["Identifiers"] for command in asked] == [["com.example.pos"]]
    enqueue_each([enrollment.pk], "ProvisioningProfileList", origin="daily", now=NOW + timedelta(days=1))
    phone.connect(NOW + timedelta(days=1))
    assert asked.count() == 1


def test_devices_are_asked_to_validate_every_bundle_of_an_app(version, enrollment):
    assert enterprise_apps.validate(version.app, Enrollment.objects.all(), reason="", actor=None, now=NOW) == 1
    command = Command.objects.get(request_type="ValidateApplications")
    assert plistlib.loads(bytes(command.params))["Identifiers"] == ["com.example.pos", "com.example.pos.share"]
