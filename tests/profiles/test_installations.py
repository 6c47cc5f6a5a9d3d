"""What devices answer moves installations: proof only by their own list, late and double answers change nothing."""

import pytest

from devices import inventory
from devices.models import Command, CommandState
from profiles import installations
from profiles.assignment import assign, plan, unassign
from profiles.models import Bundle
from profiles.publishing import publish
from protocol.reports import ErrorChainItem, Status
from tests.profiles.fleet import PASSCODE, VPN, WIFI, bundle_of, payload

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("signing")]


@pytest.fixture
def bundle(clock, everyone) -> Bundle:
    """A Wi-Fi for everyone, in one profile."""
    made = bundle_of(payload(WIFI), now=clock())
    publish(made, by=None, now=clock())
    assign(made, everyone, now=clock())
    return made


def refusal(code: int, domain: str) -> tuple[ErrorChainItem, ...]:
    return (ErrorChainItem(code, domain, "Apple says no"),)


def test_an_acknowledgement_is_no_proof_and_asks_for_the_list_at_once(bundle, device):
    device.plan()
    device.answer(device.offer())
    row = device.row("whole")
    assert (row.state, row.proved_at) == ("acknowledged", None)
    assert device.queued() == ["ProfileList"]
    device.connect()
    row = device.row("whole")
    assert (row.state, row.reason, row.attempts) == ("installed", "", 0)
    assert row.proved_at is not None


def test_only_our_uuid_under_the_identifier_is_proof(bundle, device):
    device.plan()
    device.answer(device.offer())
    device.profiles[bundle.identifier] = "SOMEBODY-ELSES"
    device.connect()
    row = device.row("whole")
    assert (row.state, row.proved_at) == ("drifted", None)
    assert row.next_at is not None


def test_a_list_asked_for_before_the_acknowledgement_disproves_nothing(bundle, device, clock):
    device.ask("ProfileList")
    listing = device.offer()
    device.plan()
    device.answer(Command.objects.get(request_type="InstallProfile"))
    device.report(listing, Status.ACKNOWLEDGED, body={"ProfileList": []}, now=clock())
    assert device.row("whole").state == "acknowledged"
    assert device.queued() == ["ProfileList"]
    device.connect()
    assert device.row("whole").state == "installed"


def test_a_profile_the_user_removed_is_drifted_and_comes_back_after_the_back_off(bundle, device, clock, settings):
    device.plan()
    device.connect()
    device.profiles.clear()
    device.ask("ProfileList")
    device.connect()
    row = device.row("whole")
    assert (row.state, row.proved_at, device.queued()) == ("drifted", None, [])
    assert row.next_at == row.changed_at + settings.RETRY_INTERVAL
    clock.forward(seconds=settings.RETRY_INTERVAL.total_seconds())
    device.plan()
    device.connect()
    assert device.row("whole").state == "installed"


def test_a_profile_that_is_acknowledged_and_never_listed_is_given_up_with_growing_pauses(
    bundle, device, clock, settings
):
    device.lies = {"InstallProfile"}
    pauses = []
    for _ in range(settings.RETRY_CEILING):
        device.plan()
        device.connect()
        row = device.row("whole")
        if row.next_at:
            pauses.append((row.next_at - row.changed_at) / settings.RETRY_INTERVAL)
            clock.forward(seconds=(row.next_at - clock.now).total_seconds())
    assert (device.row("whole").state, device.row("whole").next_at) == ("failed", None)
    assert pauses == [1, 2, 4, 8, 16, 32, 64]
    device.plan()
    assert device.queued() == []


@pytest.mark.parametrize(
    ("code", "domain"),
    [
        (12021, "MCMDMErrorDomain"),
        (1003, "MCProfileErrorDomain"),
        (4022, "MCInstallationErrorDomain"),
        (4023, "MCInstallationErrorDomain"),
    ],
)
def test_an_error_that_cannot_heal_fails_for_good_in_apples_words(bundle, device, clock, code, domain):
    device.errors = {"InstallProfile": refusal(code, domain)}
    device.plan()
    device.connect()
    row = device.row("whole")
    assert (row.state, row.next_at) == ("failed", None)
    assert row.reason == f"The device refused it: Apple says no ({domain} {code})"
    assert row.error_chain == [{"code": code, "domain": domain, "description": "Apple says no"}]
    clock.forward(days=9)
    device.plan()
    assert device.queued() == []


def test_any_other_error_is_tried_again(bundle, device, clock, settings):
    device.errors = {"InstallProfile": refusal(4001, "MCInstallationErrorDomain")}
    device.plan()
    device.connect()
    row = device.row("whole")
    assert (row.state, row.next_at) == ("failed", clock.now + settings.RETRY_INTERVAL)
    device.errors = {}
    clock.forward(seconds=settings.RETRY_INTERVAL.total_seconds())
    device.plan()
    device.connect()
    assert (device.row("whole").state, device.row("whole").error_chain) == ("installed", [])


def test_a_malformed_command_is_never_sent_again(bundle, device, clock):
    device.malformed = {"InstallProfile"}
    device.plan()
    device.connect()
    assert "CommandFormatError" in device.row("whole").reason
    clock.forward(days=9)
    device.plan()
    assert device.queued() == []


def test_a_human_may_try_again_what_failed_for_good(bundle, device, clock):
    device.errors = {"InstallProfile": refusal(12021, "MCMDMErrorDomain")}
    device.plan()
    device.connect()
    device.errors = {}
    row = device.row("whole")
    plan(installations.retry([row.pk], clock()), clock())
    device.connect()
    assert device.row("whole").state == "installed"


def test_a_hostile_error_text_stays_one_short_line(bundle, device):
    device.errors = {"InstallProfile": (ErrorChainItem(1, "d" * 500, "a\n\x1b[31m<b>\u202e" + "x" * 3000),)}
    device.plan()
    device.connect()
    reason = device.row("whole").reason
    assert len(reason) <= 255
    assert reason.isprintable()


def test_a_removal_of_what_is_not_there_counts_as_removed(bundle, device, clock, everyone):
    device.plan()
    device.connect()
    device.profiles.clear()
    unassign(bundle, everyone)
    device.plan()
    device.connect()
    assert device.states() == {"whole": "removed"}


def test_a_removal_is_proved_by_the_list_only(bundle, device, clock, everyone):
    device.plan()
    device.connect()
    device.lies = {"RemoveProfile"}
    unassign(bundle, everyone)
    device.plan()
    device.connect()
    row = device.row("whole")
    assert (row.state, row.reason) == ("removing", "The device still lists it after its removal")
    assert row.next_at is not None
    device.lies = set()
    clock.forward(days=1)
    device.plan()
    device.connect()
    assert (device.states(), device.profiles) == ({"whole": "removed"}, {})


def test_a_late_answer_for_an_old_revision_does_not_mark_the_new_one(bundle, device, clock):
    device.plan()
    old = device.offer()
    draft = bundle.payloads.get()
    draft.content = draft.content.replace(b"</dict>", b"<key>New</key><true/></dict>")
    draft.save()
    publish(bundle, by=None, now=clock())
    device.plan()
    device.handle(old, Status.ACKNOWLEDGED, now=clock())
    row = device.row("whole")
    assert (row.state, row.acknowledged_at) == ("queued", None)
    assert row.command_uuid != old.uuid


def test_the_same_answer_twice_is_one_answer(bundle, device, clock):
    device.plan()
    install = device.offer()
    device.answer(install)
    before = installations.snapshot(device.row("whole"))
    device.handle(install, Status.ACKNOWLEDGED, now=clock())
    assert installations.snapshot(device.row("whole")) == before
    device.connect()
    device.handle(install, Status.ERROR, chain=refusal(12021, "MCMDMErrorDomain"), now=clock())
    assert device.row("whole").state == "installed"


def test_an_acknowledgement_that_comes_after_everything_was_taken_back_is_undone(bundle, device, clock, everyone):
    """The command went out between the plan's look and its cancellation, and nobody noticed."""
    device.plan()
    command = Command.objects.get()
    unassign(bundle, everyone)
    device.plan()
    assert device.states() == {"whole": "removed"}
    Command.objects.filter(pk=command.pk).update(state=CommandState.SENT)
    device.answer(command)
    device.connect()
    assert (device.states(), device.profiles) == ({"whole": "removed"}, {})
    assert "RemoveProfile" in device.history


def test_a_stale_list_does_not_bring_a_removed_profile_back(bundle, device, clock, everyone):
    device.plan()
    device.connect()
    device.ask("ProfileList")
    listing = device.offer()
    cached = device.facts("ProfileList")
    unassign(bundle, everyone)
    device.plan()
    device.answer(Command.objects.get(request_type="RemoveProfile"))
    device.report(listing, Status.ACKNOWLEDGED, body=cached, now=clock())
    assert device.row("whole").state == "removing"
    device.connect()
    assert device.states() == {"whole": "removed"}


def test_a_list_that_cannot_be_read_says_nothing(bundle, device, clock):
    device.plan()
    device.connect()
    for body in ({}, {"ProfileList": "none"}):
        command = device.ask("ProfileList")
        device.offer()
        device.report(command, Status.ACKNOWLEDGED, body=body, now=clock())
        assert device.row("whole").state == "installed"
    inventory.Inventory.objects.update(content=b"\x00 no plist")
    installations.on_profile_list(device.enrollment, clock())
    assert device.row("whole").state == "installed"


def test_a_lost_acknowledgement_is_healed_by_the_list(bundle, device, clock):
    """The device installed the profile, its answer was lost, and it lists what it has."""
    device.plan()
    install = device.offer()
    device._do(install)
    listing = device.ask("ProfileList")
    device.offer(skip={install.pk})
    device.report(listing, Status.ACKNOWLEDGED, body=device.facts("ProfileList"), now=clock())
    assert device.row("whole").state == "installed"
    assert device.queued() == []


def test_a_device_shows_what_waits_since_when_and_why(device, clock, everyone):
    bundle = bundle_of(payload(PASSCODE), payload(VPN), now=clock())
    publish(bundle, by=None, now=clock())
    assign(bundle, everyone, now=clock())
    device.plan()
    began = clock.now
    shown = device.enrollment.device
    shown.refresh_from_db()
    assert (shown.waiting_count, shown.failed_count, shown.oldest_waiting_at) == (2, 0, began)
    device.connect()
    shown.refresh_from_db()
    assert (shown.waiting_count, shown.state_reason) == (1, device.row("capability").reason)
    device.passcode = True
    device.ask("SecurityInfo")
    device.errors = {"InstallProfile": refusal(12021, "MCMDMErrorDomain")}
    device.connect()
    shown.refresh_from_db()
    assert (shown.waiting_count, shown.failed_count, shown.oldest_waiting_at) == (0, 1, None)
    assert shown.state_reason.startswith("The device refused it")
