"""Drafts as values: nothing is lost on the way through a plist or the rows; changes are counted and kept."""

from datetime import datetime

import pytest

from profiles import drafts
from profiles.errors import DraftConflict
from profiles.models import Bundle
from protocol.errors import PlistError
from protocol.plist import dumps
from tests.profiles.fleet import PASSCODE, VPN, bundle_of, payload

# Dates of property lists are naive.
TYPED = {"Count": 1, "Share": 1.0, "On": True, "Blob": b"\x00\xff", "When": datetime(2026, 1, 2, 3, 4, 5)}  # noqa: DTZ001
pytestmark = pytest.mark.django_db


@pytest.fixture
def bundle(now):
    return bundle_of(payload(PASSCODE, minLength=6), payload(VPN, UserDefinedName="Office", **TYPED), now=now)


def test_a_draft_survives_its_property_list_to_the_byte(bundle):
    draft = drafts.read_draft(bundle)
    again = drafts.loads(drafts.dumps(draft))
    assert drafts.dumps(again) == drafts.dumps(draft)
    assert again == draft
    assert [type(again.payloads[1].content[name]) for name in TYPED] == [int, float, bool, bytes, datetime]


def test_content_holds_nothing_that_is_a_column(bundle):
    for row in drafts.read_draft(bundle).payloads:
        assert not {"PayloadType", "PayloadIdentifier", "PayloadUUID", "PayloadVersion"} & row.content.keys()
        assert drafts.whole_content(row)["PayloadIdentifier"] == row.identifier


def test_applying_an_older_draft_brings_everything_back_and_keeps_rows(bundle, now):
    older, kept = drafts.read_draft(bundle), bundle.payloads.first().pk
    bundle.payloads.last().delete()
    bundle_of(payload("com.apple.font"), now=now).payloads.update(bundle=bundle, position=0)
    Bundle.objects.filter(pk=bundle.pk).update(silent_days=3, name="Renamed")
    drafts.apply(Bundle.objects.get(pk=bundle.pk), older)
    fresh = Bundle.objects.get(pk=bundle.pk)
    assert drafts.read_draft(fresh) == older
    assert fresh.payloads.first().pk == kept


def test_applying_a_draft_leaves_a_name_that_another_bundle_has_now(bundle, now):
    older, old_name = drafts.read_draft(bundle), bundle.name
    Bundle.objects.filter(pk=bundle.pk).update(name="Renamed")
    Bundle.objects.create(name=old_name, identifier="other", created_at=now)
    drafts.apply(Bundle.objects.get(pk=bundle.pk), older)
    assert Bundle.objects.get(pk=bundle.pk).name == "Renamed"


def test_who_saves_from_an_older_version_is_refused(bundle, now):
    one, other = Bundle.objects.get(pk=bundle.pk), Bundle.objects.get(pk=bundle.pk)
    drafts.touch(one, expected_version=1, actor=None, now=now)
    assert (one.draft_version, one.draft_changed_at) == (2, now)
    with pytest.raises(DraftConflict) as refused:
        drafts.touch(other, expected_version=1, actor=None, now=now)
    assert refused.value.version == 2
    bundle.refresh_from_db()
    assert bundle.draft_version == 2


def test_a_snapshot_keeps_the_draft_of_its_version(bundle, now):
    before = drafts.read_draft(bundle)
    drafts.snapshot(bundle, now)
    drafts.touch(bundle, expected_version=1, actor=None, now=now)
    bundle.payloads.first().delete()
    drafts.snapshot(bundle, now)
    assert drafts.snapshot_at(bundle, 1) == before
    assert len(drafts.snapshot_at(bundle, 2).payloads) == 1
    assert drafts.snapshot_at(bundle, 3) is None


def test_only_the_last_snapshots_are_kept(bundle, now):
    for version in range(1, drafts.SNAPSHOTS_KEPT + 4):
        drafts.snapshot(bundle, now)
        drafts.touch(bundle, expected_version=version, actor=None, now=now)
    assert bundle.snapshots.count() == drafts.SNAPSHOTS_KEPT
    assert drafts.snapshot_at(bundle, 3) is None
    assert drafts.snapshot_at(bundle, 4) is not None


@pytest.mark.parametrize(
    "value",
    [{}, {"settings": [], "payloads": []}, {"settings": {}, "payloads": [1]}, {"settings": {}, "payloads": [{}]}],
)
def test_a_property_list_that_is_no_draft_is_refused(value):
    with pytest.raises(PlistError):
        drafts.loads(dumps(value))
    with pytest.raises(PlistError):
        drafts.loads(b"no plist")


def test_a_draft_tells_no_content_in_its_repr(bundle):
    assert "Office" not in repr(drafts.read_draft(bundle))
