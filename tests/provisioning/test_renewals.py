"""A renewal from the scan to its end: one profile at Apple, checked, rolled out in waves, and the old one gone."""

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import User

from devices.groups import ensure_all_group
from operations.models import Alert, AuditEvent
from provisioning import lineages, renewals, rollout
from provisioning.appstoreconnect import ErrorKind
from provisioning.errors import ProvisioningRefused
from provisioning.models import (
    AppBundle,
    AppVersion,
    EnterpriseApp,
    Lineage,
    LineageAssignment,
    Policy,
    ProvisioningProfile,
    Renewal,
    RenewalEvent,
    RenewalState,
    Source,
)
from tests.protocol.provisioning_files import in_house
from tests.provisioning.conftest import read
from tests.provisioning.phones import Phone, enrollments

State = RenewalState


def due(lineage, clock):
    """Go to the moment at which the lineage's renewal begins; the key of what the scan began."""
    clock.now = lineage.renew_at
    (pk,) = renewals.scan(clock.now)
    return pk


def advance(pk, portal):
    renewals.advance(pk, portal.clock(), client_for=portal.client_for)
    return Renewal.objects.get(pk=pk)


def until(pk, portal, states, *, phones=(), hours=1, most=400):
    """Let time pass, with every job of ours and every phone at work, until the renewal is in one of the states."""
    for _ in range(most):
        row = advance(pk, portal)
        if row.state in states or row.paused_at is not None:
            return row
        work(phones, portal.clock)
        portal.clock.forward(hours=hours)
    raise AssertionError(f"still {row.state}")


def work(phones, clock):
    rollout.plan_all(clock.now)
    for phone in phones:
        phone.connect(clock.now)
    rollout.plan_all(clock.now)


@pytest.fixture
def phones(lineage, lineage_clock):
    """Ten phones that the lineage is for, all with the present profile."""
    group = ensure_all_group(lineage_clock.now)
    LineageAssignment.objects.create(lineage=lineage, group=group, created_at=lineage_clock.now)
    made = [Phone(enrollment) for enrollment in enrollments(10, lineage_clock.now)]
    work(made, lineage_clock)
    return made


def events(renewal):
    return [event.sentence for event in RenewalEvent.objects.filter(renewal=renewal).order_by("pk")]


# --- the whole way -------------------------------------------------------------------------------------------------------


def test_a_due_lineage_is_renewed_by_itself(lineage, portal, phones, lineage_clock):
    old = lineage.current
    renewal = until(due(lineage, lineage_clock), portal, {State.DONE}, phones=phones)
    lineage.refresh_from_db()
    assert (portal.posts, portal.made) == (1, 1)
    assert lineage.current == renewal.new_profile != old
    assert lineage.effective_end == renewal.new_profile.effective_end > old.effective_end + timedelta(days=300)
    assert all(set(phone.held) == {renewal.new_profile.uuid} for phone in phones)
    states = list(
        dict.fromkeys(RenewalEvent.objects.filter(renewal=renewal).order_by("pk").values_list("state", flat=True))
    )
    assert states == ["planned", "creating", "fetched", "validated", "canary", "rolling_out", "cleanup", "done"]
    assert renewal.finished_at is not None
    assert renewals.scan(lineage_clock.now) == []


def test_the_old_profile_stays_until_the_new_one_is_proved(lineage, portal, phones, lineage_clock):
    old, away = lineage.current, phones[-1]
    pk = due(lineage, lineage_clock)
    until(pk, portal, {State.DONE}, phones=phones[:-1], hours=12)
    assert old.uuid in away.held
    work([away], lineage_clock)
    assert set(away.held) == {Renewal.objects.get(pk=pk).new_profile.uuid}


def test_canaries_come_first_and_soak(lineage, portal, phones, lineage_clock):
    pk = due(lineage, lineage_clock)
    advance(pk, portal)
    work(phones[:5], lineage_clock)
    began = lineage_clock.now
    renewal = until(pk, portal, {State.ROLLING_OUT})
    assert timedelta(hours=24) <= lineage_clock.now - began < timedelta(hours=26)
    assert renewal.wave == 2


def test_a_canary_that_refuses_it_stops_everything(lineage, portal, phones, lineage_clock):
    for phone in phones:
        phone.refuses = True
    renewal = until(due(lineage, lineage_clock), portal, {State.ROLLING_OUT}, phones=phones)
    assert (renewal.state, renewal.next_at) == (State.CANARY, None)
    assert Alert.objects.filter(title__contains="is paused", resolved_at=None).exists()
    renewals.resume(renewal, by=None, now=lineage_clock.now)
    for phone in phones:
        phone.refuses = False
    renewal = until(renewal.pk, portal, {State.DONE}, phones=phones)
    assert renewal.state == State.DONE
    assert not Alert.objects.filter(title__contains="is paused", resolved_at=None).exists()


def test_a_silent_fleet_does_not_stop_the_waves(lineage, portal, phones, lineage_clock):
    renewal = until(due(lineage, lineage_clock), portal, {State.ROLLING_OUT}, hours=6)
    assert "None of the first devices has come yet" in " ".join(events(renewal))


def test_a_late_start_hurries(lineage, portal, phones, lineage_clock):
    lineage.policy = Policy.PROPOSE
    lineage.save()
    pk = due(lineage, lineage_clock)
    lineage_clock.now = lineage.effective_end - timedelta(days=2)
    renewals.approve(Renewal.objects.get(pk=pk), by=None, now=lineage_clock.now)
    for _ in range(40):
        renewal = advance(pk, portal)
        if renewal.wave == 4:
            break
        lineage_clock.forward(hours=1)
    assert renewal.wave == 4
    assert lineage_clock.now < lineage.effective_end


def test_seconds_instead_of_days_work_as_well(settings, lineage, portal, phones, lineage_clock):
    lifetime = timedelta(minutes=6)
    settings.PROVISIONING_LIFETIME = lifetime
    for name in (
        "CANARY_SOAK",
        "WAVE_INTERVAL",
        "CLEANUP_AFTER",
        "ADVANCE_INTERVAL",
        "LOOK_INTERVAL",
        "SLOW_RETRY",
        "LEASE",
    ):
        setattr(settings, f"PROVISIONING_{name}", timedelta(seconds=2))
    settings.PROVISIONING_BACK_OFF = (timedelta(seconds=1),)
    settings.RETRY_INTERVAL = timedelta(seconds=1)
    portal.lifetime = lifetime
    lineage_clock.now += timedelta(days=1)
    short = in_house(now=lineage_clock.now, days=lifetime / timedelta(days=1))
    lineages.set_current(lineage, lineages.adopt(read(short), source=Source.API, actor=None, now=lineage_clock.now))
    made = set()
    for _ in range(250):
        for pk in {*renewals.scan(lineage_clock.now), *renewals.due(lineage_clock.now)}:
            advance(pk, portal)
        work(phones, lineage_clock)
        assert all(phone.is_covered(lineage_clock.now) for phone in phones)
        made.add(Lineage.objects.get(pk=lineage.pk).current_id)
        lineage_clock.forward(seconds=4)
    assert len(made) >= 3
    assert portal.posts == Renewal.objects.filter(posted_at__isnull=False).count()


def test_the_old_one_is_deleted_at_apple_last_and_only_when_allowed(lineage, portal, phones, lineage_clock):
    lineage.delete_at_apple = True
    lineage.save()
    ProvisioningProfile.objects.filter(pk=lineage.current_id).update(apple_id="P0")
    until(due(lineage, lineage_clock), portal, {State.CLEANUP}, phones=phones)
    assert portal.calls["delete_profile"] == 0
    until(Renewal.objects.get().pk, portal, {State.DONE}, phones=phones)
    assert portal.calls["delete_profile"] == 1


def test_nothing_is_deleted_at_apple_while_a_device_is_missing(lineage, portal, phones, lineage_clock):
    lineage.delete_at_apple = True
    lineage.save()
    renewal = until(due(lineage, lineage_clock), portal, {State.DONE}, phones=phones[:-1], hours=12)
    assert portal.calls["delete_profile"] == 0
    assert "stays at Apple" in " ".join(events(renewal))


# --- what begins one --------------------------------------------------------------------------------------------------------


def test_two_scans_begin_one_renewal(lineage, lineage_clock):
    due(lineage, lineage_clock)
    assert renewals.scan(lineage_clock.now) == []
    assert Renewal.objects.count() == 1


@pytest.mark.parametrize("number", [5, 500])
def test_the_scan_takes_the_same_statements_however_many_are_due(
    lineage, lineage_clock, number, django_assert_num_queries
):
    Lineage.objects.bulk_create(
        Lineage(
            team=lineage.team, application_identifier=f"X.{index}", kind=lineage.kind, platform="iOS", name=f"{index}",
            policy=Policy.AUTO, current=lineage.current, renew_at=lineage.renew_at, created_at=lineage_clock.now,
        )
        for index in range(number - 1)
    )  # fmt: skip
    lineage_clock.now = lineage.renew_at
    with django_assert_num_queries(4):
        assert len(renewals.scan(lineage_clock.now)) == number
    assert RenewalEvent.objects.count() == number


@pytest.mark.parametrize("policy", [Policy.PROPOSE, Policy.MANUAL])
def test_a_lineage_that_is_not_to_renew_itself_waits_for_somebody(lineage, portal, lineage_clock, policy):
    Lineage.objects.update(policy=policy)
    renewal = advance(due(lineage, lineage_clock), portal)
    assert renewal.state == State.DUE
    assert portal.posts == 0
    assert Alert.objects.filter(title__contains="is due", resolved_at=None).exists()
    lineage_clock.forward(days=1)
    assert advance(renewal.pk, portal).state == State.DUE


def test_an_approved_renewal_goes_on(lineage, portal, lineage_clock):
    Lineage.objects.update(policy=Policy.PROPOSE)
    renewal = advance(due(lineage, lineage_clock), portal)
    user = User.objects.create_user("admin")
    renewals.approve(renewal, by=user, now=lineage_clock.now, reason="needed")
    renewal = advance(renewal.pk, portal)
    assert (renewal.state, renewal.approved_by) == (State.DONE, user)
    assert not Alert.objects.filter(resolved_at=None).exists()
    assert AuditEvent.objects.filter(action="renewal.approve", reason="needed").exists()


def test_a_change_of_the_policy_is_seen_by_a_waiting_renewal(lineage, portal, lineage_clock):
    Lineage.objects.update(policy=Policy.PROPOSE)
    pk = due(lineage, lineage_clock)
    advance(pk, portal)
    Lineage.objects.update(policy=Policy.AUTO)
    lineage_clock.forward(hours=2)
    assert advance(pk, portal).state == State.DONE


def test_what_lies_in_one_app_is_renewed_with_it(lineage, portal, lineage_clock):
    later = in_house(bundle_identifier="com.example.pos.share", now=lineage_clock.now + timedelta(days=20))
    lonely = in_house(bundle_identifier="com.example.other", now=lineage_clock.now + timedelta(days=20))
    app = EnterpriseApp.objects.create(name="POS", bundle_identifier="com.example.pos", created_at=lineage_clock.now)
    version = AppVersion.objects.create(app=app, version="1", size=1, sha256="0", uploaded_at=lineage_clock.now)
    share, other = (
        lineages.adopt(read(data), source=Source.IPA, actor=None, now=lineage_clock.now) for data in (later, lonely)
    )
    for profile in (lineage.current, share):
        AppBundle.objects.create(version=version, path=str(profile), profile=profile, lineage=profile.lineage)
    lineage_clock.now = lineage.renew_at
    renewals.scan(lineage_clock.now)
    begun = set(Renewal.objects.values_list("lineage_id", flat=True))
    assert begun == {lineage.pk, share.lineage_id}
    assert other.lineage_id not in begun


def test_starting_by_hand_starts_its_siblings_and_never_twice(lineage, lineage_clock):
    renewal = renewals.start(lineage, by=None, now=lineage_clock.now)
    assert renewal.state == State.PLANNED
    with pytest.raises(ProvisioningRefused, match="already"):
        renewals.start(lineage, by=None, now=lineage_clock.now)


def test_what_was_cancelled_does_not_begin_again_by_itself(lineage, portal, lineage_clock):
    renewal = Renewal.objects.get(pk=due(lineage, lineage_clock))
    renewals.cancel(renewal, by=None, now=lineage_clock.now)
    assert renewals.scan(lineage_clock.forward(days=1)) == []
    assert advance(renewal.pk, portal).state == State.CANCELLED
    assert portal.posts == 0
    assert renewals.start(lineage, by=None, now=lineage_clock.now).pk != renewal.pk


def test_a_cancelled_roll_out_goes_back(lineage, portal, phones, lineage_clock):
    old = lineage.current
    renewal = until(due(lineage, lineage_clock), portal, {State.ROLLING_OUT}, phones=phones[:3])
    lineage.refresh_from_db()
    assert lineage.current == renewal.new_profile
    renewals.cancel(renewal, by=None, now=lineage_clock.now)
    lineage.refresh_from_db()
    assert lineage.current == old
    work(phones, lineage_clock)
    assert all(old.uuid in phone.held for phone in phones)


# --- files by hand ------------------------------------------------------------------------------------------------------------


def test_an_uploaded_file_goes_through_the_same_checks(lineage, portal, lineage_clock):
    Lineage.objects.update(policy=Policy.MANUAL)
    pk = due(lineage, lineage_clock)
    advance(pk, portal)
    renewal = renewals.upload(read(in_house(now=lineage_clock.now)), by=None, now=lineage_clock.now)
    assert (renewal.pk, renewal.state) == (pk, State.FETCHED)
    assert advance(pk, portal).state == State.DONE
    assert portal.calls.total() == 0


def test_an_upload_without_a_renewal_begins_one(lineage, portal, lineage_clock):
    lineage_clock.forward(days=100)
    renewal = renewals.upload(read(in_house(now=lineage_clock.now)), by=None, now=lineage_clock.now)
    assert renewal.state == State.FETCHED
    again = renewals.upload(read(bytes(renewal.new_profile.data)), by=None, now=lineage_clock.now)
    assert again.pk == renewal.pk


def test_an_older_file_is_refused_and_the_current_one_changes_nothing(lineage, lineage_clock):
    assert renewals.upload(read(bytes(lineage.current.data)), by=None, now=lineage_clock.now) is None
    with pytest.raises(ProvisioningRefused, match="older"):
        renewals.upload(read(in_house(days=100)), by=None, now=lineage_clock.now)
    assert ProvisioningProfile.objects.count() == 1


def test_an_uploaded_file_without_an_entitlement_is_rejected_with_the_difference(lineage, portal, lineage_clock):
    lineages.set_current(lineage, lineages.adopt(
        read(in_house(entitlements={"aps-environment": "production"})), source=Source.UPLOAD, actor=None, now=lineage_clock.now
    ))  # fmt: skip
    lineage_clock.forward(days=100)
    renewal = renewals.upload(read(in_house(now=lineage_clock.now)), by=None, now=lineage_clock.now)
    renewal = advance(renewal.pk, portal)
    assert renewal.state == State.REJECTED
    assert [(one["severity"], one["key"]) for one in renewal.findings] == [("error", "entitlement:aps-environment")]
    assert Alert.objects.filter(text__contains="aps-environment").exists()


# --- nothing secret ---------------------------------------------------------------------------------------------------------------


def test_nothing_secret_is_in_events_audit_alerts_and_logs(lineage, portal, phones, lineage_clock, caplog):
    caplog.set_level("DEBUG")
    portal.refuse("create_profile", ErrorKind.UNAVAILABLE)
    renewal = until(due(lineage, lineage_clock), portal, {State.DONE}, phones=phones)
    rows = [
        *RenewalEvent.objects.values_list("sentence", "details"),
        *AuditEvent.objects.values_list("action", "reason", "details", "object_label"),
        *Alert.objects.values_list("title", "text"),
        *Renewal.objects.values_list("error", "findings"),
    ]
    text = json.dumps(rows, default=str) + caplog.text
    assert len(rows) > 8
    for secret in (
        "SECRET-P8",
        "PRIVATE KEY",
        "eyJ",
        "Bearer",
        "MII",
        "PHONE-",
        str(bytes(renewal.new_profile.data)[:40]),
    ):
        assert secret not in text
