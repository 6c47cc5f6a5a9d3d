"""The dry run: what a renewal would do, in GETs only, and everything that stands in its way at once."""

from datetime import timedelta

import pytest

from provisioning import lineages, renewals
from provisioning.appstoreconnect import ErrorKind
from provisioning.errors import ProvisioningRefused
from provisioning.models import Lineage, Renewal, Source
from tests.protocol.provisioning_files import developer, in_house
from tests.provisioning.conftest import read


def test_a_dry_run_tells_what_would_be_made_and_makes_nothing(lineage, portal, lineage_clock):
    told = renewals.dry_run(lineage, lineage_clock.now, portal)
    assert told.works
    assert (told.profile_type, told.device_count, told.is_wildcard) == ("IOS_APP_INHOUSE", None, False)
    assert told.predicted_end == lineage_clock.now + timedelta(days=365)
    assert told.certificate_end == developer().certificate.not_valid_after_utc
    assert not told.is_limited_by_certificate
    assert told.begins_at == lineage.renew_at
    assert "aps-environment" not in told.entitlements
    assert told.rate_remaining == 3000
    assert (portal.posts, Renewal.objects.count()) == (0, 0)
    renewals.scan(lineage.renew_at)
    lineage_clock.now = lineage.renew_at
    renewals.advance(Renewal.objects.get().pk, lineage_clock.now, client_for=portal.client_for)
    assert Renewal.objects.get().planned_name == renewals.dry_run(lineage, lineage_clock.now, portal).name.removesuffix(
        "-2"
    )


def test_a_dry_run_names_every_problem(lineage, portal, lineage_clock):
    portal.bundle_identifiers.clear()
    portal.certificates_known = []
    told = renewals.dry_run(lineage, lineage_clock.now, portal)
    assert not told.works
    assert len(told.problems) == 2
    assert told.predicted_end is None


def test_the_same_problem_is_told_once(lineage, portal, lineage_clock):
    portal.refuse("bundle_ids", ErrorKind.KEY)
    portal.refuse("certificates", ErrorKind.KEY)
    assert renewals.dry_run(lineage, lineage_clock.now, portal).problems == ("Apple says key.",)


def test_devices_are_counted(lineage, portal, lineage_clock):
    udids = [f"00008030-{number:016X}" for number in range(3)]
    portal.devices_known = dict.fromkeys(udids[:2], "ENABLED")
    data = in_house(kind="ad_hoc", devices=udids)
    row = lineages.adopt(read(data), source=Source.UPLOAD, actor=None, now=lineage_clock.now)
    assert renewals.dry_run(row.lineage, lineage_clock.now, portal).device_count == 2


def test_without_a_profile_there_is_nothing_to_rehearse(lineage, portal, lineage_clock):
    Lineage.objects.update(current=None)
    with pytest.raises(ProvisioningRefused):
        renewals.dry_run(Lineage.objects.get(), lineage_clock.now, portal)
