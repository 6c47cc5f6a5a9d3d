"""The gate: the capability reaches exactly the devices that have proved the requirement, and leaves the others."""

from datetime import timedelta

import pytest

from devices.models import Command, Verdict, VerdictState
from operations.models import Alert
from profiles.assignment import assign, plan, unassign
from profiles.gate import judge_enrollments, poll_due
from profiles.models import Bundle, DeliveryRule, Installation
from profiles.publishing import publish
from protocol.reports import Status
from tests.profiles.fleet import PASSCODE, VPN, bundle_of, payload

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("signing")]


@pytest.fixture
def bundle(clock, everyone) -> Bundle:
    """A VPN after a passcode, for everyone."""
    made = bundle_of(payload(PASSCODE, forcePIN=True), payload(VPN), now=clock())
    publish(made, by=None, now=clock())
    assign(made, everyone, now=clock())
    return made


def verdict_of(device) -> Verdict:
    return Verdict.objects.get(enrollment=device.enrollment)


def test_the_vpn_waits_for_the_passcode_and_comes_when_it_is_set(bundle, device, clock):
    device.plan()
    assert device.queued() == ["InstallProfile"]
    assert device.row("capability").reason == "Waiting until the requirement is installed"
    device.connect()
    assert device.states() == {"requirement": "installed", "capability": "waiting"}
    row = device.row("capability")
    assert row.reason.startswith("Waiting for the passcode: ")
    assert row.next_at == verdict_of(device).next_poll_at is not None
    device.passcode = True
    clock.forward(minutes=6)
    device.poll()
    assert device.states() == {"requirement": "installed", "capability": "installed"}
    assert set(device.profiles) == {bundle.identifier, f"{bundle.identifier}.capability"}
    assert verdict_of(device).state == VerdictState.COMPLIANT


def test_trap_flags_read_true_while_no_policy_is_installed_so_no_vpn_is_sent(bundle, device, clock):
    device.passcode = device.flags = True
    device.ask("SecurityInfo")
    device.ask("ProfileList")
    device.lies = {"InstallProfile"}
    device.connect()
    device.plan()
    device.connect()
    judge_enrollments([device.enrollment.pk], clock())
    device.plan()
    device.connect()
    assert device.row("capability").state == "waiting"
    assert f"{bundle.identifier}.capability" not in device.profiles
    assert device.history.count("InstallProfile") == 1


def test_trap_flags_read_true_without_a_passcode_so_no_vpn_is_sent(bundle, device, clock):
    device.passcode, device.flags = False, True
    device.plan()
    device.connect()
    for _ in range(3):
        clock.forward(minutes=6)
        device.poll()
    assert device.row("capability").state == "waiting"
    assert verdict_of(device).state == VerdictState.NOT_COMPLIANT
    assert device.history.count("InstallProfile") == 1


def test_trap_an_answer_asked_for_before_the_proof_does_not_count(bundle, device, clock):
    """The device had a passcode when it was asked, lost it, and delivers its cached answer after the proof."""
    device.passcode = True
    device.ask("SecurityInfo")
    early = device.offer()
    cached = device.facts("SecurityInfo")
    clock.forward(minutes=1)
    device.passcode = False
    device.plan()
    install = Command.objects.get(request_type="InstallProfile")
    device.answer(install)
    device.answer(Command.objects.get(request_type="ProfileList"))
    assert device.row("requirement").state == "installed"
    device.report(early, Status.ACKNOWLEDGED, body=cached, now=clock())
    assert verdict_of(device).state == VerdictState.UNKNOWN
    assert device.row("capability").state == "waiting"
    # It is asked again at once, and only once.
    assert device.queued() == ["SecurityInfo"]
    device.connect()
    assert verdict_of(device).state == VerdictState.NOT_COMPLIANT
    assert device.row("capability").state == "waiting"


def test_a_question_put_off_before_the_proof_counts_from_when_it_was_asked_again(bundle, device, clock):
    device.passcode = device.locked = True
    device.ask("SecurityInfo")
    device.connect()
    clock.forward(minutes=5)
    device.plan()
    device.connect()
    device.plan()
    assert device.row("requirement").state == "sent"
    assert "locked" in device.row("requirement").reason
    device.locked = False
    device.connect()
    device.connect()
    assert device.states() == {"requirement": "installed", "capability": "installed"}


def test_a_device_that_drops_its_passcode_loses_the_vpn_and_gets_it_back(bundle, device, clock):
    device.passcode = True
    device.plan()
    device.connect()
    assert device.row("capability").state == "installed"
    device.passcode = False
    clock.forward(hours=5)
    device.poll()
    assert device.states() == {"requirement": "installed", "capability": "waiting"}
    assert list(device.profiles) == [bundle.identifier]
    assert device.row("capability").reason.startswith("Waiting for the passcode: ")
    device.passcode = True
    clock.forward(hours=1)
    device.poll()
    assert device.states() == {"requirement": "installed", "capability": "installed"}


def test_a_bundle_that_only_alerts_keeps_the_vpn(bundle, device, clock):
    bundle.withdraw_on_regression = False
    bundle.save()
    publish(bundle, by=None, now=clock())
    device.passcode = True
    device.plan()
    device.connect()
    device.passcode = False
    clock.forward(hours=5)
    device.poll()
    assert verdict_of(device).state == VerdictState.NOT_COMPLIANT
    assert device.row("capability").state == "installed"
    assert "RemoveProfile" not in device.history


def test_an_unknown_verdict_keeps_what_is_installed_and_installs_nothing(bundle, device, clock):
    device.passcode = True
    device.plan()
    device.connect()
    Verdict.objects.update(state=VerdictState.UNKNOWN, reasons=["nobody knows"])
    device.plan()
    assert (device.row("capability").state, device.queued()) == ("installed", [])
    Installation.objects.filter(part="capability").update(state="waiting", acknowledged_at=None, proved_at=None)
    device.plan()
    assert (device.row("capability").state, device.queued()) == ("waiting", [])


def test_a_vpn_that_is_still_queued_is_cancelled_when_the_passcode_goes(bundle, device, clock):
    device.plan()
    device.connect()
    device.passcode = True
    device.ask("SecurityInfo")
    device.answer(device.offer())
    assert (device.row("capability").state, device.queued()) == ("queued", ["InstallProfile"])
    device.passcode = False
    asked = device.ask("SecurityInfo")
    device.offer(skip={Command.objects.open().exclude(pk=asked.pk).get().pk})
    device.answer(asked)
    assert (device.row("capability").state, device.queued()) == ("waiting", [])
    assert device.connect() == []


def test_a_verdict_from_before_the_proof_opens_nothing(bundle, device, clock):
    device.plan()
    device.connect()
    Verdict.objects.update(state=VerdictState.COMPLIANT, judged_at=clock.now - timedelta(hours=1))
    device.plan()
    assert (device.row("capability").state, device.queued()) == ("waiting", [])


def test_a_platform_that_cannot_tell_says_so_and_is_not_polled(bundle, make_device, clock):
    mac = make_device(platform="macOS", passcode=True)
    mac.plan()
    row = mac.row("capability")
    assert (row.state, row.next_at) == ("waiting", None)
    assert row.reason.startswith("Waiting for the passcode: ")
    mac.connect()
    assert verdict_of(mac).state == VerdictState.UNPROVABLE
    assert mac.states() == {"requirement": "installed", "capability": "waiting"}
    clock.forward(days=1)
    assert poll_due(clock()) == []


def test_a_new_requirement_must_be_proved_before_a_new_capability_goes_out(bundle, device, clock):
    device.passcode = True
    device.plan()
    device.connect()
    old = dict(device.profiles)
    for draft in bundle.payloads.all():
        draft.content = draft.content.replace(b"</dict>", b"<key>Changed</key><true/></dict>")
        draft.save()
    publish(bundle, by=None, now=clock())
    device.plan()
    assert device.queued() == ["InstallProfile"]
    assert device.row("capability").state == "waiting"
    assert "RemoveProfile" not in device.history
    device.flags = False
    device.connect()
    # The new policy is stricter than the user's passcode: the old VPN goes, the new one does not come.
    assert device.states() == {"requirement": "installed", "capability": "waiting"}
    assert device.profiles[bundle.identifier] != old[bundle.identifier]
    assert f"{bundle.identifier}.capability" not in device.profiles


def test_together_sends_one_profile_and_shows_when_the_passcode_is_due(device, clock, everyone):
    bundle = bundle_of(payload(PASSCODE), payload(VPN), now=clock(), rule=DeliveryRule.TOGETHER)
    publish(bundle, by=None, now=clock())
    assign(bundle, everyone, now=clock())
    device.plan()
    device.connect()
    row = device.row("whole")
    due = row.acknowledged_at + timedelta(minutes=60)
    assert (row.state, row.reason) == ("installed", f"Passcode due by about {due:%Y-%m-%d %H:%M} UTC")
    clock.forward(hours=2)
    device.poll()
    assert device.row("whole").reason.startswith("Passcode was due by about")
    assert device.row("whole").state == "installed"
    device.passcode = True
    clock.forward(hours=2)
    device.poll()
    assert device.row("whole").reason == ""
    device.passcode = False
    clock.forward(hours=5)
    device.poll()
    assert (device.row("whole").state, "RemoveProfile" in device.history) == ("installed", False)


def test_polling_asks_each_device_once_however_often_the_beat_ticks(bundle, device, clock):
    device.plan()
    device.connect()
    clock.forward(minutes=6)
    assert poll_due(clock()) == [device.enrollment.pk]
    assert sorted(device.queued()) == ["ProfileList", "SecurityInfo"]
    assert poll_due(clock()) == []
    clock.forward(minutes=6)
    assert poll_due(clock()) == [device.enrollment.pk]
    assert sorted(device.queued()) == ["ProfileList", "SecurityInfo"]


def test_a_device_that_left_is_not_polled(bundle, device, clock):
    device.plan()
    device.connect()
    device.enrollment.state = "checked_out"
    device.enrollment.save()
    clock.forward(minutes=6)
    assert poll_due(clock()) == []
    assert verdict_of(device).next_poll_at is None


def test_a_device_that_refuses_to_answer_is_not_asked_for_ever(bundle, device, clock):
    from protocol.reports import ErrorChainItem

    device.errors = {"SecurityInfo": (ErrorChainItem(12007, "MCMDMErrorDomain", "not authorized"),)}
    device.plan()
    device.connect()
    assert device.history.count("SecurityInfo") <= 2


def test_the_deadline_alerts_once_and_compliance_resolves_it(bundle, device, clock, settings):
    device.plan()
    device.connect()
    clock.forward(seconds=settings.GATE_DEADLINE.total_seconds() + 60)
    device.poll()
    device.poll()
    alert = Alert.objects.get()
    assert alert.resolved_at is None
    assert bundle.name in alert.title
    device.passcode = True
    clock.forward(days=2)
    device.poll()
    alert.refresh_from_db()
    assert alert.resolved_at is not None


def test_a_device_that_goes_silent_keeps_the_vpn_and_alerts(bundle, device, clock):
    device.passcode = True
    device.plan()
    device.connect()
    proved_at = verdict_of(device).proved_at
    clock.forward(days=bundle.silent_days + 1)
    poll_due(clock())
    plan([device.enrollment.pk], clock())
    assert "unproved since" in Alert.objects.get().title
    assert verdict_of(device).proved_at == proved_at
    assert device.row("capability").state == "installed"


def test_judging_old_answers_again_proves_nothing_new(bundle, device, clock):
    device.passcode = True
    device.plan()
    device.connect()
    proved_at = verdict_of(device).proved_at
    clock.forward(days=3)
    judge_enrollments([device.enrollment.pk], clock())
    assert verdict_of(device).proved_at == proved_at


def test_verdicts_and_alerts_end_with_the_assignment(bundle, device, clock, settings, everyone):
    device.plan()
    device.connect()
    clock.forward(seconds=settings.GATE_DEADLINE.total_seconds() + 60)
    poll_due(clock())
    unassign(bundle, everyone)
    device.plan()
    assert not Verdict.objects.exists()
    assert Alert.objects.get().resolved_at is not None
