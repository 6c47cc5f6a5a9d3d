"""Publishing: which payloads stand in which profile, what makes a new UUID, what is refused."""

import pytest

from operations.models import AuditEvent
from profiles import acts, drafts, publishing, revisions, secrets
from profiles.delivery import render_install_profile
from profiles.errors import DeliveryError, DraftConflict, PublishError
from profiles.models import Bundle, DeliveryRule, Part, Profile, Revision, Role, Scope
from profiles.publishing import publish
from protocol.mobileconfig import build_mobileconfig, unwrap_mobileconfig
from protocol.plist import dumps, loads_dict
from tests.devices.racing import at_once
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
    draft.content = draft.content.replace(b"Office", b"Home")
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
    draft.content = draft.content.replace(b"Office", b"Home")
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


def test_a_large_profile_is_read_again_for_each_delivery_instead_of_filling_the_memory(
    clock, django_assert_num_queries
):
    bundle = bundle_of(payload(FONT, Font=bytes(300 * 1024), Name="Example Sans"), now=clock())
    publish(bundle, by=None, now=clock())
    profile = profiles_of(bundle)[Part.WHOLE]
    params = {"Profile": profile.pk, "UUID": profile.uuid, "Installation": 1}
    for _ in range(2):
        with django_assert_num_queries(1):
            assert render_install_profile(params, 0, clock.now).payload == bytes(profile.signed)


@pytest.mark.parametrize("params", [{}, {"Profile": 999_999}, {"Profile": "1"}, {"Profile": True}])
def test_a_command_whose_profile_is_gone_cannot_be_rendered(params, clock):
    with pytest.raises(DeliveryError):
        render_install_profile(params, 0, clock.now)


def test_texts_scope_removal_and_consent_are_published(clock):
    bundle = bundle_of(payload(PASSCODE, forcePIN=True, minLength=6), payload(VPN), now=clock())
    bundle.scope, bundle.removal_disallowed, bundle.consent_text = Scope.USER, True, "Be good."
    bundle.capability_name = "The VPN of Example Ltd"
    bundle.save()
    publish(bundle, by=None, now=clock())
    made = profiles_of(bundle)
    for profile in made.values():
        top = loads_dict(bytes(profile.content))
        assert (top["PayloadScope"], top["PayloadRemovalDisallowed"]) == ("User", True)
        assert top["ConsentText"] == {"default": "Be good."}
        assert top["PayloadDisplayName"] == profile.display_name
    assert made[Part.CAPABILITY].display_name == "The VPN of Example Ltd"
    assert "6 characters" in loads_dict(bytes(made[Part.REQUIREMENT].content))["PayloadDescription"]


def test_a_profile_with_variables_names_them_and_is_signed_later(clock):
    secrets.store("office", b"tr0ub4dor", actor=None, now=clock())
    bundle = bundle_of(
        payload(PASSCODE), payload(VPN, UserDefinedName="{{ secret.office }} {{ user.name }}"), now=clock()
    )
    bundle.encrypt_to_device = True
    bundle.save()
    publish(bundle, by=None, now=clock())
    made = profiles_of(bundle)
    capability = made[Part.CAPABILITY]
    assert (capability.variables, bytes(capability.signed)) == (["secret.office", "user.name"], b"")
    assert capability.encrypt_to_device
    assert b"tr0ub4dor" not in bytes(capability.content) + bytes(bundle.current_revision.draft)
    # Nothing to hide in the other part: it is signed once for all.
    assert made[Part.REQUIREMENT].signed
    assert not made[Part.REQUIREMENT].encrypt_to_device


def test_a_key_with_a_secret_in_clear_is_encrypted_to_the_device_too(clock):
    bundle = bundle_of(payload(WIFI, Password="tr0ub4dor", EncryptionType="WPA"), now=clock())
    bundle.encrypt_to_device = True
    bundle.save()
    publish(bundle, by=None, now=clock())
    assert profiles_of(bundle)[Part.WHOLE].encrypt_to_device


def test_a_revision_keeps_its_reason_and_its_draft(clock):
    bundle = bundle_of(payload(PASSCODE), payload(VPN), now=clock())
    draft = drafts.read_draft(bundle)
    revision = publish(bundle, by=None, now=clock(), reason="New office")
    bundle.payloads.all().delete()
    assert revision.reason == "New office"
    assert revisions.draft_of(Revision.objects.get()) == draft


def test_a_draft_that_changed_since_it_was_looked_at_is_not_published(clock):
    bundle = bundle_of(payload(WIFI), now=clock())
    drafts.touch(bundle, expected_version=1, actor=None, now=clock())
    with pytest.raises(DraftConflict):
        publish(bundle, by=None, now=clock(), expected_version=1)
    assert not Revision.objects.exists()
    assert publish(bundle, by=None, now=clock(), expected_version=2).number == 1


def test_what_the_checks_call_an_error_stops_a_publish(clock):
    bundle = bundle_of(payload(WIFI, SSID_STR=5), now=clock())
    with pytest.raises(PublishError, match="SSID"):
        publish(bundle, by=None, now=clock())


@pytest.mark.parametrize("keeps_draft", [True, False])
def test_restoring_and_publishing_an_old_revision_gives_the_uuids_it_had(clock, keeps_draft):
    bundle = bundle_of(payload(PASSCODE, forcePIN=True, minLength=6), payload(VPN), now=clock())
    first = publish(bundle, by=None, now=clock())
    before = {part: profile.uuid for part, profile in profiles_of(bundle).items()}
    if not keeps_draft:
        # As revisions were before they kept their drafts.
        Revision.objects.update(draft=b"")
        first.refresh_from_db()
    bundle.payloads.filter(role=Role.CAPABILITY).delete()
    Bundle.objects.filter(pk=bundle.pk).update(requirement_name="Other", silent_days=1)
    publish(bundle, by=None, now=clock())
    bundle.refresh_from_db()
    acts.restore(bundle, first, expected_version=1, reason="", actor=None, now=clock())
    bundle.refresh_from_db()
    assert (bundle.draft_version, bundle.silent_days, bundle.current_revision.number) == (2, 14, 2)
    publish(bundle, by=None, now=clock())
    assert {part: profile.uuid for part, profile in profiles_of(bundle).items()} == before


def test_a_restore_of_an_older_draft_than_was_looked_at_changes_nothing(clock):
    bundle = bundle_of(payload(WIFI), now=clock())
    revision = publish(bundle, by=None, now=clock())
    drafts.touch(bundle, expected_version=1, actor=None, now=clock())
    with pytest.raises(DraftConflict):
        acts.restore(bundle, revision, expected_version=1, reason="", actor=None, now=clock())
    assert Bundle.objects.get(pk=bundle.pk).draft_version == 2


def test_exports_are_recorded_and_hold_only_the_names_of_secrets(clock):
    secrets.store("office", b"tr0ub4dor", actor=None, now=clock())
    bundle = bundle_of(payload(WIFI, Password="{{ secret.office }}", EncryptionType="WPA"), now=clock())
    publish(bundle, by=None, now=clock())
    profile = profiles_of(bundle)[Part.WHOLE]
    for signed in (True, False):
        for data in (
            acts.export(profile, actor=None, now=clock(), signed=signed),
            acts.export_draft(bundle, Part.WHOLE, actor=None, now=clock(), signed=signed),
        ):
            content, signer = unwrap_mobileconfig(data)
            assert (signer is not None) is signed
            assert content.payloads[0]["Password"] == "{{ secret.office }}"
            assert content.uuid == profile.uuid
    assert AuditEvent.objects.filter(action__in=("profile.export", "draft.export")).count() == 4
    with pytest.raises(PublishError):
        acts.export_draft(bundle, Part.CAPABILITY, actor=None, now=clock())


def original_of(*payloads, uuid="0A1B2C3D-0000-4000-8000-000000000001", now):
    content = build_mobileconfig(payloads, identifier="com.example.signed", uuid=uuid, display_name="Signed")
    return publishing.signed(dumps(content), now)


def bundle_with(original, *, now) -> Bundle:
    bundle = bundle_of(payload(WIFI), now=now)
    bundle.payloads.all().delete()
    bundle.original = original
    bundle.save()
    return bundle


def test_a_signed_file_is_delivered_byte_for_byte(clock):
    original = original_of(payload(WIFI, SSID_STR="{{ user.name }}"), now=clock())
    bundle = bundle_with(original, now=clock())
    publish(bundle, by=None, now=clock())
    profile = profiles_of(bundle)[Part.WHOLE]
    assert bytes(profile.signed) == original
    assert (profile.identifier, profile.uuid) == ("com.example.signed", "0A1B2C3D-0000-4000-8000-000000000001")
    # Nothing is filled in: the signature would break.
    assert (profile.variables, profile.payload_types) == ([], [WIFI])
    assert acts.export(profile, actor=None, now=clock()) == original


def test_a_signed_file_that_reuses_a_uuid_with_other_content_is_refused(clock):
    bundle = bundle_with(original_of(payload(WIFI), now=clock()), now=clock())
    publish(bundle, by=None, now=clock())
    bundle.refresh_from_db()
    bundle.original = original_of(payload(VPN), now=clock())
    bundle.save()
    with pytest.raises(PublishError, match="PayloadUUID was delivered"):
        publish(bundle, by=None, now=clock())
    bundle.original = original_of(payload(VPN), uuid="0A1B2C3D-0000-4000-8000-000000000002", now=clock())
    bundle.save()
    assert publish(bundle, by=None, now=clock()).number == 2


@pytest.mark.django_db(transaction=True)
def test_people_who_publish_at_once_make_numbers_of_their_own(signing, clock):
    bundle = bundle_of(payload(WIFI), now=clock())
    now = clock()
    at_once(*[lambda: publish(bundle, by=None, now=now)] * 3)
    assert list(bundle.revisions.values_list("number", flat=True)) == [3, 2, 1]
    bundle.refresh_from_db()
    assert bundle.current_revision.number == 3
