"""A fleet on one lineage: the scan, a wave and its plans are set-based, whatever the number of devices (Proof 5)."""

from datetime import timedelta
from itertools import count

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices.groups import ensure_all_group
from devices.models import Enrollment, LadderState
from provisioning import lineages, polling, renewals, rollout
from provisioning.models import (
    Lineage,
    LineageAssignment,
    ListedProvisioningProfile,
    Policy,
    ProvisioningInstallation,
    Renewal,
    RenewalState,
    Source,
)
from tests.protocol.provisioning_files import NOW, in_house
from tests.provisioning.conftest import read
from tests.provisioning.phones import enrollments

pytestmark = [pytest.mark.django_db, pytest.mark.long, pytest.mark.usefixtures("fake_roots")]

MANY, FEW = 5000, 500
LATER = NOW + timedelta(days=330)
NUMBERS = count(1)


def statements(work) -> int:
    with CaptureQueriesContext(connection) as seen:
        work()
    return len(seen)


def rolled_out_to(number: int) -> Renewal:
    """A renewal whose new profile is about to go to so many devices, all of which hold the old one."""
    # Not the same App ID twice, nor the same devices.
    app = f"com.example.pos{next(NUMBERS)}"
    Enrollment.objects.all().delete()
    Lineage.objects.update(retired_at=NOW)
    enrolled = [one for start in range(0, number, 300) for one in enrollments(min(300, number - start), NOW)]
    old, new = (
        lineages.adopt(
            read(in_house(bundle_identifier=app, now=begin)), source=Source.UPLOAD, actor=None, now=begin
        )
        for begin in (NOW, LATER)
    )  # fmt: skip
    LineageAssignment.objects.create(lineage=old.lineage, group=ensure_all_group(NOW), created_at=NOW)
    ListedProvisioningProfile.objects.bulk_create(
        [
            ListedProvisioningProfile(
                enrollment=one, uuid=old.uuid, uuid_key=old.uuid_key, expires_at=old.expires_at, asked_at=NOW, reported_at=NOW
            )
            for one in enrolled
        ],
        100,
    )  # fmt: skip
    return Renewal.objects.create(
        lineage=old.lineage, old_profile=old, new_profile=new, state=RenewalState.CANARY, wave=1, started_at=LATER
    )


def test_a_scan_takes_the_same_statements_whatever_is_due_and_whatever_holds_it():
    rolled_out_to(10)
    Renewal.objects.all().delete()
    Lineage.objects.update(policy=Policy.AUTO)
    one = statements(lambda: renewals.scan(LATER))
    assert Renewal.objects.count() == 1
    Renewal.objects.all().delete()
    profile = Lineage.objects.get().current
    Lineage.objects.bulk_create(
        Lineage(
            team=profile.lineage.team, application_identifier=f"X.com.example.{n}", kind="in_house", platform="iOS",
            name=f"app {n}", policy=Policy.AUTO, current=profile, effective_end=profile.effective_end, renew_at=NOW,
            created_at=NOW,
        )
        for n in range(300)
    )  # fmt: skip
    assert statements(lambda: renewals.scan(LATER)) == one
    assert Renewal.objects.count() == 301
    assert statements(lambda: renewals.scan(LATER)) == one
    assert Renewal.objects.count() == 301


def test_a_wave_is_begun_and_opened_in_statements_for_many_devices_each():
    taken = {}
    for number in (FEW, MANY):
        renewal = rolled_out_to(number)
        begun = statements(lambda renewal=renewal: rollout.begin(renewal, LATER, waves=(10, 50, 100)))
        assert ProvisioningInstallation.objects.filter(profile=renewal.new_profile).count() == number
        renewal.wave = 4
        opened = statements(lambda renewal=renewal: rollout.open_wave(renewal, LATER))
        taken[number] = begun + opened
    # SQLite takes a thousand values in a statement: about fifty rows.
    assert taken[MANY] - taken[FEW] <= (MANY - FEW) / (50 if connection.vendor == "sqlite" else 250)


def test_waves_are_the_shares_they_say():
    renewal = rolled_out_to(MANY)
    rollout.begin(renewal, LATER, waves=(10, 50, 100))
    rows = ProvisioningInstallation.objects.filter(profile=renewal.new_profile)
    assert [rows.filter(wave=wave).count() for wave in (1, 2, 3, 4)] == [20, 480, 2000, 2500]


def test_where_a_roll_out_stands_is_one_statement():
    renewal = rolled_out_to(MANY)
    rollout.begin(renewal, LATER, waves=(10, 50, 100))
    rows = ProvisioningInstallation.objects.filter(profile=renewal.new_profile)
    rows.filter(wave__lte=2).update(state=LadderState.INSTALLED)
    with CaptureQueriesContext(connection) as seen:
        progress = rollout.progress(renewal)
    assert len(seen) == 1
    assert (progress.targets, progress.installed, progress.waiting) == (MANY, 500, 4500)


def test_planning_a_batch_costs_the_same_whatever_the_fleet():
    taken = {}
    for number in (FEW, MANY):
        rolled_out_to(number)
        ids = list(Enrollment.objects.order_by("pk").values_list("pk", flat=True)[:FEW])
        taken[number] = statements(lambda ids=ids: rollout.plan(ids, LATER))
    assert taken[MANY] == taken[FEW]


def test_asking_for_lists_is_set_based():
    taken = {}
    for number in (FEW, 2 * FEW):
        rolled_out_to(number)
        Renewal.objects.update(state=RenewalState.DONE)
        taken[number] = statements(lambda: polling.poll_lists(LATER))
    assert taken[2 * FEW] - taken[FEW] <= (60 if connection.vendor == "sqlite" else 15)
