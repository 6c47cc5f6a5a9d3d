"""What IT hears of, when, and until when."""

from datetime import timedelta

import pytest

from devices.groups import ensure_all_group
from operations.models import Alert
from provisioning import acts, alerts, lineages, polling, renewals, rollout
from provisioning.appstoreconnect import ErrorKind
from provisioning.models import (
    ApiKey,
    KeyState,
    Lineage,
    LineageAssignment,
    ListedProvisioningProfile,
    Policy,
    ProvisioningInstallation,
    Renewal,
    RenewalState,
    Source,
)
from tests.protocol.provisioning_files import NOW, developer, in_house
from tests.provisioning.conftest import read
from tests.provisioning.phones import Phone, enrollments


def titles():
    return list(Alert.objects.filter(resolved_at=None).values_list("title", flat=True))


@pytest.mark.parametrize(("days", "threshold"), [(59, 60), (29, 30), (13, 14), (6, 7), (2, 3), (0.5, 1)])
def test_an_end_is_told_at_each_threshold(lineage, lineage_clock, days, threshold):
    lineage_clock.now = lineage.effective_end - timedelta(days=days)
    alerts.warn(lineage_clock.now)
    assert titles() == [f"{lineage} ends within {threshold} days"]
    alerts.warn(lineage_clock.now)
    assert Alert.objects.count() == 1


def test_before_there_is_a_new_profile_it_is_told_how_many_devices_are_at_stake(lineage, lineage_clock):
    LineageAssignment.objects.create(
        lineage=lineage, group=ensure_all_group(lineage_clock.now), created_at=lineage_clock.now
    )
    here, _away = [Phone(enrollment) for enrollment in enrollments(2, lineage_clock.now)]
    rollout.plan_all(lineage_clock.now)
    here.connect(lineage_clock.now)
    alerts.warn(lineage.effective_end - timedelta(days=59))
    (text,) = Alert.objects.values_list("text", flat=True)
    assert "1 of 2 devices have the present profile. Without it: device" in text


def test_the_next_threshold_replaces_the_last_and_a_renewal_resolves_it(lineage, lineage_clock):
    for days in (59, 29):
        lineage_clock.now = lineage.effective_end - timedelta(days=days)
        alerts.warn(lineage_clock.now)
    assert titles() == [f"{lineage} ends within 30 days"]
    new = lineages.adopt(read(in_house(now=lineage_clock.now)), source=Source.API, actor=None, now=lineage_clock.now)
    lineages.set_current(Lineage.objects.get(), new)
    alerts.warn(lineage_clock.now)
    assert titles() == []


def test_a_retired_lineage_is_silent(lineage, lineage_clock):
    Lineage.objects.update(retired_at=lineage_clock.now)
    assert alerts.warn(lineage.effective_end) == 0


def test_the_renewal_of_a_retired_lineage_rests_and_asks_for_nothing(lineage, portal, lineage_clock):
    Lineage.objects.update(policy=Policy.PROPOSE)
    lineage_clock.now = lineage.renew_at
    (pk,) = renewals.scan(lineage_clock.now)
    renewals.advance(pk, lineage_clock.now, client_for=portal.client_for)
    assert any("it waits for approval" in title for title in titles())
    acts.retire(lineage, reason="the app is gone", actor=None, now=lineage_clock.now)
    lineage_clock.forward(days=1)
    alerts.warn(lineage_clock.now)
    assert (renewals.due(lineage_clock.now), titles()) == ([], [])
    acts.revive(lineage, actor=None, now=lineage_clock.now)
    assert renewals.due(lineage_clock.now) == [pk]


def test_stragglers_are_named_until_the_old_profile_has_ended(lineage, portal, lineage_clock):
    LineageAssignment.objects.create(
        lineage=lineage, group=ensure_all_group(lineage_clock.now), created_at=lineage_clock.now
    )
    phones = [Phone(enrollment) for enrollment in enrollments(4, lineage_clock.now)]
    for phone in phones[:3]:
        phone.enrollment.device.name = f"Phone {phone.enrollment.pk}"
        phone.enrollment.device.save()

    def work(some):
        rollout.plan_all(lineage_clock.now)
        for phone in some:
            phone.connect(lineage_clock.now)
        rollout.plan_all(lineage_clock.now)

    work(phones)
    lineage_clock.now = lineage.renew_at
    (pk,) = renewals.scan(lineage_clock.now)
    for _ in range(8):
        renewals.advance(pk, lineage_clock.now, client_for=portal.client_for)
        work(phones[:2])
        lineage_clock.forward(days=1)
    assert Renewal.objects.get().state == RenewalState.ROLLING_OUT
    alerts.warn(lineage_clock.now)
    (alert,) = Alert.objects.filter(resolved_at=None)
    assert "2 of 4 devices have the new profile" in alert.text
    assert phones[2].enrollment.device.name in alert.text
    assert phones[0].enrollment.device.name not in alert.text
    assert "PHONE-" not in alert.text, "a device without a name is not told by its UDID"
    work(phones)
    alerts.warn(lineage_clock.now)
    assert titles() == []


def test_a_refused_profile_is_not_what_devices_should_hold(lineage, portal, lineage_clock):
    LineageAssignment.objects.create(
        lineage=lineage, group=ensure_all_group(lineage_clock.now), created_at=lineage_clock.now
    )
    (phone,) = [Phone(enrollment) for enrollment in enrollments(1, lineage_clock.now)]
    rollout.plan_all(lineage_clock.now)
    phone.connect(lineage_clock.now)
    portal.changes = {"days": 40}
    lineage_clock.now = lineage.renew_at
    (pk,) = renewals.scan(lineage_clock.now)
    renewals.advance(pk, lineage_clock.now, client_for=portal.client_for)
    assert Renewal.objects.get().state == RenewalState.REJECTED
    lineage.refresh_from_db()
    assert rollout.coverage(lineage).current == 1
    assert not rollout.stragglers(lineage).exists()


def test_a_certificate_is_told_before_it_spoils_the_next_renewal(lineage, lineage_clock):
    short = developer("Short Ltd", days=400)
    data = in_house(bundle_identifier="com.example.short", certificates=[short])
    other = lineages.adopt(read(data), source=Source.UPLOAD, actor=None, now=lineage_clock.now).lineage
    alerts.warn(other.effective_end - timedelta(days=91))
    assert titles() == []
    alerts.warn(other.effective_end - timedelta(days=89))
    assert titles() == [f"The next renewal of {other} will be short"]
    Lineage.objects.filter(pk=other.pk).update(effective_end=other.effective_end + timedelta(days=300))
    alerts.warn(NOW + timedelta(days=400 - 29))
    assert f"The certificate of {other} ends within 30 days" in titles()


def test_a_key_that_fails_is_told_until_it_works(lineage, lineage_clock):
    ApiKey.objects.update(state=KeyState.FAILING, error_kind="key", error="Revoked.")
    alerts.warn(lineage_clock.now)
    assert [alert.text for alert in Alert.objects.filter(resolved_at=None)] == ["Revoked."]
    ApiKey.objects.update(state=KeyState.WORKING, error_kind="", error="")
    alerts.warn(lineage_clock.now)
    assert titles() == []


def test_a_renewal_that_apple_keeps_waiting_is_told_when_half_its_lead_is_gone(lineage, portal, lineage_clock):
    portal.refuse("bundle_ids", ErrorKind.UNAVAILABLE, times=5000)
    lineage_clock.now = lineage.renew_at
    (pk,) = renewals.scan(lineage_clock.now)
    renewals.advance(pk, lineage_clock.now, client_for=portal.client_for)
    alerts.warn(lineage_clock.now)
    assert "late" not in " ".join(titles())
    alerts.warn(lineage.effective_end - timedelta(days=22))
    assert f"The renewal of {lineage} is late" in titles()


def test_what_a_renewal_said_at_once_the_job_neither_repeats_nor_resolves(lineage, portal, lineage_clock):
    Lineage.objects.update(policy=Policy.PROPOSE)
    lineage_clock.now = lineage.renew_at
    (pk,) = renewals.scan(lineage_clock.now)
    renewals.advance(pk, lineage_clock.now, client_for=portal.client_for)
    before = set(Alert.objects.values_list("key", flat=True))
    alerts.warn(lineage_clock.now)
    assert Alert.objects.filter(key__in=before, resolved_at=None).count() == len(before) == 1
    assert Alert.objects.filter(key__contains=":renewal:").count() == 1


def test_devices_are_asked_for_their_lists_daily_but_not_woken_before_their_wave(lineage, portal, lineage_clock):
    assert Lineage.objects.exists()
    LineageAssignment.objects.create(
        lineage=lineage, group=ensure_all_group(lineage_clock.now), created_at=lineage_clock.now
    )
    phones = [Phone(enrollment) for enrollment in enrollments(10, lineage_clock.now)]
    rollout.plan_all(lineage_clock.now)
    for phone in phones:
        phone.connect(lineage_clock.now)
    assert ListedProvisioningProfile.objects.count() == 10
    assert polling.poll_lists(lineage_clock.now) == 0
    assert polling.poll_lists(lineage_clock.forward(days=2)) == 10
    assert polling.poll_lists(lineage_clock.now) == 0, "they are asked already"
    for phone in phones:
        phone.connect(lineage_clock.now)
    lineage_clock.now = lineage.renew_at
    (pk,) = renewals.scan(lineage_clock.now)
    renewals.advance(pk, lineage_clock.now, client_for=portal.client_for)
    assert ProvisioningInstallation.objects.filter(wave=1).count() == 1
    assert polling.poll_lists(lineage_clock.now) == 1
