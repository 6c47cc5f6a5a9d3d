"""What people do in the admin: asked for first, refused without the right, done once, and recorded."""

from datetime import timedelta

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from devices.models import BulkCommand, Command, CommandState, DeviceGroup, Enrollment, Identity, Invitation, Membership
from operations.models import AuditEvent, Operation
from profiles.models import Assignment, Bundle, Installation, Payload, Revision
from protocol.plist import dumps
from tests.mdmportal.admin_rows import SECRET_BYTES, administrator, furnish, reader
from tests.published import published

pytestmark = pytest.mark.django_db
DEVICES = "admin:devices_device_changelist"


@pytest.fixture
def rows(now):
    return furnish(now)


@pytest.fixture
def root(rows):
    client = Client()
    client.force_login(administrator())
    return client


def act(client, where, action, *objects, **values):
    data = {"action": action, ACTION_CHECKBOX_NAME: [obj.pk for obj in objects], "select_across": "0", **values}
    return client.post(reverse(where), data, follow=False)


def confirmed(count, **values):
    return {"confirmed": "1", "count": str(count), "reason": "because", **values}


def events(action):
    return list(AuditEvent.objects.filter(action=action))


def enroll_only(rows, **values):
    Command.objects.all().delete()
    Enrollment.objects.update(**values)


ACTS = {"lock": "DeviceLock", "restart": "RestartDevice", "clear_passcode": "ClearPasscode", "erase": "EraseDevice"}


@pytest.mark.parametrize("action", [*ACTS, "confirm_memberships"])
def test_an_act_on_devices_asks_first(root, rows, action):
    enroll_only(rows)
    response = act(root, DEVICES, action, rows.device)
    assert response.status_code == 200
    assert b"Type 1 to confirm." in response.content
    assert not Command.objects.exists()


@pytest.mark.parametrize("action", [*ACTS, "confirm_memberships"])
def test_a_wrong_count_or_no_reason_does_nothing(root, rows, action):
    enroll_only(rows)
    before = AuditEvent.objects.count()
    for values in (confirmed(2), confirmed(""), confirmed("x"), confirmed(1, reason=" ")):
        response = act(root, DEVICES, action, rows.device, **values)
        assert response.status_code == 400
    assert not Command.objects.exists()
    assert AuditEvent.objects.count() == before


@pytest.mark.parametrize(("action", "request_type"), ACTS.items())
def test_a_confirmed_act_queues_one_command_and_is_recorded(root, rows, action, request_type):
    enroll_only(rows)
    # A Mac can do all of them, without supervision.
    type(rows.device).objects.update(platform="iOS", is_supervised=True)
    response = act(root, DEVICES, action, rows.device, **confirmed(1))
    operation = Operation.objects.latest("pk")
    assert response["Location"] == reverse("admin:operations_operation_change", args=[operation.pk])
    assert (operation.title, operation.created_by.username) == (f"{request_type}: because", "root")
    command = Command.objects.get()
    assert (command.request_type, command.state) == (request_type, CommandState.QUEUED)
    assert command.origin == "root: because"
    [event] = events(f"command.{request_type}")
    assert (event.actor_name, event.object_id, event.reason) == ("root", str(rows.device.pk), "because")


def test_a_pin_is_queued_but_neither_recorded_nor_shown(root, rows):
    enroll_only(rows)
    type(rows.device).objects.update(platform="macOS")
    act(root, DEVICES, "lock", rows.device, **confirmed(1, pin="271828", message="Call us"))
    assert b"271828" in bytes(Command.objects.get().params)
    [event] = events("command.DeviceLock")
    assert "271828" not in str(event.details)
    assert event.details["Message"] == "Call us"
    operation = reverse("admin:operations_operation_change", args=[Operation.objects.latest("pk").pk])
    for page in (
        operation,
        reverse("device_page", args=[rows.device.pk]),
        reverse("admin:operations_operation_changelist"),
    ):
        assert b"271828" not in root.get(page).content
    assert bytes(BulkCommand.objects.latest("pk").params) == b""


def test_a_device_that_is_not_enrolled_is_named(root, rows):
    enroll_only(rows, state="checked_out")
    response = act(root, DEVICES, "lock", rows.device, **confirmed(1))
    assert not Command.objects.exists()
    page = root.get(response["Location"]).content.decode()
    assert "The device is not enrolled." in page
    assert reverse("device_page", args=[rows.device.pk]) in page


@pytest.mark.parametrize("action", [*ACTS, "push_now", "refresh_inventory", "confirm_memberships"])
def test_an_act_without_its_right_is_refused(rows, action):
    client = Client()
    client.force_login(reader())
    enroll_only(rows)
    before = AuditEvent.objects.count()
    act(client, DEVICES, action, rows.device, **confirmed(1))
    assert not Command.objects.exists()
    assert AuditEvent.objects.count() == before


def test_the_right_to_restart_is_no_right_to_erase(rows):
    user, client = reader(), Client()
    user.user_permissions.add(Permission.objects.get(codename="restart_device"))
    client.force_login(user)
    enroll_only(rows)
    type(rows.device).objects.update(is_supervised=True)
    act(client, DEVICES, "erase", rows.device, **confirmed(1))
    assert not Command.objects.exists()
    act(client, DEVICES, "restart", rows.device, **confirmed(1))
    assert Command.objects.get().request_type == "RestartDevice"


def test_whoever_started_an_operation_may_watch_that_one_only(rows, now):
    client, user = Client(), get_user_model().objects.create(username="desk", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_device", "restart_device"]))
    client.force_login(user)
    enroll_only(rows)
    response = act(client, DEVICES, "restart", rows.device, **confirmed(1))
    assert b"1 done, 0 failed, 0 waiting, of 1" in client.get(response["Location"]).content
    assert client.get(reverse("admin:operations_operation_change", args=[rows.operation.pk])).status_code == 403
    assert client.get(reverse("admin:operations_operation_changelist")).status_code == 403


def test_an_operation_shows_its_progress_and_the_first_failures(root, now):
    items = {number: f"phone {number}" for number in range(200)}
    operation = Operation.objects.begin("command.DeviceLock", title="Lock", items=items, actor=None, now=now)
    for item in operation.items.waiting()[:130]:
        item.claim()
        if item.subject_id >= 10:
            item.fail("It has no screen.")
    operation.tally(now)
    page = reverse("admin:operations_operation_change", args=[operation.pk])
    response = root.get(page)
    html = response.content.decode()
    assert '<progress class="portal-progress" max="200" value="130">' in html
    assert "10 done, 120 failed, 70 waiting, of 200" in html
    assert html.count("It has no screen.") == 100
    assert f'<a href="{reverse("device_page", args=[10])}">phone 10</a>' in html
    assert "and 20 more" in html
    assert response["Refresh"] == "5"
    for item in operation.items.waiting():
        item.claim()
    operation.tally(now)
    assert "Refresh" not in root.get(page)


def test_push_and_refresh_take_one_click(root, rows):
    enroll_only(rows)
    act(root, DEVICES, "push_now", rows.device)
    assert Enrollment.objects.get().next_push_at is not None
    act(root, DEVICES, "refresh_inventory", rows.device)
    assert Command.objects.count() == 3
    assert len(events("device.push")) == len(events("device.refresh")) == 1


def test_suspended_memberships_count_again_after_confirmation(root, rows, now):
    Membership.objects.update(suspended_at=now)
    act(root, DEVICES, "confirm_memberships", rows.device, **confirmed(1))
    assert Membership.objects.get().suspended_at is None
    assert events("device.confirm_memberships")


def test_commands_are_cancelled_after_confirmation(root, rows):
    where = "admin:devices_command_changelist"
    assert act(root, where, "cancel", rows.command, **confirmed(7)).status_code == 400
    assert Command.objects.get().state == CommandState.QUEUED
    act(root, where, "cancel", rows.command, **confirmed(1))
    assert Command.objects.get().state == CommandState.CANCELLED
    assert len(events("command.cancel")) == 1
    # An answered command is left alone, and nobody is asked to type 0.
    assert act(root, where, "cancel", rows.command).status_code == 302


def test_an_invitation_is_revoked_after_confirmation(root, rows):
    where = "admin:devices_invitation_changelist"
    assert act(root, where, "revoke", rows.invitation, **confirmed(3)).status_code == 400
    assert Invitation.objects.get().revoked_at is None
    act(root, where, "revoke", rows.invitation, **confirmed(1))
    assert Invitation.objects.get().revoked_at is not None
    assert len(events("invitation.revoke")) == 1


def test_an_identity_is_revoked_after_confirmation_and_its_device_is_cut_off(root, rows):
    identity = Identity.objects.get(enrollment=rows.enrollment)
    where = "admin:certificates_issuedcertificate_changelist"
    assert act(root, where, "revoke", identity.certificate, **confirmed(3)).status_code == 400
    assert Identity.objects.filter(pk=identity.pk).exists()
    act(root, where, "revoke", identity.certificate, **confirmed(1))
    assert not Identity.objects.filter(pk=identity.pk).exists()
    assert len(events("certificate.revoke")) == 1


@pytest.mark.parametrize(
    ("page", "lookup"),
    [
        ("admin:devices_enrollment_changelist", "push_magic__startswith"),
        ("admin:devices_enrollment_changelist", "token"),
        ("admin:devices_command_changelist", "enrollment__push_magic__startswith"),
        ("admin:certificates_issuedcertificate_changelist", "private_key_pem__startswith"),
    ],
)
def test_what_no_page_shows_cannot_be_guessed_by_filtering(rows, page, lookup):
    client = Client()
    client.force_login(reader())
    assert client.get(reverse(page), {lookup: "a"}).status_code == 400
    assert client.get(reverse(page), {"id__gt": "0"}).status_code == 200


def test_an_invitation_shows_its_link_once(root, rows, settings):
    data = {"uses": "2", "hours": "3", "note": "Ana", "serial_number": "", "groups": [rows.group.pk]}
    response = root.post(reverse("invite"), data)
    made = Invitation.objects.get(note="Ana")
    assert (made.uses, made.expires_at - made.created_at) == (2, timedelta(hours=3))
    html = response.content.decode()
    token = html.split(f"{settings.PORTAL_URL}/enroll/")[1].split("/")[0]
    assert "<svg" in html
    assert "no-store" in response["Cache-Control"]
    [event] = events("invitation.create")
    assert token not in str(event.details)
    for page in (reverse("invite"), reverse("admin:devices_invitation_change", args=[made.pk])):
        assert token not in root.get(page).content.decode()


def test_an_invitation_for_nobody_is_refused(root, rows):
    for data in ({}, {"uses": "0", "hours": "3"}, {"uses": "1", "hours": "0"}, {"uses": "999999999", "hours": "1"}):
        assert root.post(reverse("invite"), data).status_code == 400
    assert Invitation.objects.count() == 1


def test_a_group_is_filled_by_serial_numbers_and_recorded(root, rows):
    page = reverse("admin:devices_devicegroup_add")
    response = root.post(page, {"name": "Sales", "description": "", "add": "c02hostile\nNOSUCH", "remove": ""})
    assert b"No such device: NOSUCH." in response.content
    assert not DeviceGroup.objects.filter(name="Sales").exists()
    root.post(page, {"name": "Sales", "description": "", "add": " c02hostile ", "remove": ""})
    assert list(DeviceGroup.objects.get(name="Sales").devices.all()) == [rows.device]
    assert events("devicegroup.add")
    assert events("group.change")


def test_the_group_of_all_cannot_be_changed(root, rows):
    everyone = DeviceGroup.objects.get(name="all")
    page = reverse("admin:devices_devicegroup_change", args=[everyone.pk])
    assert root.get(page).status_code == 200
    assert root.post(page, {"name": "few", "description": ""}).status_code == 403


def assign(client, bundle, group, excluded=False):
    address = reverse("admin:profiles_bundle_assign", args=[bundle.pk]) + f"?group={group.pk}"
    return address + "&excluded=on" if excluded else address


def test_assigning_says_how_many_devices_and_asks(root, rows):
    Assignment.objects.all().delete()
    page = assign(root, rows.bundle, rows.group)
    response = root.get(page)
    assert b"1 more devices get" in response.content
    assert root.post(page, confirmed(5)).status_code == 400
    assert not Assignment.objects.exists()
    assert root.post(page, confirmed(1)).status_code == 302
    assert Assignment.objects.get().group == rows.group
    [event] = events("bundle.assign")
    assert event.details == {"group": rows.group.name, "excluded": False}


def test_excluding_says_who_loses_the_bundle(root, rows):
    everyone = DeviceGroup.objects.get(name="all")
    page = assign(root, rows.bundle, everyone, excluded=True)
    assert b"1 devices of all lose" in root.get(page).content
    root.post(page, confirmed(1))
    assert Assignment.objects.get(group=everyone).excluded


def test_taking_an_assignment_back_asks(root, rows):
    where = "admin:profiles_assignment_changelist"
    response = act(root, where, "unassign", rows.assignment)
    assert b"1 devices lose it, 0 get it." in response.content
    act(root, where, "unassign", rows.assignment, **confirmed(4))
    assert Assignment.objects.exists()
    act(root, where, "unassign", rows.assignment, **confirmed(1))
    assert not Assignment.objects.exists()
    assert events("bundle.unassign")


def looked_at(rows, count):
    """The answer of the publish page as it was shown."""
    rows.bundle.refresh_from_db()
    return confirmed(count, draft_version=str(rows.bundle.draft_version))


def test_publishing_says_the_number_and_the_reach_and_asks(root, rows):
    Payload.objects.update(payload_type="com.apple.mobiledevice.passwordpolicy", content=dumps({"minLength": 6}))
    page = reverse("admin:profiles_bundle_publish", args=[rows.bundle.pk])
    response = root.get(page)
    assert b"Publish v2 to 1 device" in response.content
    assert root.post(page, looked_at(rows, 2)).status_code == 400
    assert Revision.objects.count() == 1
    assert root.post(page, looked_at(rows, 1)).status_code == 302
    rows.bundle.refresh_from_db()
    assert rows.bundle.current_revision.number == 2
    [event] = events("bundle.publish")
    assert event.details["revision"] == 2


def test_publishing_what_no_device_takes_tells_why(root, rows):
    Payload.objects.all().delete()
    page = reverse("admin:profiles_bundle_publish", args=[rows.bundle.pk])
    response = root.post(page, looked_at(rows, 1), follow=True)
    assert b"The bundle is empty" in response.content
    assert Revision.objects.count() == 1
    assert not events("bundle.publish")


@pytest.mark.parametrize("page", ["publish", "assign", "import"])
def test_a_reader_reaches_no_page_that_changes_a_bundle(rows, page):
    client = Client()
    client.force_login(reader())
    address = reverse(f"admin:profiles_bundle_{page}", args=[rows.bundle.pk])
    assert client.get(address).status_code == 403
    assert client.post(address, confirmed(1)).status_code == 403


def test_failed_installations_are_tried_again(root, rows):
    act(root, "admin:profiles_installation_changelist", "retry", rows.installation)
    assert Installation.objects.get().state == "waiting"
    assert len(events("installation.retry")) == 1


def test_a_profile_is_downloaded_as_it_is_signed_and_that_is_recorded(root, rows):
    page = reverse("admin:profiles_profile_download", args=[rows.profile.pk])
    assert root.get(page).status_code == 405
    response = root.post(page)
    assert response.content == SECRET_BYTES
    assert response["Content-Type"] == "application/x-apple-aspen-config"
    assert len(events("profile.export")) == 1
    client = Client()
    client.force_login(reader())
    assert client.post(page).status_code == 403
    assert len(events("profile.export")) == 1


def test_a_published_bundle_cannot_be_deleted_and_a_draft_can(root, rows, now):
    assert root.post(reverse("admin:profiles_bundle_delete", args=[rows.bundle.pk]), {"post": "yes"}).status_code == 403
    draft = Bundle.objects.create(name="Draft", identifier="d", created_at=now)
    page = reverse("admin:profiles_bundle_delete", args=[draft.pk])
    assert root.get(page).status_code == 200
    root.post(page, {"post": "yes"})
    assert not Bundle.objects.filter(name="Draft").exists()
    assert events("bundle.delete")


def test_a_change_of_a_groups_members_plans_them_at_once(root, rows, django_capture_on_commit_callbacks):
    group = DeviceGroup.objects.create(name="Floor 3", created_at=rows.device.created_at)
    where = reverse("admin:devices_devicegroup_change", args=[group.pk])
    with django_capture_on_commit_callbacks(execute=True):
        root.post(where, {"name": "Floor 3", "description": "", "add": rows.device.serial_number, "remove": ""})
    channel = Enrollment.objects.enrolled().device_channel().get(device=rows.device)
    assert ("profiles.tasks.plan_enrollments", [[channel.pk]]) in published()


def test_who_uses_a_device_is_written_recorded_and_planned(root, rows, django_capture_on_commit_callbacks):
    page = reverse("admin:devices_device_change", args=[rows.device.pk])
    said = {"user_name": "ada", "user_full_name": "Ada L.", "user_email": "ada@example.com", "asset_tag": "A-1"}
    published()
    with django_capture_on_commit_callbacks(execute=True):
        response = root.post(page, {**said, "serial_number": "FORGED", "state": "unenrolled"})
    assert response.status_code == 302
    rows.device.refresh_from_db()
    assert {name: getattr(rows.device, name) for name in said} == said
    assert (rows.device.serial_number, rows.device.state) == ("C02HOSTILE", "enrolled")
    assert ("profiles.tasks.plan_enrollments", [[rows.enrollment.pk]]) in published()
    (event,) = events("device.change")
    assert "ada@example.com" not in str(event.details)


def test_an_address_that_is_none_is_refused(root, rows):
    response = root.post(reverse("admin:devices_device_change", args=[rows.device.pk]), {"user_email": "ada"})
    assert response.status_code == 200
    rows.device.refresh_from_db()
    assert rows.device.user_email == ""


def test_describing_a_device_writes_no_other_column(root, rows):
    with CaptureQueriesContext(connection) as queries:
        root.post(reverse("admin:devices_device_change", args=[rows.device.pk]), {"asset_tag": "A-2"})
    (update,) = [query["sql"] for query in queries if query["sql"].startswith('UPDATE "devices_device"')]
    assert "asset_tag" in update
    assert "os_version" not in update
