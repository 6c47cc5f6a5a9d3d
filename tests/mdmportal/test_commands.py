"""The commands that IT staff type: links, commands for devices, administrators, and words where they are refused."""

import io
import json
import plistlib

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

from devices.models import Command, Device, DeviceGroup, Enrollment, EnrollmentState, Invitation, PushState
from operations.models import AuditEvent

pytestmark = pytest.mark.django_db


def run(*arguments):
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def phone(now):
    device = Device.objects.create(
        serial_number="EXAMPLE1", udid="UDID-1", platform="iOS", state="enrolled", created_at=now
    )
    return Enrollment.objects.create(
        device=device, kind="device", enrollment_id="UDID-1", state=EnrollmentState.ENROLLED,
        push_state=PushState.OK, authenticated_at=now,
    )  # fmt: skip


def test_an_invitation_is_told_as_link_profile_and_end(settings, now):
    group = DeviceGroup.objects.create(name="Sales", created_at=now)
    answer = json.loads(run("invite", "--group", "Sales", "--uses", "5", "--json"))
    invitation = Invitation.objects.get()
    assert answer["url"].startswith(f"{settings.PORTAL_URL}/enroll/")
    assert answer["profile_url"] == answer["url"] + "profile"
    assert answer["expires_at"] == invitation.expires_at.isoformat()
    assert (invitation.uses, list(invitation.groups.all())) == (5, [group])


def test_the_link_of_an_invitation_is_in_no_audit_event():
    answer = json.loads(run("invite", "--json"))
    token = answer["url"].rstrip("/").rsplit("/", 1)[1]
    event = AuditEvent.objects.get(action="invitation.create")
    assert token not in json.dumps(event.details)


@pytest.mark.parametrize(
    "arguments", [["--group", "Nobody"], ["--uses", "0"], ["--hours", "-1"], ["--hours", "9" * 12]]
)
def test_an_invitation_that_cannot_be_made_is_refused_in_words(arguments):
    with pytest.raises(CommandError):
        run("invite", *arguments)
    assert not Invitation.objects.exists()


def test_a_command_is_queued_and_recorded(phone):
    answer = json.loads(run("send_command", "EXAMPLE1", "SecurityInfo", "--json"))
    command = Command.objects.get()
    assert answer == {"uuid": command.uuid}
    assert (command.request_type, command.enrollment) == ("SecurityInfo", phone)
    assert AuditEvent.objects.filter(action="command.SecurityInfo", object_id=str(phone.device_id)).exists()


def test_a_command_takes_its_keys_from_a_property_list_and_keeps_them_out_of_the_audit(phone, tmp_path):
    file = tmp_path / "params.plist"
    file.write_bytes(plistlib.dumps({"Message": "a secret word"}))
    run("send_command", "UDID-1", "DeviceLock", "--params", str(file))
    assert b"a secret word" in bytes(Command.objects.get().params)
    assert "a secret word" not in json.dumps(list(AuditEvent.objects.values_list("details", flat=True)))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["NOBODY", "SecurityInfo"], "No device"),
        (["EXAMPLE1", "NoSuchCommand"], "NoSuchCommand"),
        (["EXAMPLE1", "InstallProfile"], "InstallProfile|Payload|profile"),
        (["EXAMPLE1", "SecurityInfo", "--params", "/nonexistent"], "--params"),
        (["EXAMPLE1", "SecurityInfo", "--params", __file__], "--params"),
    ],
)
def test_a_command_that_cannot_be_sent_is_refused_in_words(phone, arguments, words):
    with pytest.raises(CommandError, match=words):
        run("send_command", *arguments)
    assert not Command.objects.exists()


def test_an_administrator_gets_a_new_password_that_is_not_recorded():
    said = json.loads(run("create_admin", "--json"))
    user = get_user_model().objects.get(username="admin")
    assert user.is_superuser
    assert user.check_password(said["password"])
    again = json.loads(run("create_admin", "--json"))
    user.refresh_from_db()
    assert user.check_password(again["password"])
    assert not user.check_password(said["password"])
    assert again["password"] not in json.dumps(list(AuditEvent.objects.values_list("details", flat=True)))
