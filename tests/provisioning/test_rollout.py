"""Rolling a provisioning profile out: whom it reaches, what proves it, and when the old one goes."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices.groups import add_devices, ensure_all_group
from devices.models import Command, DeviceGroup, Enrollment, LadderState
from protocol.mobileprovision import read_provisioning_profile
from provisioning import lineages, rollout
from provisioning.models import (
    LineageAssignment,
    ListedProvisioningProfile,
    ProvisioningInstallation,
    Renewal,
    RenewalState,
    Source,
)
from tests.protocol.provisioning_files import NOW, in_house, roots
from tests.provisioning.phones import Phone, enrollments

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fake_apple(settings, tmp_path):
    from cryptography.hazmat.primitives.serialization import Encoding

    from tests.protocol.provisioning_files import apple

    path = tmp_path / "apple.pem"
    path.write_bytes(apple().root.certificate.public_bytes(Encoding.PEM))
    settings.PROVISIONING_EXTRA_ROOTS = str(path)


def adopt(data, now=NOW, **more):
    file = read_provisioning_profile(data, roots=roots())
    return lineages.adopt(file, source=Source.UPLOAD, actor=None, now=now, **more)


@pytest.fixture
def old():
    return adopt(in_house(name="old", days=100))


@pytest.fixture
def lineage(old):
    return old.lineage


def for_everyone(lineage):
    LineageAssignment.objects.create(lineage=lineage, group=ensure_all_group(NOW), created_at=NOW)


def renewal_of(lineage, old, *, state=RenewalState.CANARY, wave=1):
    new = adopt(in_house(name="new", now=NOW + timedelta(days=1)), now=NOW + timedelta(days=1))
    return Renewal.objects.create(
        lineage=lineage, old_profile=old, new_profile=new, state=state, wave=wave, started_at=NOW
    )


def state_of(phone, profile):
    return ProvisioningInstallation.objects.get(enrollment=phone.enrollment, profile=profile).state


def phones(number):
    return [Phone(enrollment) for enrollment in enrollments(number, NOW)]


def test_a_device_of_an_assigned_group_gets_the_profile_and_proves_it(old, lineage):
    for_everyone(lineage)
    (phone,) = phones(1)
    rollout.plan([phone.enrollment.pk], NOW)
    assert state_of(phone, old) == LadderState.QUEUED
    phone.connect(NOW)
    assert phone.held.keys() == {old.uuid}
    assert state_of(phone, old) == LadderState.INSTALLED
    assert rollout.plan([phone.enrollment.pk], NOW).changed == 0


def test_acknowledging_alone_proves_nothing(old, lineage, settings):
    for_everyone(lineage)
    (phone,) = phones(1)
    phone.forgets = True
    rollout.plan([phone.enrollment.pk], NOW)
    phone.connect(NOW)
    assert state_of(phone, old) == LadderState.DRIFTED


def test_a_profile_with_another_end_under_the_same_uuid_is_no_proof(old, lineage):
    for_everyone(lineage)
    (phone,) = phones(1)
    rollout.plan([phone.enrollment.pk], NOW)
    phone.forgets, phone.held = True, {old.uuid: NOW + timedelta(days=5)}
    phone.connect(NOW)
    assert state_of(phone, old) != LadderState.INSTALLED


def test_uuids_are_compared_without_case(old, lineage):
    for_everyone(lineage)
    (phone,) = phones(1)
    rollout.plan([phone.enrollment.pk], NOW)
    phone.forgets, phone.held = True, {old.uuid.upper(): old.expires_at}
    phone.connect(NOW)
    assert state_of(phone, old) == LadderState.INSTALLED


@pytest.mark.parametrize("odd", ["ß" * 64, "ﬃ" * 40, "A" * 60 + " " * 9, " " * 20, "\u0130" * 64, "x" * 65])
def test_what_is_no_uuid_in_a_list_is_left_out_and_hides_nothing(old, lineage, odd):
    for_everyone(lineage)
    (phone,) = phones(1)
    rollout.plan([phone.enrollment.pk], NOW)
    phone.embedded = {odd: NOW}
    phone.connect(NOW)
    assert list(ListedProvisioningProfile.objects.values_list("uuid", flat=True)) == [old.uuid]
    assert state_of(phone, old) == LadderState.INSTALLED


def test_a_device_that_lists_any_profile_of_the_lineage_is_a_target(old, lineage):
    (phone, other) = phones(2)
    phone.embedded = {old.uuid: old.expires_at}
    renewal = renewal_of(lineage, old)
    Command.objects.all().delete()
    from devices.commands import enqueue_each

    enqueue_each([phone.enrollment.pk, other.enrollment.pk], "ProvisioningProfileList", origin="a test", now=NOW)
    phone.connect(NOW)
    other.connect(NOW)
    assert renewal.new_profile.uuid in phone.held
    assert other.held == {}


def test_an_exclusion_beats_every_inclusion(old, lineage):
    for_everyone(lineage)
    phone, excluded = phones(2)
    group = DeviceGroup.objects.create(name="lab", created_at=NOW)
    add_devices(group, [excluded.enrollment.device], now=NOW)
    LineageAssignment.objects.create(lineage=lineage, group=group, excluded=True, created_at=NOW)
    rollout.plan_all(NOW)
    assert set(rollout.targets(lineage)) == {phone.enrollment}
    assert not Command.objects.filter(enrollment=excluded.enrollment).exists()


def test_waves_decide_whom_we_wake_and_not_who_gets_it(old, lineage):
    for_everyone(lineage)
    fleet = phones(60)
    rollout.plan_all(NOW)
    for phone in fleet:
        phone.connect(NOW)
    Enrollment.objects.update(next_push_at=None)
    renewal, later = renewal_of(lineage, old), NOW + timedelta(days=1)
    assert rollout.begin(renewal, later, waves=(10, 50, 100)) == 60
    waves = ProvisioningInstallation.objects.filter(profile=renewal.new_profile).order_by()
    numbers = {wave: waves.filter(wave=wave).count() for wave in (1, 2, 3, 4)}
    assert numbers == {1: 1, 2: 5, 3: 24, 4: 30}
    rollout.plan_all(later)
    assert Enrollment.objects.exclude(next_push_at=None).count() == 1
    # One of the last wave comes by itself: it gets the new profile now, for who knows when it comes again.
    last = waves.filter(wave=4).first().enrollment_id
    next(phone for phone in fleet if phone.enrollment.pk == last).connect(later)
    assert waves.get(enrollment=last).state == LadderState.INSTALLED
    renewal.wave = 2
    renewal.save()
    assert rollout.open_wave(renewal, later) == 5
    # The first, these five, and the one that was asked for its list.
    assert Enrollment.objects.exclude(next_push_at=None).count() == 7
    seen = rollout.progress(renewal)
    assert (seen.targets, seen.installed, seen.awake, seen.awake_installed) == (60, 1, 6, 0)


def test_a_plan_before_the_waves_are_made_wakes_nobody(old, lineage):
    for_everyone(lineage)
    fleet = phones(20)
    rollout.plan_all(NOW)
    for phone in fleet:
        phone.connect(NOW)
    Enrollment.objects.update(next_push_at=None)
    renewal, later = renewal_of(lineage, old), NOW + timedelta(days=1)
    rollout.plan_all(later)
    assert not Enrollment.objects.exclude(next_push_at=None).exists()
    rollout.begin(renewal, later, waves=(10, 50, 100))
    waves = ProvisioningInstallation.objects.filter(profile=renewal.new_profile).order_by()
    assert {wave: waves.filter(wave=wave).count() for wave in range(5)} == {0: 0, 1: 1, 2: 1, 3: 8, 4: 10}
    assert rollout.open_wave(renewal, later) == 1


def test_the_old_profile_goes_only_from_a_device_that_has_proved_the_new_one(old, lineage):
    for_everyone(lineage)
    good, bad = phones(2)
    rollout.plan_all(NOW)
    good.connect(NOW)
    bad.connect(NOW)
    renewal, later = renewal_of(lineage, old, state=RenewalState.ROLLING_OUT, wave=9), NOW + timedelta(days=2)
    bad.refuses = True
    rollout.plan_all(later)
    good.connect(later)
    bad.connect(later)
    assert good.held.keys() == {old.uuid, renewal.new_profile.uuid}
    Renewal.objects.update(state=RenewalState.CLEANUP)
    rollout.plan_all(later)
    good.connect(later)
    bad.connect(later)
    assert good.held.keys() == {renewal.new_profile.uuid}
    assert bad.held.keys() == {old.uuid}
    assert state_of(good, old) == LadderState.REMOVED


def test_a_profile_that_an_app_brought_stays_and_alarms_nobody(old, lineage):
    (phone,) = phones(1)
    phone.embedded = {old.uuid: old.expires_at}
    for_everyone(lineage)
    renewal = renewal_of(lineage, old, state=RenewalState.CLEANUP)
    rollout.plan_all(NOW)
    phone.connect(NOW)
    assert renewal.new_profile.uuid in phone.held
    row = ProvisioningInstallation.objects.get(enrollment=phone.enrollment, profile=old)
    assert (row.state, "does no harm" in row.reason) == (LadderState.FAILED, True)
    later = NOW + timedelta(days=3)
    assert rollout.plan_all(later).queued == 0


def test_a_paused_roll_out_queues_nothing_and_takes_back_what_was_not_handed_out(old, lineage):
    for_everyone(lineage)
    (phone,) = phones(1)
    renewal = renewal_of(lineage, old)
    rollout.plan_all(NOW)
    assert Command.objects.open().count() == 1
    Renewal.objects.update(paused_at=NOW)
    rollout.plan_all(NOW)
    assert Command.objects.open().count() == 0
    assert state_of(phone, renewal.new_profile) == LadderState.WAITING
    Renewal.objects.update(paused_at=None)
    rollout.plan_all(NOW)
    phone.connect(NOW)
    assert state_of(phone, renewal.new_profile) == LadderState.INSTALLED


def test_an_ad_hoc_profile_goes_to_the_devices_it_lists_only():
    listed, other = phones(2)
    profile = adopt(in_house(kind="ad_hoc", devices=[listed.enrollment.device.udid.lower()]))
    for_everyone(profile.lineage)
    rollout.plan_all(NOW)
    listed.connect(NOW)
    other.connect(NOW)
    assert state_of(listed, profile) == LadderState.INSTALLED
    row = ProvisioningInstallation.objects.get(enrollment=other.enrollment)
    assert (row.state, "not in the profile" in row.reason) == (LadderState.WAITING, True)


def test_a_profile_that_cannot_be_decrypted_holds_up_nobody_elses(old, lineage):
    for_everyone(lineage)
    other = adopt(in_house(kind="ad_hoc", devices=["PHONE"], bundle_identifier="com.example.other"))
    for_everyone(other.lineage)
    (phone,) = phones(1)
    lineages._parsed.clear()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE provisioning_provisioningprofile SET data = %s WHERE id = %s", [b"gone", other.pk])
    rollout.plan_all(NOW)
    phone.connect(NOW)
    assert state_of(phone, old) == LadderState.INSTALLED
    row = ProvisioningInstallation.objects.defer("profile__data").get(enrollment=phone.enrollment, profile=other.pk)
    assert (row.state, "cannot be read" in row.reason) == (LadderState.WAITING, True)


def test_coverage_and_stragglers_are_told_by_the_devices_own_lists(old, lineage):
    for_everyone(lineage)
    covered, behind, silent = phones(3)
    for phone in (covered, behind):
        rollout.plan([phone.enrollment.pk], NOW)
        phone.connect(NOW)
    renewal_of(lineage, old)
    rollout.plan([covered.enrollment.pk], NOW)
    covered.connect(NOW)
    seen = rollout.coverage(lineage)
    assert (seen.devices, seen.current, seen.only_old, seen.none) == (3, 1, 1, 1)
    assert {row.pk for row in rollout.stragglers(lineage)} == {behind.enrollment.pk, silent.enrollment.pk}


def test_a_list_that_was_asked_for_earlier_replaces_no_newer_one(old, lineage):
    for_everyone(lineage)
    (phone,) = phones(1)
    rollout.plan([phone.enrollment.pk], NOW)
    phone.connect(NOW)
    assert ListedProvisioningProfile.objects.get().uuid_key == old.uuid_key


def test_planning_costs_the_same_whatever_the_number_of_devices(old, lineage):
    for_everyone(lineage)

    def statements(number):
        ids = [enrollment.pk for enrollment in enrollments(number, NOW)]
        with CaptureQueriesContext(
            connection,
        ) as seen:
            rollout.plan(ids, NOW)
        return len(seen)

    # SQLite takes a thousand values in a statement: rows are written in more pieces, nothing else grows.
    assert statements(400) <= statements(10) + (15 if connection.vendor == "sqlite" else 2)


def test_a_command_that_comes_twice_is_one_installation(old, lineage):
    for_everyone(lineage)
    (phone,) = phones(1)
    rollout.plan([phone.enrollment.pk], NOW)
    rollout.plan([phone.enrollment.pk], NOW)
    phone.connect(NOW)
    assert phone.installs == 1
