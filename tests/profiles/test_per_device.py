"""Profiles that differ per device: one UUID per set of values, sent again when a value changes, held while one lacks."""

import plistlib
import time

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices.models import Command, CommandState, Device, Enrollment, LadderState, VerdictState
from profiles import gate, rendering, secrets
from profiles.assignment import assign, plan
from profiles.delivery import render_install_profile
from profiles.errors import DeliveryError
from profiles.models import Bundle, Installation, Part, Profile, Scope, Secret
from profiles.publishing import publish
from protocol.identity import EnrollmentKind
from protocol.mobileconfig import unwrap_mobileconfig
from protocol.plist import loads_dict
from tests.profiles.fleet import PASSCODE, VPN, WIFI, FakeDevice, bundle_of, enrollments, payload

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("signing")]

HOSTILE = "{{ secret.wifi }}</string><true/>"


def published(*payloads, now) -> Bundle:
    """A published bundle whose profiles hold their variables."""
    bundle = bundle_of(*payloads, now=now)
    publish(bundle, by=None, now=now)
    return bundle


def describe(enrollment: Enrollment, **facts: str) -> None:
    Device.objects.filter(pk=enrollment.device_id).update(**facts)


def delivered(device: FakeDevice) -> dict:
    """What the device's open InstallProfile would bring it."""
    command = Command.objects.open().get(enrollment=device.enrollment, request_type="InstallProfile")
    params = loads_dict(bytes(command.params))
    content, signer = unwrap_mobileconfig(
        render_install_profile(params, device.enrollment.pk, device.clock.now).payload
    )
    assert signer is not None
    return content.content


def test_each_device_gets_its_own_values_under_its_own_uuid(make_device, clock, everyone):
    one, two = make_device(), make_device()
    describe(one.enrollment, serial_number="C02ONE", user_email="ada@example.com")
    describe(two.enrollment, serial_number="C02TWO", user_email="bob@example.com")
    text = "{{ user.email }} on {{ device.serial_number }}"
    assign(published(payload(WIFI, UserName=text), now=clock()), everyone, now=clock())
    for device in (one, two):
        device.plan()
    profile = Profile.objects.get()
    first, second = delivered(one), delivered(two)
    assert first["PayloadContent"][0]["UserName"] == "ada@example.com on C02ONE"
    assert second["PayloadContent"][0]["UserName"] == "bob@example.com on C02TWO"
    assert len({first["PayloadUUID"], second["PayloadUUID"], profile.uuid}) == 3
    assert first["PayloadUUID"] == one.row(Part.WHOLE).payload_uuid
    assert first["PayloadIdentifier"] == profile.identifier
    for device in (one, two):
        device.connect()
        assert device.states() == {"whole": "installed"}


def test_what_a_device_calls_itself_arrives_as_text(device, clock, everyone):
    secrets.store("wifi", b"hunter2", actor=None, now=clock())
    describe(device.enrollment, name=HOSTILE)
    content = payload(WIFI, Text="{{ device.name }}", Password="{{ secret.wifi }}")
    assign(published(content, now=clock()), everyone, now=clock())
    device.plan()
    arrived = delivered(device)["PayloadContent"][0]
    assert (arrived["Text"], arrived["Password"]) == (HOSTILE, "hunter2")


def test_a_renamed_device_gets_the_profile_again(device, clock, everyone):
    describe(device.enrollment, name="Old")
    assign(published(payload(WIFI, Text="{{ device.name }}"), now=clock()), everyone, now=clock())
    device.plan()
    device.connect()
    before = device.row(Part.WHOLE).payload_uuid
    assert device.plan().changed == 0
    describe(device.enrollment, name="New")
    device.plan()
    assert delivered(device)["PayloadContent"][0]["Text"] == "New"
    device.connect()
    row = device.row(Part.WHOLE)
    assert row.state == LadderState.INSTALLED
    assert row.payload_uuid != before


def test_a_new_value_of_a_secret_reaches_the_device_and_no_row(device, clock, everyone):
    secrets.store("wifi", b"hunter2", actor=None, now=clock())
    assign(published(payload(WIFI, Password="{{ secret.wifi }}"), now=clock()), everyone, now=clock())
    device.plan()
    device.connect()
    secrets.rotate(Secret.objects.get(), b"tr0ub4dor", reason="leaked", actor=None, now=clock())
    device.plan()
    assert delivered(device)["PayloadContent"][0]["Password"] == "tr0ub4dor"
    for command in Command.objects.all():
        assert b"tr0ub4dor" not in bytes(command.params)
    assert b"tr0ub4dor" not in bytes(Profile.objects.get().content)
    device.connect()
    assert device.states() == {"whole": "installed"}


def test_a_missing_value_holds_the_profile_and_says_which(device, clock, everyone):
    text = "{{ user.email }} {{ secret.gone }}"
    # It was there when the bundle was published.
    secrets.store("gone", b"there", actor=None, now=clock())
    assign(published(payload(WIFI, UserName=text), now=clock()), everyone, now=clock())
    Secret.objects.all().delete()
    device.plan()
    row = device.row(Part.WHOLE)
    assert (row.state, device.queued()) == (LadderState.WAITING, [])
    assert "user.email" in row.reason
    assert "secret.gone" in row.reason
    assert device.plan().changed == 0
    describe(device.enrollment, user_email="ada@example.com")
    secrets.store("gone", b"here", actor=None, now=clock())
    device.plan()
    device.connect()
    assert device.states() == {"whole": "installed"}


def test_a_value_that_goes_away_keeps_what_is_installed(device, clock, everyone):
    describe(device.enrollment, user_email="ada@example.com")
    bundle = published(payload(WIFI, UserName="{{ user.email }}"), now=clock())
    assign(bundle, everyone, now=clock())
    device.plan()
    device.connect()
    describe(device.enrollment, user_email="")
    device.plan()
    assert device.states() == {"whole": "waiting"}
    assert device.queued() == []
    assert bundle.identifier in device.profiles
    # Nobody wants it any more: what may be there is removed all the same.
    bundle.assignments.all().delete()
    device.plan()
    assert device.queued() == ["RemoveProfile"]


def test_a_value_that_goes_away_before_delivery_delivers_no_hole(device, clock, everyone):
    describe(device.enrollment, user_email="ada@example.com")
    assign(published(payload(WIFI, UserName="{{ user.email }}"), now=clock()), everyone, now=clock())
    device.plan()
    describe(device.enrollment, user_email="")
    with pytest.raises(DeliveryError, match=r"user\.email"):
        delivered(device)


def test_a_name_that_no_property_list_can_hold_is_delivered_without_what_it_cannot_hold(device, clock, everyone):
    describe(device.enrollment, name="a\x01b\ufffec")
    assign(published(payload(WIFI, Text="{{ device.name }}"), now=clock()), everyone, now=clock())
    device.plan()
    assert delivered(device)["PayloadContent"][0]["Text"] == "abc"


def test_a_requirement_with_variables_is_proved_and_a_new_value_takes_nothing_away(device, clock, everyone):
    describe(device.enrollment, asset_tag="A-1")
    bundle = published(payload(PASSCODE, Text="{{ device.asset_tag }}"), payload(VPN), now=clock())
    assign(bundle, everyone, now=clock())
    device.passcode = True
    device.plan()
    device.connect()
    clock.forward(minutes=10)
    device.poll()
    assert device.states() == {"requirement": "installed", "capability": "installed"}
    describe(device.enrollment, asset_tag="A-2")
    # The list still holds the profile with the old value: that is no absence of the requirement.
    device.ask("ProfileList")
    device.answer(Command.objects.open().filter(request_type="ProfileList").get())
    assert gate.verdicts_of([device.enrollment.pk])[0].state != VerdictState.NOT_COMPLIANT
    assert "RemoveProfile" not in device.queued()
    clock.forward(minutes=10)
    device.connect()
    device.poll()
    assert device.states() == {"requirement": "installed", "capability": "installed"}
    assert "RemoveProfile" not in device.history


def test_anothers_profile_under_the_requirements_identifier_is_no_variant(device, clock, everyone):
    describe(device.enrollment, asset_tag="A-1")
    bundle = published(payload(PASSCODE, Text="{{ device.asset_tag }}"), payload(VPN), now=clock())
    profile = Profile.objects.get(revision__bundle=bundle, part=Part.REQUIREMENT)
    assert rendering.is_variant(rendering.device_uuid(profile.uuid, {"device.asset_tag": "X"}).lower(), [profile.uuid])
    assert not rendering.is_variant(rendering.device_uuid("other", {"device.asset_tag": "X"}), [profile.uuid])
    assert not rendering.is_variant(profile.uuid, [profile.uuid])


def test_a_plan_with_variables_costs_the_same_statements_for_20_and_for_200_devices(clock, everyone):
    secrets.store("wifi", b"hunter2", actor=None, now=clock())
    text = "{{ device.serial_number }} {{ device.udid }} {{ secret.wifi }}"
    assign(published(payload(WIFI, Text=text), now=clock()), everyone, now=clock())
    counts = []
    for number in (20, 200):
        ids = [enrollment.pk for enrollment in enrollments(number, clock())]
        Device.objects.filter(enrollments__in=ids).update(serial_number="C02")
        with CaptureQueriesContext(connection) as captured:
            plan(ids, clock())
        counts.append(sum(query["sql"].startswith("SELECT") for query in captured))
    assert counts[0] == counts[1]
    assert Installation.objects.filter(state="queued").count() == 220
    assert Installation.objects.values("payload_uuid").distinct().count() == 220


def test_what_is_made_for_a_device_is_made_in_time_and_kept_nowhere(device, clock, everyone):
    secrets.store("wifi", b"hunter2", actor=None, now=clock())
    assign(published(payload(WIFI, Password="{{ secret.wifi }}"), now=clock()), everyone, now=clock())
    device.plan()
    delivered(device)
    started = time.process_time()
    for _ in range(10):
        delivered(device)
    assert (time.process_time() - started) / 10 < 0.05
    Secret.objects.all().delete()
    with pytest.raises(DeliveryError, match=r"secret\.wifi"):
        delivered(device)


def test_a_preview_shows_the_devices_values_and_no_secret(device, clock):
    secrets.store("wifi", b"hunter2", actor=None, now=clock())
    describe(device.enrollment, serial_number="C02ONE")
    contents = [{"A": "{{ device.serial_number }} {{ user.email }} {{ enrollment.id }}", "B": "{{ secret.wifi }}"}]
    shown = rendering.preview(contents, Device.objects.get(pk=device.enrollment.device_id))
    enrollment_id = device.enrollment.enrollment_id
    assert shown == [{"A": f"C02ONE {{{{ user.email }}}} {enrollment_id}", "B": "•••• secret.wifi"}]
    assert b"hunter2" not in plistlib.dumps(shown)


# --- user channels -------------------------------------------------------------------------------------------------


@pytest.fixture
def mac(make_device, clock):
    """A Mac, and the channel of the user who signed in."""
    device = make_device(platform="macOS")
    channel = Enrollment.objects.create(
        device=device.enrollment.device, parent=device.enrollment, kind=EnrollmentKind.USER, state="enrolled",
        enrollment_id=f"{device.enrollment.enrollment_id}:USER", user_short_name="ada", user_long_name="Ada L.",
        authenticated_at=clock.now,
    )  # fmt: skip
    return device, FakeDevice(channel, clock)


def test_the_scope_says_which_channel_gets_a_bundle(mac, device, clock, everyone):
    machine, user = mac
    system = published(payload(WIFI, "system"), now=clock())
    own = published(payload(WIFI, "own", Text="{{ user.name }}/{{ user.full_name }}"), now=clock())
    Bundle.objects.filter(pk=own.pk).update(scope=Scope.USER)
    for bundle in (system, own):
        assign(bundle, everyone, now=clock())
    for each in (machine, user, device):
        each.plan()
        each.connect()
    assert [list(each.profiles) for each in (machine, user, device)] == [
        [system.identifier], [own.identifier], [system.identifier],
    ]  # fmt: skip
    assert set(Installation.objects.values_list("state", flat=True)) == {"installed"}
    own.assignments.all().delete()
    user.plan()
    user.connect()
    assert user.profiles == {}


def test_a_shared_ipads_users_get_nothing_of_a_macs(device, clock, everyone):
    channel = Enrollment.objects.create(
        device=device.enrollment.device, parent=device.enrollment, kind=EnrollmentKind.SHARED_IPAD_USER,
        state="enrolled", enrollment_id="X:ada", authenticated_at=clock.now,
    )  # fmt: skip
    bundle = published(payload(WIFI), now=clock())
    Bundle.objects.filter(pk=bundle.pk).update(scope=Scope.USER)
    assign(bundle, everyone, now=clock())
    assert plan([channel.pk, device.enrollment.pk], clock()).queued == 0


def test_on_a_users_channel_the_address_of_somebody_else_is_no_value(mac):
    _, user = mac
    device = user.enrollment.device
    device.user_name, device.user_full_name, device.user_email = "bob", "Bob", "bob@example.com"
    known = rendering.facts(device, user.enrollment)
    assert (known["user.name"], known["user.full_name"], known["user.email"]) == ("ada", "Ada L.", "")
    device.user_name = "ada"
    assert rendering.facts(device, user.enrollment)["user.email"] == "bob@example.com"


def test_a_user_channel_is_asked_for_its_list_and_not_for_the_devices_security(mac, clock, everyone):
    _, user = mac
    bundle = published(payload("com.apple.applicationaccess"), payload(VPN), now=clock())
    Bundle.objects.filter(pk=bundle.pk).update(scope=Scope.USER)
    assign(bundle, everyone, now=clock())
    user.plan()
    user.connect()
    assert user.states() == {"requirement": "installed", "capability": "installed"}
    clock.forward(days=1)
    user.history.clear()
    user.poll()
    assert user.history == ["ProfileList"]
    assert not Command.objects.filter(state=CommandState.UNRENDERABLE).exists()
