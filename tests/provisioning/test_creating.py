"""Making a profile at Apple: whatever is killed, repeated or lost, there is one new profile; what needs somebody waits."""

import threading
from datetime import timedelta

import pytest
from django.db import connection, connections

from operations.models import Alert
from provisioning import lineages, renewals
from provisioning.appstoreconnect import AppStoreConnectError, ErrorKind
from provisioning.creating import plan_name
from provisioning.models import (
    ApiKey,
    KeyState,
    Lineage,
    ProvisioningProfile,
    Renewal,
    RenewalEvent,
    RenewalState,
    Source,
)
from tests.protocol.provisioning_files import NOW, TEAM, developer, in_house
from tests.provisioning.conftest import read
from tests.provisioning.fake_apple import WorkerKilledError

State = RenewalState
# Nobody is assigned in these tests, so a profile that fits is rolled out to nobody at once.
FITS = State.DONE
LOST = AppStoreConnectError(ErrorKind.UNAVAILABLE, "Apple gave no usable answer.")


@pytest.fixture
def renewal(lineage, lineage_clock):
    lineage_clock.now = lineage.renew_at
    (pk,) = renewals.scan(lineage_clock.now)
    return Renewal.objects.get(pk=pk)


def advance(renewal, portal):
    renewals.advance(renewal.pk, portal.clock(), client_for=portal.client_for)
    renewal.refresh_from_db()
    return renewal.state


def settle(renewal, portal, *, most=100):
    """Advance at each moment that the renewal itself asked for."""
    for _ in range(most):
        state = advance(renewal, portal)
        if renewal.finished_at or state == State.BLOCKED:
            return state
        portal.clock.now = max(renewal.next_at, portal.clock.now)
    raise AssertionError(f"still {state}: {renewal.error}")


def after(error):
    """Apple does it, and the answer is lost."""

    def lose(_result):
        raise error

    return lose


def told(renewal):
    return " ".join(RenewalEvent.objects.filter(renewal=renewal).values_list("sentence", flat=True))


# --- one profile, whatever happens ------------------------------------------------------------------------------------------


def test_one_look_and_one_post_make_the_profile(renewal, portal):
    assert settle(renewal, portal) == FITS
    assert portal.calls["profiles_of_bundle_id"] == portal.posts == 1
    (made,) = portal.profiles_made.values()
    assert (made.name, made.id) == (renewal.planned_name, renewal.apple_id)
    assert ApiKey.objects.get().state == KeyState.WORKING


def test_a_crash_before_the_post_is_healed(renewal, portal):
    portal.fail("certificates", WorkerKilledError())
    with pytest.raises(WorkerKilledError):
        advance(renewal, portal)
    renewal.refresh_from_db()
    name = renewal.planned_name
    assert name
    assert settle(renewal, portal) == FITS
    assert (portal.made, portal.posts) == (1, 1)
    assert renewal.new_profile.name == name


def test_a_crash_between_post_and_save_is_healed_without_a_second_post(renewal, portal):
    portal.fail("create_profile", after(WorkerKilledError()))
    with pytest.raises(WorkerKilledError):
        advance(renewal, portal)
    assert (portal.made, renewal.new_profile_id) == (1, None)
    assert advance(renewal, portal) == State.CREATING, "nobody takes it over while the lease runs"
    portal.clock.forward(minutes=16)
    assert settle(renewal, portal) == FITS
    assert (portal.made, portal.posts) == (1, 1)


@pytest.mark.parametrize("error", [LOST, AppStoreConnectError(ErrorKind.RATE_LIMIT, "Slow down.", retry_after=90)])
def test_an_answer_that_is_lost_after_creating_is_found_again(renewal, portal, error):
    portal.fail("create_profile", after(error))
    assert settle(renewal, portal) == FITS
    assert (portal.made, portal.posts) == (1, 1)


def test_a_post_that_never_arrived_is_repeated_after_two_empty_looks_thirty_seconds_apart(renewal, portal):
    portal.fail("create_profile", LOST)
    began = portal.clock.now
    advance(renewal, portal)
    looks = []
    while portal.posts < 2:
        portal.clock.now = renewal.next_at
        before = portal.calls["profiles_of_bundle_id"]
        advance(renewal, portal)
        if portal.calls["profiles_of_bundle_id"] > before:
            looks.append(portal.clock.now)
    assert len(looks) == 2
    assert looks[1] - looks[0] >= timedelta(seconds=30)
    assert looks[0] - began >= timedelta(seconds=30)
    assert settle(renewal, portal) == FITS
    assert portal.made == 1


def test_an_impatient_person_does_not_shorten_the_time_between_the_looks(renewal, portal):
    portal.fail("create_profile", LOST)
    advance(renewal, portal)
    portal.clock.now = renewal.next_at
    for _ in range(3):
        advance(renewal, portal)
        renewals.retry(renewal, by=None, now=portal.clock.forward(seconds=5))
    assert portal.posts == 1
    assert settle(renewal, portal) == FITS
    assert (portal.posts, portal.made) == (2, 1)


def test_a_list_that_lags_behind_does_not_make_a_second_profile(renewal, portal):
    def vanish(made):
        portal.invisible.add(made.id)
        raise LOST

    portal.fail("create_profile", vanish)
    advance(renewal, portal)
    portal.clock.now = renewal.next_at
    advance(renewal, portal)
    portal.invisible.clear()
    assert settle(renewal, portal) == FITS
    assert (portal.made, portal.posts) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_two_workers_make_one_profile(lineage, portal):
    portal.clock.now = lineage.renew_at
    (pk,) = renewals.scan(portal.clock.now)
    barrier, errors = threading.Barrier(2), []

    def work():
        barrier.wait(10)
        try:
            renewals.advance(pk, portal.clock.now, client_for=portal.client_for)
        except Exception as error:  # noqa: BLE001
            errors.append(error)
        finally:
            connections.close_all()

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert errors == []
    assert (portal.made, portal.posts) == (1, 1)
    assert Renewal.objects.get().state == FITS
    connection.close()


def test_a_worker_that_was_overtaken_does_not_post(renewal, portal):
    """Its lease ran out while Apple took its time, and another worker went on."""

    def overtake(found):
        Renewal.objects.update(next_at=portal.clock.now + timedelta(hours=1))
        return found

    portal.fail("certificates", overtake)
    advance(renewal, portal)
    assert portal.posts == 0


def test_a_renewal_cancelled_during_the_post_rolls_nothing_out(renewal, portal):
    def cancel(made):
        renewals.cancel(renewal, by=None, now=portal.clock.now)
        return made

    portal.fail("create_profile", cancel)
    assert advance(renewal, portal) == State.CANCELLED
    assert "had gone on without it" in told(renewal)
    assert Lineage.objects.get().current_id == renewal.old_profile_id


# --- names -------------------------------------------------------------------------------------------------------------------


def test_a_name_is_short_and_plain_and_never_used_twice(renewal):
    renewal.lineage.application_identifier = f"{TEAM}.com.exämple.{'very' * 20}.*"
    name = plan_name(renewal, now=NOW)
    assert len(name) <= 50
    assert name.isascii()
    assert name.endswith(" 20260301")
    renewal.planned_name = name
    renewal.save()
    assert plan_name(renewal, now=NOW) == f"{name}-2"


def test_a_hidden_expired_profile_with_the_name_leads_to_the_next_name(renewal, portal):
    name = plan_name(renewal, now=portal.clock.now)
    old = portal.add(name, now=NOW, days=30)
    portal.hidden.add(old.id)
    assert settle(renewal, portal) == FITS
    assert renewal.planned_name == f"{name}-2"
    assert portal.made == 2


def test_a_name_that_nothing_visible_holds_leads_to_the_next_name(renewal, portal):
    """A profile of another App ID, hidden as well."""
    name = plan_name(renewal, now=portal.clock.now)
    other = portal.add(name, bundle_id="Bcom.example.other")
    portal.hidden.add(other.id)
    assert settle(renewal, portal) == FITS
    assert renewal.planned_name == f"{name}-2"


def test_a_profile_of_another_type_with_the_name_is_not_adopted(renewal, portal):
    foreign = portal.add(plan_name(renewal, now=portal.clock.now), "IOS_APP_STORE")
    assert settle(renewal, portal) == FITS
    assert renewal.apple_id != foreign.id


def test_what_somebody_made_in_the_portal_by_hand_is_adopted(renewal, portal):
    made = portal.add("Made by hand")
    assert settle(renewal, portal) == FITS
    assert (portal.posts, renewal.apple_id) == (0, made.id)


def test_what_somebody_made_by_hand_without_an_entitlement_is_not(renewal, portal):
    portal.add("Made by hand", entitlements={"keychain-access-groups": []})
    assert settle(renewal, portal) == FITS
    assert portal.posts == 1


# --- what Apple may say --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [ErrorKind.KEY, ErrorKind.MEMBERSHIP, ErrorKind.ROLE, ErrorKind.APP_ID, ErrorKind.CERTIFICATE, ErrorKind.CLOCK,
     ErrorKind.CAPABILITY, ErrorKind.BUG],
)  # fmt: skip
def test_what_needs_somebody_blocks_and_says_so_once(renewal, portal, kind):
    portal.refuse("create_profile", kind, times=1)
    assert settle(renewal, portal) == State.BLOCKED
    assert (renewal.error_kind, renewal.error) == (kind, f"Apple says {kind.value}.")
    (alert,) = Alert.objects.filter(resolved_at=None)
    assert alert.text == f"Apple says {kind.value}."
    renewals.retry(renewal, by=None, now=portal.clock.now)
    assert settle(renewal, portal) == FITS
    assert portal.made == 1
    assert not Alert.objects.filter(resolved_at=None).exists()


def test_an_agreement_is_tried_slowly_then_blocks_then_daily_and_heals_by_itself(renewal, portal):
    portal.refuse("bundle_ids", ErrorKind.AGREEMENT, times=7)
    began = portal.clock.now
    assert settle(renewal, portal) == State.BLOCKED
    assert timedelta(hours=3) <= portal.clock.now - began < timedelta(hours=5)
    assert ApiKey.objects.get().state == KeyState.FAILING
    events = RenewalEvent.objects.filter(renewal=renewal).count()
    for _ in range(3):
        assert renewal.next_at - portal.clock.now == timedelta(days=1)
        portal.clock.now = renewal.next_at
        state = advance(renewal, portal)
    assert state == State.BLOCKED
    assert RenewalEvent.objects.filter(renewal=renewal).count() == events, "the same is not told every day"
    assert Alert.objects.count() == 1
    portal.clock.now = renewal.next_at
    assert settle(renewal, portal) == FITS
    assert not Alert.objects.filter(resolved_at=None).exists()


def test_apple_down_for_days_is_tried_hourly_and_never_given_up(renewal, portal):
    portal.refuse("bundle_ids", ErrorKind.UNAVAILABLE, times=80)
    began = portal.clock.now
    assert settle(renewal, portal) == FITS
    assert portal.clock.now - began > timedelta(days=3)
    assert portal.posts == 1


def test_a_rate_limit_is_honoured(renewal, portal):
    portal.fail("bundle_ids", AppStoreConnectError(ErrorKind.RATE_LIMIT, "Slow down.", retry_after=1234))
    advance(renewal, portal)
    assert renewal.next_at - portal.clock.now == timedelta(seconds=1234)


def test_what_was_deleted_meanwhile_is_resolved_once_more(renewal, portal):
    portal.refuse("create_profile", ErrorKind.NOT_FOUND)
    assert settle(renewal, portal) == FITS


def test_a_missing_app_id_blocks(renewal, portal):
    portal.bundle_identifiers.clear()
    assert settle(renewal, portal) == State.BLOCKED
    assert renewal.error_kind == ErrorKind.APP_ID


def test_an_app_id_with_another_prefix_is_not_taken(renewal, portal):
    portal.bundle_identifiers["com.example.pos"] = "ZZ99ZZ99ZZ"
    assert settle(renewal, portal) == State.BLOCKED
    assert renewal.error_kind == ErrorKind.APP_ID


@pytest.mark.parametrize("certificates", [[], [developer("Other Ltd")]])
def test_without_the_signing_certificate_no_useless_profile_is_made(renewal, portal, certificates):
    portal.certificates_known = certificates
    assert settle(renewal, portal) == State.BLOCKED
    assert renewal.error_kind == ErrorKind.CERTIFICATE
    assert "sign the app again" in renewal.error
    assert portal.posts == 0


def test_a_certificate_that_ends_too_soon_makes_no_useless_profile(lineage, portal):
    short = developer("Short Ltd", days=380)
    portal.certificates_known = [short]
    data = in_house(bundle_identifier="com.example.short", certificates=[short])
    other = lineages.adopt(read(data), source=Source.UPLOAD, actor=None, now=portal.clock.now).lineage
    portal.bundle_identifiers["com.example.short"] = TEAM
    portal.clock.now = other.renew_at
    renewal = renewals.start(other, by=None, now=portal.clock.now)
    assert settle(renewal, portal) == State.BLOCKED
    assert (renewal.error_kind, portal.posts) == (ErrorKind.CERTIFICATE, 0)


def test_without_a_key_it_says_what_to_do(renewal, portal):
    ApiKey.objects.all().delete()
    assert settle(renewal, portal) == State.BLOCKED
    assert "add one, or upload" in renewal.error
    assert portal.calls.total() == 0


def test_a_profile_without_content_is_asked_for_again_and_then_blocks(renewal, portal):
    from dataclasses import replace

    empty = lambda made: replace(made, content=None, state="INVALID")  # noqa: E731
    portal.fail("create_profile", empty)
    portal.fail("profile", empty)
    assert settle(renewal, portal) == FITS
    assert (portal.posts, portal.made) == (1, 1)


def test_a_profile_that_stays_without_content_blocks(renewal, portal):
    from dataclasses import replace

    def spoil(made):
        portal.profiles_made[made.id] = replace(made, content=None, state="INVALID")
        return portal.profiles_made[made.id]

    portal.fail("create_profile", spoil)
    assert settle(renewal, portal) == State.BLOCKED
    assert (renewal.error_kind, portal.posts) == ("content", 1)


# --- what Apple may make -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"entitlements": {"keychain-access-groups": []}}, "entitlement:keychain-access-groups"),
        ({"certificates": [developer("Other Ltd")]}, "certificates"),
        ({"days": 40}, "expires"),
        ({"der_form": False}, "der_form"),
        ({"team": "ZZ99ZZ99ZZ"}, "team"),
        ({"bundle_identifier": "com.example.other"}, "application_identifier"),
    ],
)
def test_a_new_profile_that_would_stop_the_app_is_rejected_and_nothing_rolled_out(renewal, portal, changes, key):
    portal.changes = changes
    assert settle(renewal, portal) == State.REJECTED
    assert key in [finding["key"] for finding in renewal.findings if finding["severity"] == "error"]
    assert Lineage.objects.get(pk=renewal.lineage_id).current_id == renewal.old_profile_id
    assert Lineage.objects.count() == 1, "a foreign profile brings no lineage to life"
    assert renewals.scan(portal.clock.forward(days=1)) == [], "it is not tried again by itself"
    assert (portal.posts, Alert.objects.filter(resolved_at=None).count()) == (1, 1)


def test_what_apple_did_not_sign_is_not_taken(renewal, portal, settings):
    lineages.read(renewal.old_profile)
    settings.PROVISIONING_EXTRA_ROOTS = ""
    assert settle(renewal, portal) == State.BLOCKED
    assert renewal.error_kind == "content"
    assert ProvisioningProfile.objects.count() == 1


def test_devices_that_apple_disabled_need_not_be_listed(lineage, portal):
    udids = [f"00008030-{number:016X}" for number in range(3)]
    portal.devices_known = {udids[0]: "ENABLED", udids[1]: "ENABLED", udids[2]: "DISABLED", "0" * 40: "ENABLED"}
    data = in_house(kind="ad_hoc", devices=udids)
    row = lineages.adopt(read(data), source=Source.UPLOAD, actor=None, now=portal.clock.now)
    portal.clock.now = row.lineage.renew_at
    renewal = renewals.start(row.lineage, by=None, now=portal.clock.now)
    assert settle(renewal, portal) == FITS
    assert renewal.new_profile.device_count == 2
    assert [finding["severity"] for finding in renewal.findings] == ["warning"]
    text = told(renewal) + str(renewal.findings)
    assert not any(udid in text for udid in udids)


def test_a_step_that_fails_by_a_mistake_of_ours_is_tried_again_after_the_lease(renewal, portal, lineage_clock):
    portal.fail("bundle_ids", ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        advance(renewal, portal)
    assert renewals.due(lineage_clock.now) == []
    assert renewals.due(lineage_clock.forward(minutes=16)) == [renewal.pk]
    assert settle(renewal, portal) == FITS
