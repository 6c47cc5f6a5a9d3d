"""What people do to a draft: every act is counted, kept as a snapshot and recorded; nothing else changes."""

import pytest

from operations.models import AuditEvent
from profiles import drafts, editing
from profiles.editing import PayloadEdit, content_of
from profiles.errors import EditRefused, ImportRefused
from profiles.models import Bundle, DraftSnapshot, Payload, Secret
from profiles.starters import STARTERS
from protocol.plist import dumps, loads_dict
from protocol.schema import check_payload, packaged
from tests.profiles.fleet import PASSCODE, VPN, bundle_of, payload

pytestmark = pytest.mark.django_db


@pytest.fixture
def bundle(now):
    return editing.create_bundle("Office", rule="after_compliance", actor=None, now=now)


def edit(name="Passcode", role="requirement", secrets=(), **content):
    return PayloadEdit(name=name, role=role, content=content, secrets=dict(secrets))


def add(bundle, now, *, payload_type=PASSCODE, **said):
    return editing.add_payload(
        bundle, payload_type, variant=payload_type, edit=edit(**said), expected_version=bundle.draft_version,
        actor=None, now=now,
    )  # fmt: skip


def save(payload, now, *, version=None, **said):
    version = payload.bundle.draft_version if version is None else version
    return editing.save_payload(payload, edit(**said), expected_version=version, actor=None, now=now)


def last_event():
    return AuditEvent.objects.order_by("-pk").first()


def test_an_added_payload_has_names_of_its_own_and_stands_last(bundle, now):
    one, other = add(bundle, now, forcePIN=True), add(bundle, now, payload_type=VPN, name="VPN", role="capability")
    stored = loads_dict(bytes(one.content))
    assert stored["PayloadUUID"] == one.payload_uuid
    assert stored["PayloadIdentifier"] == one.payload_identifier == f"mdmportal.payload.{one.payload_uuid}"
    assert (stored["PayloadType"], stored["PayloadVersion"], stored["PayloadDisplayName"]) == (PASSCODE, 1, "Passcode")
    assert content_of(one) == {"forcePIN": True}
    assert (one.position, other.position) == (1, 2)
    assert one.payload_uuid != other.payload_uuid
    assert last_event().action == "payload.add"


def test_every_act_counts_one_version_and_keeps_a_snapshot(bundle, now):
    first = bundle.draft_version
    one = add(bundle, now)
    add(bundle, now, payload_type=VPN, name="VPN")
    save(one, now, minLength=8)
    editing.move_payload(one, "down", actor=None, now=now)
    editing.set_role(one, "neutral", actor=None, now=now)
    editing.remove_payload(one, actor=None, now=now)
    bundle.refresh_from_db()
    assert bundle.draft_version == first + 6
    assert DraftSnapshot.objects.filter(bundle=bundle).count() == 7
    assert list(bundle.payloads.values_list("name", flat=True)) == ["VPN"]


def test_saving_what_is_there_changes_no_byte_and_no_version(now):
    bundle = bundle_of(payload(PASSCODE, PayloadDescription="x", PayloadOrganization="y", forcePIN=True), now=now)
    one = bundle.payloads.get()
    before = bytes(one.content)
    assert save(one, now, name=one.name, role=one.role, forcePIN=True) == []
    one.refresh_from_db()
    bundle.refresh_from_db()
    assert (bytes(one.content), bundle.draft_version) == (before, 1)
    assert save(one, now, name=one.name, role=one.role, forcePIN=True, minLength=6) == ["minLength"]
    stored = loads_dict(bytes(Payload.objects.get().content))
    assert (stored["PayloadDescription"], stored["PayloadOrganization"], stored["minLength"]) == ("x", "y", 6)


def test_a_number_that_becomes_a_boolean_is_a_change(bundle, now):
    one = add(bundle, now, value=1)
    assert save(one, now, value=True) == ["value"]
    assert save(one, now, value=1.0) == ["value"]
    assert content_of(Payload.objects.get()) == {"value": 1.0}


def test_a_save_from_an_older_version_changes_nothing(bundle, now):
    one = add(bundle, now, minLength=4)
    opened = bundle.draft_version
    save(one, now, minLength=6)
    with pytest.raises(drafts.DraftConflict):
        save(Payload.objects.select_related("bundle").get(), now, version=opened, minLength=8, secrets={"pin": b"x"})
    assert content_of(Payload.objects.get()) == {"minLength": 6}
    assert not Secret.objects.exists()
    with pytest.raises(drafts.DraftConflict):
        editing.save_settings(bundle, {"name": "Other"}, expected_version=opened, actor=None, now=now)
    assert Bundle.objects.get().name == "Office"


def test_a_secret_is_stored_and_recorded_by_its_name_only(bundle, now):
    add(bundle, now, Password="{{ secret.office }}", secrets={"office": b"open sesame"})
    assert bytes(Secret.objects.get(name="office").value) == b"open sesame"
    said = " ".join(str(event.details) + event.object_label for event in AuditEvent.objects.all())
    assert "sesame" not in said
    assert "sesame" not in repr(edit(secrets={"office": b"open sesame"}))


def test_an_audit_event_names_keys_and_no_values(bundle, now):
    one = add(bundle, now, SharedSecret="open sesame", minLength=4)
    save(one, now, SharedSecret="close sesame", minLength=4)
    assert last_event().details["keys"] == ["SharedSecret"]
    assert "sesame" not in str(last_event().details)


def test_the_order_stays_within_its_ends(bundle, now):
    one, _, three = (add(bundle, now, name=name) for name in "abc")
    assert not editing.move_payload(one, "up", actor=None, now=now)
    assert editing.move_payload(three, "up", actor=None, now=now)
    assert list(bundle.payloads.values_list("name", "position")) == [("a", 1), ("c", 2), ("b", 3)]


def test_the_scope_is_fixed_by_the_first_publish(bundle, now):
    def change(version):
        return editing.save_settings(bundle, {"scope": "User"}, expected_version=version, actor=None, now=now)

    assert change(bundle.draft_version) == ["scope"]
    bundle.current_revision = bundle.revisions.create(number=1, delivery_rule="together", published_at=now)
    bundle.save()
    with pytest.raises(EditRefused, match="scope"):
        editing.save_settings(bundle, {"scope": "System"}, expected_version=99, actor=None, now=now)


def test_an_enrollment_is_no_payload_of_a_bundle(bundle, now):
    with pytest.raises(EditRefused, match="invitation"):
        add(bundle, now, payload_type="com.apple.mdm")


def test_a_copy_shares_no_name_with_its_model(now):
    model = bundle_of(payload("com.apple.security.pem", "ca"), payload(VPN, PayloadCertificateUUID="CA-COM.APPLE.SECURITY.PEM"), now=now)  # fmt: skip
    model.consent_text, model.silent_days = "Yes?", 3
    model.save()
    twin = editing.duplicate_bundle(model, "Copy", actor=None, now=now)
    assert (twin.consent_text, twin.silent_days, twin.current_revision) == ("Yes?", 3, None)
    assert twin.identifier != model.identifier
    ours, theirs = list(twin.payloads.all()), list(model.payloads.all())
    assert len(ours) == 2
    assert not {row.payload_uuid for row in ours} & {row.payload_uuid for row in theirs}
    assert not {row.payload_identifier for row in ours} & {row.payload_identifier for row in theirs}
    # what named the certificate names the copy of it
    assert loads_dict(bytes(ours[1].content))["PayloadCertificateUUID"] == ours[0].payload_uuid
    assert loads_dict(bytes(ours[1].content))["PayloadUUID"] == ours[1].payload_uuid


def test_a_taken_name_is_refused(bundle, now):
    with pytest.raises(ImportRefused, match="already"):
        editing.create_bundle("Office", rule="together", actor=None, now=now)


@pytest.mark.parametrize("starter", STARTERS.values(), ids=STARTERS)
def test_a_bundle_to_start_from_lacks_only_what_somebody_must_say(starter, now):
    bundle = editing.create_bundle(starter.title, rule=starter.rule, starter=starter, actor=None, now=now)
    for row in bundle.payloads.all():
        facts = packaged().payloads[row.variant]
        assert facts.payload_type == row.payload_type
        problems = check_payload(facts, content_of(row))
        assert all(problem.sentence == "is required." for problem in problems), problems
    uuids = set(bundle.payloads.values_list("payload_uuid", flat=True))
    for row in bundle.payloads.filter(payload_type="com.apple.wifi.managed"):
        assert content_of(row)["PayloadCertificateUUID"] in uuids


def test_a_bundle_that_is_delivered_byte_for_byte_takes_no_payload(bundle, now):
    bundle.original = dumps({"PayloadType": "Configuration"})
    bundle.save()
    with pytest.raises(EditRefused, match="byte for byte"):
        add(bundle, now)


def test_a_file_that_is_delivered_byte_for_byte_has_no_copy(bundle, now):
    bundle.original = dumps({"PayloadType": "Configuration"})
    bundle.save()
    with pytest.raises(ImportRefused, match="same names"):
        editing.duplicate_bundle(bundle, "Copy", actor=None, now=now)
    assert Bundle.objects.count() == 1


def test_content_that_cannot_be_read_can_be_mended(bundle, now):
    one = add(bundle, now, minLength=4)
    one.content = b"no property list"
    one.save()
    assert save(one, now, minLength=6) == ["minLength"]
    stored = loads_dict(bytes(Payload.objects.get().content))
    assert (stored["minLength"], stored["PayloadUUID"]) == (6, one.payload_uuid)
