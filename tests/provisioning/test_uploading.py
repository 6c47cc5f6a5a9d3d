"""Uploading: every file is named for what it is, nothing is written before it is taken, and what is taken renews."""

import io
from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from operations.models import AuditEvent
from provisioning import uploading
from provisioning.errors import ProvisioningRefused
from provisioning.models import Lineage, ProvisioningProfile, Renewal, RenewalState
from provisioning.uploading import Outcome
from tests.protocol.provisioning_files import NOW, apple, in_house, values
from tests.provisioning.files import ipa

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_roots")]
LATER = NOW + timedelta(days=200)


def read(data, now=NOW):
    return uploading.read_upload(io.BytesIO(data), now)


def take(data, now=NOW, **more):
    return uploading.take_upload(read(data, now), actor=None, now=now, **more)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"<?xml version='1.0'?><plist/>", "without Apple's signature"),
        (b'{"profile_name": "x", "url": "https://mdm.example.com"}', "Automated Device Enrollment"),
        (b"-----BEGIN CERTIFICATE-----\n", "PEM text"),
        (b"PK\x03\x04 broken", ".ipa"),
        (b"\x30\x03\x02\x01\x01", "not a message that Apple signed"),
    ],
)
def test_a_wrong_file_is_named(data, words):
    with pytest.raises(ProvisioningRefused) as refused:
        read(data)
    assert words in refused.value.reason


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (in_house(kind="app_store"), "App Store"),
        (in_house(days=1), "expired"),
        (apple().sign({**values(), "LocalProvision": True}, at=NOW), "free personal team"),
    ],
)
def test_a_profile_that_no_device_takes_is_refused_with_the_reason(data, words):
    upload = read(data, NOW + timedelta(days=2))
    assert [found.outcome for found in upload.profiles] == [Outcome.REFUSED]
    assert words in upload.refusals[0]
    with pytest.raises(ProvisioningRefused):
        uploading.take_upload(upload, actor=None, now=NOW)
    assert not ProvisioningProfile.objects.exists()


def test_a_profile_without_the_der_form_is_taken_with_a_warning():
    (found,) = read(in_house(der_form=False)).profiles
    assert found.outcome is Outcome.FIRST
    assert "DER form" in found.warnings[0]


def test_reading_writes_nothing():
    read(in_house())
    assert not Lineage.objects.exists()
    assert not AuditEvent.objects.exists()


def test_the_first_profile_begins_a_lineage_and_renews_nothing():
    taken = take(in_house())
    lineage = Lineage.objects.get()
    assert lineage.current == taken.profiles[0]
    assert taken.renewals == ()


def test_a_newer_profile_renews_its_lineage():
    take(in_house())
    newer = in_house(now=LATER)
    (found,) = read(newer, LATER).profiles
    assert found.outcome is Outcome.SUCCESSOR
    (renewal,) = take(newer, LATER).renewals
    assert renewal.state == RenewalState.FETCHED
    assert renewal.new_profile.sha256 == found.file.sha256


def test_the_same_file_again_changes_nothing():
    data = in_house()
    take(data)
    (found,) = read(data).profiles
    assert found.outcome is Outcome.KNOWN
    assert take(data).renewals == ()
    assert ProvisioningProfile.objects.count() == 1


def test_an_older_profile_is_refused_unless_it_is_forced():
    older = in_house()
    first = take(in_house(now=LATER), LATER).profiles[0]
    with pytest.raises(ProvisioningRefused):
        take(older, LATER)
    assert Lineage.objects.get().current == first
    taken = take(older, LATER, forced=True, reason="the new one does not work")
    assert Lineage.objects.get().current == taken.profiles[0]
    event = AuditEvent.objects.get(action="lineage.step_back")
    assert event.reason == "the new one does not work"


def test_every_profile_in_an_app_is_read_and_followed():
    extension = in_house(bundle_identifier="com.example.pos.share")
    data = ipa(in_house(), extension=extension)
    assert [found.path for found in read(data).profiles] == [
        "Payload/POS.app",
        "Payload/POS.app/PlugIns/Share.appex",
    ]
    taken = take(data)
    assert Lineage.objects.count() == 2
    assert [row.source for row in taken.profiles] == ["ipa", "ipa"]


def test_an_app_with_newer_profiles_renews_every_lineage_in_it():
    take(ipa(in_house(), extension=in_house(bundle_identifier="com.example.pos.share")))
    newer = ipa(in_house(now=LATER), extension=in_house(bundle_identifier="com.example.pos.share", now=LATER))
    assert len(take(newer, LATER).renewals) == 2
    assert Renewal.objects.count() == 2


def test_a_profile_that_does_not_fit_its_bundle_is_warned_of():
    (found,) = read(ipa(in_house(bundle_identifier="com.example.other"))).profiles
    assert "not for com.example.pos" in found.warnings[0]


def test_one_refused_profile_keeps_the_whole_app_out():
    data = ipa(in_house(), extension=in_house(bundle_identifier="com.example.pos.share", days=1))
    with pytest.raises(ProvisioningRefused):
        take(data, NOW + timedelta(days=2))
    assert not ProvisioningProfile.objects.exists()


@hypothesis_settings(max_examples=40)
@given(st.integers(0, 6000), st.integers(0, 255))
def test_a_damaged_file_raises_only_its_own_error(place, value):
    data = bytearray(ipa())
    data[place % len(data)] = value
    with suppress(ProvisioningRefused):
        assert read(bytes(data)).profiles
