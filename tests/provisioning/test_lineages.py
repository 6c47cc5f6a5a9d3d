"""Taking provisioning profiles in: what becomes of a file, and what no device would take."""

from datetime import timedelta

import pytest

from operations.models import AuditEvent
from protocol.mobileprovision import Kind
from provisioning import lineages
from provisioning.errors import ProvisioningRefused, UnreadableProfile
from provisioning.models import ApiKey, DeveloperTeam, Lineage, Program, ProvisioningProfile, Source
from tests.protocol.provisioning_files import NOW, TEAM, apple, in_house, values
from tests.provisioning.conftest import read

pytestmark = pytest.mark.usefixtures("db", "fake_roots")


def adopt(data, now=NOW, source=Source.UPLOAD, **more):
    return lineages.adopt(read(data), source=source, actor=None, now=now, **more)


def test_the_first_profile_makes_its_team_and_lineage_and_is_the_current_one():
    row = adopt(in_house())
    lineage = row.lineage
    assert DeveloperTeam.objects.get().identifier == TEAM
    assert (lineage.application_identifier, lineage.kind, lineage.platform) == (
        f"{TEAM}.com.example.pos",
        "in_house",
        "iOS",
    )
    assert (lineage.current, lineage.effective_end) == (row, row.effective_end)
    assert timedelta(days=44) <= lineage.effective_end - lineage.renew_at <= timedelta(days=45)
    assert bytes(ProvisioningProfile.objects.get().data) == read(bytes(row.data)).data


def test_the_same_file_is_the_same_row_and_learns_its_resource():
    data = in_house()
    first = adopt(data)
    again = adopt(data, source=Source.API, apple_id="P1")
    assert first.pk == again.pk
    assert ProvisioningProfile.objects.get().apple_id == "P1"


def test_a_later_profile_joins_the_lineage_and_changes_nothing_yet():
    first = adopt(in_house())
    second = adopt(in_house(now=NOW + timedelta(days=100)))
    assert second.lineage == first.lineage
    assert Lineage.objects.get().current == first


@pytest.mark.parametrize(
    ("changes", "platform"),
    [({}, "iOS"), ({"platforms": ["tvOS"]}, "tvOS"), ({"platforms": ["OSX"], "kind": "development"}, "macOS")],
)
def test_kind_and_platform_part_lineages(changes, platform):
    adopt(in_house())
    assert adopt(in_house(**changes)).lineage.platform == platform
    assert Lineage.objects.count() == (1 if platform == "iOS" else 2)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (lambda: in_house(kind="app_store"), "App Store"),
        (lambda: in_house(days=1), "expired"),
        (lambda: apple().sign({**values(), "LocalProvision": True}, at=NOW), "free personal team"),
    ],
)
def test_what_no_device_would_take_is_refused_and_leaves_nothing(data, words):
    with pytest.raises(ProvisioningRefused, match=words):
        adopt(data(), now=NOW + timedelta(days=2))
    assert not Lineage.objects.exists()
    assert not DeveloperTeam.objects.exists()


def test_a_uuid_with_other_content_is_refused_in_any_case():
    adopt(in_house(uuid="abcdef01"))
    with pytest.raises(ProvisioningRefused, match="UUID"):
        adopt(in_house(uuid="ABCDEF01", name="Other"))


def test_a_profile_without_the_der_form_is_taken():
    assert adopt(in_house(der_form=False)).has_der_form is False


def test_an_upload_is_audited_without_its_content():
    adopt(in_house(kind="ad_hoc", devices=["00008030-0000000000000001"]))
    (event,) = AuditEvent.objects.filter(action="provisioning.upload")
    assert "00008030" not in str(event.details) + event.object_label


def test_a_stored_profile_is_not_believed_without_its_root(settings):
    row = adopt(in_house(name="Root is taken away"))
    settings.PROVISIONING_EXTRA_ROOTS = ""
    lineages._parsed.clear()
    with pytest.raises(UnreadableProfile):
        lineages.read(row)


def test_a_profile_is_read_once():
    row = ProvisioningProfile.objects.defer("data").get(pk=adopt(in_house()).pk)
    first = lineages.read(row)
    assert lineages.read(row) is first


def test_in_house_profiles_need_a_key_of_the_enterprise_program():
    lineage = adopt(in_house()).lineage
    developer, enterprise = (
        ApiKey.objects.create(
            team=lineage.team, program=program, key_id=program, issuer_id="i", private_key=b"p8", added_at=NOW
        )
        for program in (Program.DEVELOPER, Program.ENTERPRISE)
    )
    assert lineages.key_for(lineage) == enterprise
    lineage.kind = Kind.AD_HOC
    assert lineages.key_for(lineage) == developer
    lineage.api_key = enterprise
    assert lineages.key_for(lineage) == enterprise
