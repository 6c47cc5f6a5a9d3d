"""Publishing: which payloads stand in which profile, what makes a new UUID, what is refused."""

import pytest

from profiles.delivery import render_install_profile
from profiles.errors import DeliveryError, PublishError
from profiles.models import Bundle, DeliveryRule, Part, Profile, Role
from profiles.publishing import publish
from protocol.mobileconfig import unwrap_mobileconfig
from tests.profiles.fleet import PASSCODE, VPN, WIFI, bundle_of, payload

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("signing")]
FONT = "com.apple.font"


def profiles_of(bundle: Bundle) -> dict[str, Profile]:
    bundle.refresh_from_db()
    return {profile.part: profile for profile in bundle.current_revision.profiles.all()}


def test_after_compliance_makes_a_requirement_with_the_neutral_payloads_and_a_capability(clock):
    bundle = bundle_of(payload(PASSCODE), payload(VPN), payload(FONT), now=clock())
    publish(bundle, by=None, now=clock())
    made = profiles_of(bundle)
    assert made[Part.REQUIREMENT].payload_types == [PASSCODE, FONT]
    assert made[Part.CAPABILITY].payload_types == [VPN]


def test_together_makes_one_profile(clock):
    bundle = bundle_of(payload(PASSCODE), payload(VPN), now=clock(), rule=DeliveryRule.TOGETHER)
    publish(bundle, by=None, now=clock())
    assert {part: profile.payload_types for part, profile in profiles_of(bundle).items()} == {
        Part.WHOLE: [PASSCODE, VPN]
    }


@pytest.mark.parametrize("payload_type", [PASSCODE, VPN, FONT])
def test_a_bundle_of_one_kind_makes_one_profile_under_any_rule(clock, payload_type):
    bundle = bundle_of(payload(payload_type), now=clock())
    publish(bundle, by=None, now=clock())
    assert list(profiles_of(bundle)) == [Part.WHOLE]


def test_what_is_signed_is_the_profile_with_its_uuid(clock):
    bundle = bundle_of(payload(PASSCODE, minLength=8), payload(VPN), now=clock())
    publish(bundle, by=None, now=clock())
    for profile in profiles_of(bundle).values():
        content, signer = unwrap_mobileconfig(bytes(profile.signed))
        assert signer is not None
        assert (content.identifier, content.uuid) == (profile.identifier, profile.uuid)
    assert content.payload_types == (PASSCODE,) or content.payload_types == (VPN,)


def test_the_same_content_keeps_its_uuid_and_other_content_gets_another(clock):
    bundle = bundle_of(payload(PASSCODE), payload(VPN), now=clock())
    publish(bundle, by=None, now=clock())
    first = {part: profile.uuid for part, profile in profiles_of(bundle).items()}
    publish(bundle, by=None, now=clock())
    assert {part: profile.uuid for part, profile in profiles_of(bundle).items()} == first
    draft = bundle.payloads.get(role=Role.CAPABILITY)
    draft.content = draft.content.replace(b"</dict>", b"<key>UserDefinedName</key><string>x</string></dict>")
    draft.save()
    publish(bundle, by=None, now=clock())
    third = profiles_of(bundle)
    assert third[Part.REQUIREMENT].uuid == first[Part.REQUIREMENT]
    assert third[Part.CAPABILITY].uuid != first[Part.CAPABILITY]
    assert bundle.current_revision.number == 3


def test_identifiers_and_inner_uuids_are_stable_over_revisions(clock):
    bundle = bundle_of(payload(WIFI), now=clock())
    publish(bundle, by=None, now=clock())
    before = unwrap_mobileconfig(bytes(profiles_of(bundle)[Part.WHOLE].signed))[0]
    draft = bundle.payloads.get()
    draft.content = draft.content.replace(b"</dict>", b"<key>SSID_STR</key><string>x</string></dict>")
    draft.save()
    publish(bundle, by=None, now=clock())
    after = unwrap_mobileconfig(bytes(profiles_of(bundle)[Part.WHOLE].signed))[0]
    assert after.identifier == before.identifier
    assert after.uuid != before.uuid
    assert after.payloads[0]["PayloadUUID"] == before.payloads[0]["PayloadUUID"]
    assert after.payloads[0]["PayloadIdentifier"] == before.payloads[0]["PayloadIdentifier"]


def test_an_empty_bundle_is_not_published(clock):
    bundle = bundle_of(payload(WIFI), now=clock())
    bundle.payloads.all().delete()
    with pytest.raises(PublishError, match="The bundle is empty"):
        publish(bundle, by=None, now=clock())
    assert not bundle.revisions.exists()


def test_everything_a_device_would_refuse_is_said_at_once(clock):
    bundle = bundle_of(payload(WIFI), payload(VPN), payload(FONT), payload(PASSCODE), now=clock())
    first, second, third, fourth = bundle.payloads.all()
    second.payload_identifier = first.payload_identifier
    third.payload_uuid = first.payload_uuid
    fourth.content = b"not a plist"
    for draft in (second, third, fourth):
        draft.save()
    with pytest.raises(PublishError) as refused:
        publish(bundle, by=None, now=clock())
    assert len(refused.value.problems) == 3
    assert not bundle.revisions.exists()


def test_an_enrollment_payload_is_not_published(clock):
    bundle = bundle_of(payload(WIFI), now=clock())
    bundle.payloads.update(payload_type="com.apple.mdm")
    with pytest.raises(PublishError, match="enrollment"):
        publish(bundle, by=None, now=clock())


def test_a_delivery_costs_no_statement_after_the_first(clock, django_assert_num_queries):
    bundle = bundle_of(payload(WIFI), now=clock())
    publish(bundle, by=None, now=clock())
    profile = profiles_of(bundle)[Part.WHOLE]
    params = {"Profile": profile.pk, "UUID": profile.uuid, "Installation": 1}
    with django_assert_num_queries(1):
        first = render_install_profile(params, 0, clock.now)
    with django_assert_num_queries(0):
        assert render_install_profile(params, 0, clock.now).payload == first.payload == bytes(profile.signed)
    assert render_install_profile({"Profile": profile.pk}, 0, clock.now).payload == first.payload


@pytest.mark.parametrize("params", [{}, {"Profile": 999_999}, {"Profile": "1"}, {"Profile": True}])
def test_a_command_whose_profile_is_gone_cannot_be_rendered(params, clock):
    with pytest.raises(DeliveryError):
        render_install_profile(params, 0, clock.now)
