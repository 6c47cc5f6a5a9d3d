"""Planning: what is wanted minus what is there, set-based and idempotent."""

import re
from datetime import timedelta
from itertools import groupby

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices.groups import add_devices
from devices.models import Command, CommandState, DeviceGroup, Membership
from profiles.assignment import assign, plan, plan_all, plan_due, unassign
from profiles.models import Bundle, DeliveryRule, Installation
from profiles.publishing import publish
from tests.profiles.fleet import PASSCODE, VPN, WIFI, bundle_of, enrollments, payload

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("signing")]


def published(*payloads, now, rule=DeliveryRule.AFTER_COMPLIANCE) -> Bundle:
    bundle = bundle_of(*payloads, now=now, rule=rule)
    publish(bundle, by=None, now=now)
    return bundle


def edit(bundle: Bundle, role: str) -> None:
    """Change the draft's payloads of one role."""
    for draft in bundle.payloads.filter(role=role):
        draft.content = draft.content.replace(b"</dict>", b"<key>Changed</key><integer>1</integer></dict>")
        draft.save()


def statements(number: int, now) -> list[str]:
    """The statements of one plan over so many new enrollments, with their values cut out.

    Runs of the same INSERT or UPDATE count once: Django cuts them at SQLite's 999 parameters.
    """
    ids = [enrollment.pk for enrollment in enrollments(number, now)]
    with CaptureQueriesContext(
        connection,
    ) as captured:
        plan(ids, now)
    shapes = [re.sub(r"(VALUES|IN|CASE) .*", r"\1", query["sql"][:4000], flags=re.DOTALL) for query in captured]
    return [shape for shape, _ in groupby(shapes)]


def test_a_plan_decrypts_nothing(clock, everyone):
    # Drafts and files may be megabytes, and every report of a device leads to a plan.
    assign(published(payload(PASSCODE), payload(VPN), now=clock()), everyone, now=clock())
    read = [sql.partition(" FROM ")[0] for sql in statements(1, clock())]
    assert not [sql for sql in read if re.search(r'"(draft|original|content|signed)"', sql)]


def test_a_plan_costs_the_same_statements_for_50_and_for_400_devices(clock, everyone):
    bundle = published(payload(PASSCODE), payload(VPN), now=clock())
    assign(bundle, everyone, now=clock())
    few, many = statements(50, clock()), statements(400, clock())
    assert len(few) == len(many)
    assert len(few) <= 30
    assert Command.objects.filter(request_type="InstallProfile").count() == 450


def test_planning_again_without_new_facts_changes_nothing(device, clock, everyone):
    bundle = published(payload(PASSCODE), payload(VPN), now=clock())
    assign(bundle, everyone, now=clock())
    for _ in range(3):
        device.plan()
        again = device.plan()
        assert (again.changed, again.queued, again.cancelled) == (0, 0, 0)
        device.connect()
        clock.forward(seconds=30)


def test_members_of_a_group_get_it_and_suspended_ones_do_not(make_device, clock):
    group = DeviceGroup.objects.create(name="Sales", created_at=clock())
    inside, suspended, outside = make_device(), make_device(), make_device()
    add_devices(group, [inside.enrollment.device, suspended.enrollment.device], now=clock())
    Membership.objects.filter(device=suspended.enrollment.device).update(suspended_at=clock())
    assign(published(payload(WIFI), now=clock()), group, now=clock())
    plan_all(clock())
    assert [device.queued() for device in (inside, suspended, outside)] == [["InstallProfile"], [], []]


def test_an_exclusion_beats_an_inclusion_and_takes_back_what_was_installed(device, clock, everyone):
    bundle = published(payload(WIFI), now=clock())
    assign(bundle, everyone, now=clock())
    device.plan()
    device.connect()
    assert device.states() == {"whole": "installed"}
    group = DeviceGroup.objects.create(name="Guests", created_at=clock())
    add_devices(group, [device.enrollment.device], now=clock())
    assign(bundle, group, excluded=True, now=clock())
    device.plan()
    device.connect()
    assert (device.states(), device.profiles) == ({"whole": "removed"}, {})
    unassign(bundle, group)
    device.plan()
    device.connect()
    assert device.states() == {"whole": "installed"}


def test_only_enrolled_device_channels_are_planned(device, clock, everyone):
    bundle = published(payload(WIFI), now=clock())
    assign(bundle, everyone, now=clock())
    device.enrollment.state = "pending"
    device.enrollment.save()
    user = enrollments(1, clock())[0]
    user.parent = device.enrollment
    user.save()
    assert plan([device.enrollment.pk, user.pk], clock()).enrollments == 0
    assert not Installation.objects.exists()


def test_the_capability_is_removed_before_the_requirement(device, clock, everyone):
    bundle = published(payload(PASSCODE), payload(VPN), now=clock())
    assign(bundle, everyone, now=clock())
    device.passcode = True
    device.plan()
    device.connect()
    unassign(bundle, everyone)
    device.plan()
    assert device.states() == {"requirement": "removing", "capability": "removing"}
    assert [command.origin for command in Command.objects.open()] == [
        f"No longer assigned; being removed ({bundle.identifier}.capability)"
    ]
    assert device.row("requirement").reason == "Waiting until the capability has been removed"
    first = device.answer(device.offer())
    assert first == "Acknowledged"
    assert bundle.identifier in device.profiles
    device.connect()
    assert (device.states(), device.profiles) == ({"requirement": "removed", "capability": "removed"}, {})


def test_the_requirement_stays_while_the_capability_cannot_be_removed(device, clock, everyone, settings):
    from protocol.reports import ErrorChainItem

    bundle = published(payload(PASSCODE), payload(VPN), now=clock())
    assign(bundle, everyone, now=clock())
    device.passcode = True
    device.plan()
    device.connect()
    device.errors = {"RemoveProfile": (ErrorChainItem(12036, "MCMDMErrorDomain", "cannot remove it now"),)}
    unassign(bundle, everyone)
    for _ in range(settings.RETRY_CEILING + 3):
        device.plan()
        device.connect()
        clock.forward(days=2)
    assert device.states() == {"requirement": "removing", "capability": "failed"}
    assert "gave up" in device.row("capability").reason
    assert bundle.identifier in device.profiles
    assert device.history.count("RemoveProfile") == settings.RETRY_CEILING


def test_an_installation_that_was_never_handed_out_is_cancelled(device, clock, everyone):
    bundle = published(payload(WIFI), now=clock())
    assign(bundle, everyone, now=clock())
    device.plan()
    unassign(bundle, everyone)
    device.plan()
    assert (device.states(), device.queued()) == ({"whole": "removed"}, [])
    assert Command.objects.get().state == CommandState.CANCELLED


def test_one_that_was_handed_out_is_removed_even_if_it_was_never_answered(device, clock, everyone):
    bundle = published(payload(WIFI), now=clock())
    assign(bundle, everyone, now=clock())
    device.plan()
    device.offer()
    unassign(bundle, everyone)
    device.plan()
    assert (device.states(), device.queued()) == ({"whole": "removing"}, ["RemoveProfile"])
    device.connect()
    assert device.states() == {"whole": "removed"}


def test_one_that_went_out_while_it_was_being_cancelled_is_removed(device, clock, everyone):
    """The queue hands commands out without asking for the plan's lock."""
    bundle = published(payload(WIFI), now=clock())
    assign(bundle, everyone, now=clock())
    device.plan()
    Command.objects.update(attempts=1)
    unassign(bundle, everyone)
    device.plan()
    device.plan()
    assert (device.states(), device.queued()) == ({"whole": "removing"}, ["RemoveProfile"])


def test_an_old_revision_that_may_still_arrive_is_removed_too(device, clock, everyone):
    bundle = published(payload(WIFI), now=clock())
    assign(bundle, everyone, now=clock())
    device.plan()
    device.offer()
    edit(bundle, "capability")
    publish(bundle, by=None, now=clock())
    device.plan()
    unassign(bundle, everyone)
    device.plan()
    assert (device.states(), device.queued()) == ({"whole": "removing"}, ["RemoveProfile"])


def test_a_bundle_that_is_no_longer_published_is_taken_back(device, clock, everyone):
    bundle = published(payload(WIFI), now=clock())
    assign(bundle, everyone, now=clock())
    device.plan()
    device.connect()
    bundle.refresh_from_db()
    bundle.current_revision = None
    bundle.save()
    device.plan()
    device.connect()
    assert (device.states(), device.profiles) == ({"whole": "removed"}, {})


def test_publishing_the_same_content_again_sends_nothing(device, clock, everyone):
    bundle = published(payload(PASSCODE), payload(VPN), now=clock())
    assign(bundle, everyone, now=clock())
    device.passcode = True
    device.plan()
    device.connect()
    publish(bundle, by=None, now=clock())
    assert device.plan().queued == 0
    assert device.states() == {"requirement": "installed", "capability": "installed"}
    assert device.row("capability").profile.revision.number == 2


def test_a_change_of_the_capability_alone_leaves_the_requirement_alone(device, clock, everyone):
    bundle = published(payload(PASSCODE), payload(VPN), now=clock())
    assign(bundle, everyone, now=clock())
    device.passcode = True
    device.plan()
    device.connect()
    edit(bundle, "capability")
    publish(bundle, by=None, now=clock())
    device.plan()
    assert [command.origin for command in Command.objects.open()] == [f"{bundle.name} v2 (capability)"]
    device.connect()
    assert device.states() == {"requirement": "installed", "capability": "installed"}
    assert len(device.profiles) == 2


def test_a_new_revision_cancels_an_old_installation_that_is_still_queued(device, clock, everyone):
    bundle = published(payload(WIFI), now=clock())
    assign(bundle, everyone, now=clock())
    device.plan()
    edit(bundle, "capability")
    publish(bundle, by=None, now=clock())
    device.plan()
    old, new = Command.objects.order_by("pk")
    assert (old.state, new.state) == (CommandState.CANCELLED, CommandState.QUEUED)
    device.connect()
    assert device.profiles[bundle.identifier] == device.row("whole").payload_uuid


def test_a_change_to_together_removes_the_capability_first_and_keeps_the_requirement(device, clock, everyone):
    bundle = published(payload(PASSCODE), payload(VPN), now=clock())
    assign(bundle, everyone, now=clock())
    device.passcode = True
    device.plan()
    device.connect()
    bundle.refresh_from_db()
    bundle.delivery_rule = DeliveryRule.TOGETHER
    bundle.save()
    publish(bundle, by=None, now=clock())
    device.plan()
    assert device.queued() == ["RemoveProfile"]
    assert device.row("whole").state == "waiting"
    device.connect()
    assert device.states() == {"whole": "installed", "requirement": "removed", "capability": "removed"}
    assert device.profiles == {bundle.identifier: device.row("whole").payload_uuid}
    assert device.history.count("RemoveProfile") == 1


def test_a_change_to_after_compliance_replaces_the_whole_profile_by_the_requirement(device, clock, everyone):
    bundle = published(payload(PASSCODE), payload(VPN), now=clock(), rule=DeliveryRule.TOGETHER)
    assign(bundle, everyone, now=clock())
    device.plan()
    device.connect()
    bundle.refresh_from_db()
    bundle.delivery_rule = DeliveryRule.AFTER_COMPLIANCE
    bundle.save()
    publish(bundle, by=None, now=clock())
    device.plan()
    device.connect()
    assert device.states() == {"whole": "removed", "requirement": "installed", "capability": "waiting"}
    assert "RemoveProfile" not in device.history
    assert device.profiles == {bundle.identifier: device.row("requirement").payload_uuid}


def test_a_rule_change_that_is_unassigned_halfway_leaves_nothing_behind(device, clock, everyone):
    bundle = published(payload(PASSCODE), payload(VPN), now=clock())
    assign(bundle, everyone, now=clock())
    device.passcode = True
    device.plan()
    device.connect()
    bundle.refresh_from_db()
    bundle.delivery_rule = DeliveryRule.TOGETHER
    bundle.save()
    publish(bundle, by=None, now=clock())
    device.plan()
    unassign(bundle, everyone)
    device.plan()
    device.connect()
    assert set(device.states().values()) == {"removed"}
    assert device.profiles == {}


def test_a_command_that_was_cancelled_or_lost_is_sent_again_after_a_while(device, clock, everyone, settings):
    bundle = published(payload(WIFI), now=clock())
    assign(bundle, everyone, now=clock())
    device.plan()
    Command.objects.update(state=CommandState.UNRENDERABLE)
    device.plan()
    row = device.row("whole")
    assert (row.state, row.reason) == ("failed", "The command did not reach the device (could not be rendered)")
    assert row.next_at == clock.now + settings.RETRY_INTERVAL
    assert plan_due(clock()).queued == 0
    clock.forward(seconds=settings.RETRY_INTERVAL.total_seconds())
    assert plan_due(clock()).queued == 1
    device.connect()
    assert device.states() == {"whole": "installed"}


def test_an_overdue_acknowledgement_asks_for_the_list_again(device, clock, everyone, settings):
    bundle = published(payload(WIFI), now=clock())
    assign(bundle, everyone, now=clock())
    device.plan()
    device.answer(device.offer())
    Command.objects.filter(request_type="ProfileList").delete()
    clock.forward(seconds=settings.RETRY_INTERVAL.total_seconds() + 5)
    assert plan_due(clock()).queued == 1
    assert plan_due(clock() + timedelta(seconds=1)).queued == 0
    device.connect()
    assert device.states() == {"whole": "installed"}
