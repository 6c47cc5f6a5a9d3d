from datetime import datetime, timedelta

import pytest

from certificates.models import IssuedCertificate
from devices import escrow, groups, identities, invitations
from devices.enrollment import (
    EnrollmentRefused,
    authenticate,
    check_out,
    get_bootstrap_token,
    set_bootstrap_token,
    token_update,
)
from devices.models import (
    Command,
    CommandState,
    Device,
    DeviceGroup,
    Enrollment,
    EnrollmentState,
    EscrowedSecret,
    Identity,
    Membership,
    PushState,
    Verdict,
)
from protocol.checkin import CheckOut, GetBootstrapToken, SetBootstrapToken
from tests.devices.enrolling import (
    TOPIC,
    UDID,
    byod,
    certificate,
    device,
    downloaded,
    enroll,
    hello,
    invitation,
    our_topic,
    renewed,
    shared_ipad_user,
    token,
    user,
)

pytestmark = pytest.mark.django_db
UNLOCK = EscrowedSecret.Kind.UNLOCK_TOKEN
GUID = "7F3A1C2E-0000-4000-8000-000000000001"


@pytest.fixture(autouse=True)
def _push_certificate(now: datetime) -> None:
    our_topic(now)


def open_command(enrollment: Enrollment, now: datetime, uuid: str = "C-1") -> Command:
    return Command.objects.create(uuid=uuid, enrollment=enrollment, request_type="SecurityInfo", created_at=now)


def everything() -> dict[str, object]:
    """Every row that a check-in message could touch."""
    tables = [Device, Enrollment, Identity, EscrowedSecret, Membership, Command]
    return {table.__name__: list(table.objects.order_by("pk").values()) for table in tables}


# --- Authenticate ----------------------------------------------------------------------------------------------


def test_authenticate_opens_a_pending_enrollment_without_a_token(now: datetime) -> None:
    invited = invitation(now)
    enrollment = authenticate(hello(), downloaded(invited, now), now=now)
    assert enrollment.state == EnrollmentState.PENDING
    assert (enrollment.enrollment_id, enrollment.invitation, bytes(enrollment.token)) == (UDID, invited, b"")
    assert enrollment.push_state == PushState.NO_TOKEN
    known = Device.objects.get()
    assert (known.udid, known.serial_number, known.platform, known.state) == (UDID, "SERIAL1", "iOS", "pending")
    invited.refresh_from_db()
    assert invited.used_count == 0


def test_a_second_authenticate_with_the_same_certificate_changes_nothing(now: datetime) -> None:
    issued = downloaded(invitation(now), now)
    first = authenticate(hello(), issued, now=now)
    before = everything()
    again = authenticate(hello(os_version="19.0", device_name="Other"), issued, now=now + timedelta(minutes=1))
    assert again.pk == first.pk
    assert everything() == before


def test_authenticate_by_an_enrolled_device_with_its_own_certificate_changes_nothing(now: datetime) -> None:
    result, issued = enroll(now, unlock=b"secret")
    open_command(result.enrollment, now)
    before = everything()
    assert authenticate(hello(), issued, now=now).pk == result.enrollment.pk
    assert everything() == before


def test_claiming_another_devices_udid_leaves_the_old_enrollment_untouched_until_the_token_update(
    now: datetime,
) -> None:
    group = DeviceGroup.objects.create(name="staff", created_at=now)
    old, _ = enroll(now, unlock=b"secret", serial_number="SERIAL1")
    groups.add_devices(group, [old.enrollment.device], now=now)
    open_command(old.enrollment, now)
    before = everything()
    issued = downloaded(invitation(now), now)
    claim = authenticate(hello(serial_number="EVIL", device_name="Evil"), issued, now=now)
    assert claim.state == EnrollmentState.PENDING
    after = everything()
    assert [row for row in after["Enrollment"] if row["id"] != claim.pk] == before["Enrollment"]
    assert [row for row in after["Identity"] if row["enrollment_id"] != claim.pk] == before["Identity"]
    for table in ("Device", "EscrowedSecret", "Membership", "Command"):
        assert after[table] == before[table]


def test_the_token_update_archives_the_old_enrollment_and_hands_nothing_over(now: datetime) -> None:
    group = DeviceGroup.objects.create(name="staff", created_at=now)
    old, old_certificate = enroll(now, unlock=b"secret")
    groups.add_devices(group, [old.enrollment.device], now=now)
    command = open_command(old.enrollment, now)
    Verdict.objects.create(enrollment=old.enrollment, requirement_key="bundle:1", next_poll_at=now, deadline=now)
    later = now + timedelta(hours=1)
    new, _ = enroll(later)
    assert new.newly_enrolled
    assert new.replaced == (old.enrollment.pk,)
    old.enrollment.refresh_from_db()
    assert (old.enrollment.state, old.enrollment.ended_at) == (EnrollmentState.ARCHIVED, later)
    assert (bytes(old.enrollment.token), old.enrollment.push_state) == (b"", PushState.NO_TOKEN)
    command.refresh_from_db()
    assert (command.state, command.completed_at) == (CommandState.CANCELLED, later)
    assert Verdict.objects.get().next_poll_at is None
    assert escrow.latest(new.enrollment, UNLOCK) is None
    assert escrow.latest(old.enrollment, UNLOCK) == b"secret"
    assert Membership.objects.get().suspended_at == later
    assert new.enrollment.device_id == old.enrollment.device_id
    with pytest.raises(EnrollmentRefused, match="has ended"):
        token_update(token(), old_certificate, now=later)
    with pytest.raises(EnrollmentRefused, match="has ended"):
        authenticate(hello(), old_certificate, now=later)


def test_memberships_come_back_when_the_invitation_names_the_serial(now: datetime) -> None:
    staff, sales = (DeviceGroup.objects.create(name=name, created_at=now) for name in ("staff", "sales"))
    old, _ = enroll(now, serial_number="SERIAL1")
    groups.add_devices(staff, [old.enrollment.device], now=now)
    enroll(now, invitation(now, sales, serial_number="serial1"), serial_number="SERIAL1")
    assert {membership.group.name: membership.suspended_at for membership in Membership.objects.all()} == {
        "staff": None,
        "sales": None,
    }


def test_an_invitation_for_another_serial_cannot_bring_back_memberships_by_a_false_claim(now: datetime) -> None:
    enroll(now, serial_number="SERIAL1")
    issued = downloaded(invitation(now, serial_number="SERIAL2"), now)
    with pytest.raises(EnrollmentRefused, match="serial"):
        authenticate(hello(serial_number="SERIAL2"), issued, now=now)
    with pytest.raises(EnrollmentRefused, match="serial"):
        authenticate(hello(serial_number="SERIAL1"), issued, now=now)
    assert Enrollment.objects.count() == 1


def test_an_operator_brings_suspended_memberships_back(now: datetime) -> None:
    group = DeviceGroup.objects.create(name="staff", created_at=now)
    old, _ = enroll(now)
    groups.add_devices(group, [old.enrollment.device], now=now)
    new, _ = enroll(now)
    known = new.enrollment.device
    assert group.pk not in groups.group_ids_by_device([known.pk])[known.pk]
    assert groups.confirm_memberships([known]) == 1
    assert group.pk in groups.group_ids_by_device([known.pk])[known.pk]


def test_a_device_that_left_and_comes_back_waits_for_a_human_too(now: datetime) -> None:
    group = DeviceGroup.objects.create(name="staff", created_at=now)
    first, issued = enroll(now)
    groups.add_devices(group, [first.enrollment.device], now=now)
    check_out(CheckOut(identity=device(), topic=TOPIC), issued, now=now)
    enroll(now)
    assert Membership.objects.get().suspended_at == now


def test_groups_of_a_new_device_are_those_of_its_invitation(now: datetime) -> None:
    group = DeviceGroup.objects.create(name="staff", created_at=now)
    result, _ = enroll(now, invitation(now, group, groups.ensure_all_group(now)))
    known = result.enrollment.device
    everyone = DeviceGroup.objects.get(name=DeviceGroup.ALL)
    assert groups.group_ids_by_device([known.pk]) == {known.pk: {group.pk, everyone.pk}}
    assert Membership.objects.count() == 1


def test_a_certificate_bound_to_another_udid_is_refused(now: datetime) -> None:
    _, issued = enroll(now)
    before = everything()
    for claim in ("ANOTHER", "another"):
        with pytest.raises(EnrollmentRefused, match="another device"):
            authenticate(hello(device(claim)), issued, now=now)
        with pytest.raises(EnrollmentRefused, match="another device"):
            token_update(token(device(claim)), issued, now=now)
        with pytest.raises(EnrollmentRefused, match="another device"):
            check_out(CheckOut(identity=device(claim), topic=TOPIC), issued, now=now)
    assert everything() == before


def test_a_renewed_certificate_of_another_device_is_refused(now: datetime) -> None:
    _, issued = enroll(now)
    with pytest.raises(EnrollmentRefused, match="another device"):
        authenticate(hello(device("ANOTHER")), certificate(now, replaces=issued), now=now)
    assert Device.objects.count() == 1


def test_a_certificate_issued_for_no_invitation_is_refused(now: datetime) -> None:
    with pytest.raises(EnrollmentRefused, match="no invitation"):
        authenticate(hello(), certificate(now), now=now)
    assert not Device.objects.exists()


def test_a_revoked_certificate_is_refused(now: datetime) -> None:
    issued = downloaded(invitation(now), now)
    issued.revoked_at = now
    issued.save()
    with pytest.raises(EnrollmentRefused, match="revoked"):
        authenticate(hello(), issued, now=now)


def test_a_server_certificate_is_no_identity(now: datetime) -> None:
    issued = downloaded(invitation(now), now)
    issued.purpose = IssuedCertificate.Purpose.SERVER
    issued.save()
    with pytest.raises(EnrollmentRefused):
        authenticate(hello(), issued, now=now)


def test_a_topic_that_is_not_ours_is_refused(now: datetime) -> None:
    issued = downloaded(invitation(now), now)
    with pytest.raises(EnrollmentRefused, match="topic"):
        authenticate(hello(topic="com.apple.mgmt.External.other"), issued, now=now)
    authenticate(hello(), issued, now=now)
    with pytest.raises(EnrollmentRefused, match="topic"):
        token_update(token(topic="com.apple.mgmt.External.other"), issued, now=now)
    assert Enrollment.objects.get().state == EnrollmentState.PENDING


def test_authenticate_without_optional_keys_is_enough(now: datetime) -> None:
    bare = hello(serial_number=None, product_name=None, os_version=None)  # type: ignore[arg-type]
    enrollment = authenticate(bare, downloaded(invitation(now), now), now=now)
    assert enrollment.device.serial_number == ""
    assert enrollment.device.platform == ""


def test_an_authenticate_on_a_user_channel_is_refused(now: datetime) -> None:
    issued = downloaded(invitation(now), now)
    with pytest.raises(EnrollmentRefused, match="user channel"):
        authenticate(hello(user(GUID)), issued, now=now)


# --- renewal ---------------------------------------------------------------------------------------------------


def test_a_renewal_stays_in_the_same_enrollment_and_loses_nothing(now: datetime) -> None:
    group = DeviceGroup.objects.create(name="staff", created_at=now)
    first, old_certificate = enroll(now, unlock=b"secret")
    groups.add_devices(group, [first.enrollment.device], now=now)
    command = open_command(first.enrollment, now)
    later = now + timedelta(days=240)
    issued = renewed(first.enrollment, later)
    assert authenticate(hello(), issued, now=later).pk == first.enrollment.pk
    result = token_update(token(value=b"new"), issued, now=later)
    assert (result.enrollment.pk, result.newly_enrolled, result.replaced) == (first.enrollment.pk, False, ())
    command.refresh_from_db()
    assert command.state == CommandState.QUEUED
    assert escrow.latest(result.enrollment, UNLOCK) == b"secret"
    assert Membership.objects.get().suspended_at is None
    assert Device.objects.get().identity_expires_at == issued.not_after
    # An answer that the device signed with the old identity still counts.
    assert not token_update(token(), old_certificate, now=later).newly_enrolled


def test_a_renewal_profile_on_another_device_is_refused(now: datetime) -> None:
    first, _ = enroll(now)
    issued = renewed(first.enrollment, now)
    with pytest.raises(EnrollmentRefused, match="another device"):
        authenticate(hello(device("ANOTHER")), issued, now=now)
    assert Device.objects.count() == 1


def test_a_renewal_profile_of_an_ended_enrollment_is_refused(now: datetime) -> None:
    first, issued = enroll(now)
    fresh = renewed(first.enrollment, now)
    check_out(CheckOut(identity=device(), topic=TOPIC), issued, now=now)
    with pytest.raises(EnrollmentRefused, match="ended"):
        authenticate(hello(), fresh, now=now)


def test_a_silent_scep_renewal_speaks_for_its_enrollment(now: datetime) -> None:
    first, issued = enroll(now)
    fresh = certificate(now + timedelta(days=1), replaces=certificate(now, replaces=issued))
    identity = identities.follow_renewal(fresh, now)
    assert identity is not None
    assert identity.enrollment_id == first.enrollment.pk
    assert identities.follow_renewal(fresh, now) == identity
    found = identities.find(bytes(fresh.sha256))
    assert found is not None
    assert found.enrollment_id == first.enrollment.pk
    assert Device.objects.get().identity_expires_at == fresh.not_after


def test_a_renewal_of_a_certificate_that_was_never_bound_is_bound_by_authenticate(now: datetime) -> None:
    issued = downloaded(invitation(now), now)
    fresh = certificate(now, replaces=issued)
    assert identities.follow_renewal(fresh, now) is None
    assert authenticate(hello(), fresh, now=now).state == EnrollmentState.PENDING


def test_a_renewal_after_the_end_binds_nothing(now: datetime) -> None:
    _, issued = enroll(now)
    check_out(CheckOut(identity=device(), topic=TOPIC), issued, now=now)
    assert identities.follow_renewal(certificate(now, replaces=issued), now) is None
    assert Identity.objects.count() == 1


# --- TokenUpdate -----------------------------------------------------------------------------------------------


def test_the_first_token_update_enrolls(now: datetime) -> None:
    result, issued = enroll(now, unlock=b"secret")
    enrollment = Enrollment.objects.get()
    assert (result.newly_enrolled, result.replaced) == (True, ())
    assert (enrollment.state, enrollment.enrolled_at, enrollment.push_state) == ("enrolled", now, PushState.OK)
    assert (bytes(enrollment.token), enrollment.push_magic, enrollment.topic) == (b"t" * 32, "magic", TOPIC)
    known = Device.objects.get()
    assert (known.state, known.identity_expires_at) == ("enrolled", issued.not_after)
    assert escrow.latest(enrollment, UNLOCK) == b"secret"


def test_a_later_token_update_replaces_the_token_and_is_no_new_enrollment(now: datetime) -> None:
    result, issued = enroll(now)
    Enrollment.objects.update(push_state=PushState.DEAD, push_reason="Unregistered", push_attempts=3)
    open_command(result.enrollment, now)
    later = now + timedelta(days=1)
    again = token_update(token(value=b"n" * 100, magic="new"), issued, now=later)
    enrollment = Enrollment.objects.get()
    assert (again.newly_enrolled, bytes(enrollment.token), enrollment.push_magic) == (False, b"n" * 100, "new")
    assert (enrollment.push_state, enrollment.push_reason, enrollment.push_attempts) == ("ok", "", 0)
    assert (enrollment.enrolled_at, enrollment.next_push_at) == (now, later)
    assert result.enrollment.invitation is not None
    result.enrollment.invitation.refresh_from_db()
    assert result.enrollment.invitation.used_count == 1


def test_a_token_update_without_authenticate_is_refused(now: datetime) -> None:
    with pytest.raises(EnrollmentRefused, match="no Authenticate"):
        token_update(token(), downloaded(invitation(now), now), now=now)
    assert not Enrollment.objects.exists()


def test_a_token_update_without_unlock_token_keeps_the_stored_one(now: datetime) -> None:
    result, issued = enroll(now, unlock=b"secret")
    token_update(token(unlock=None), issued, now=now)
    assert escrow.latest(result.enrollment, UNLOCK) == b"secret"
    token_update(token(unlock=b"secret"), issued, now=now)
    token_update(token(unlock=b"newer"), issued, now=now)
    versions = EscrowedSecret.objects.order_by("version").values_list("version", flat=True)
    assert list(versions) == [1, 2]
    assert escrow.latest(result.enrollment, UNLOCK) == b"newer"


def test_the_same_token_on_two_devices_is_fine(now: datetime) -> None:
    enroll(now)
    enroll(now, identity=device("SECOND"))
    assert [bytes(row.token) for row in Enrollment.objects.enrolled()] == [b"t" * 32] * 2


def test_awaiting_configuration_is_kept_when_absent(now: datetime) -> None:
    issued = downloaded(invitation(now), now)
    authenticate(hello(), issued, now=now)
    for said, kept in ((True, True), (None, True), (False, False), (None, False)):
        token_update(token(awaiting=said), issued, now=now)
        assert Enrollment.objects.get().awaiting_configuration is kept


def test_facts_of_the_former_enrollment_are_forgotten(now: datetime) -> None:
    enroll(now)
    Device.objects.update(passcode_compliant=True, passcode_present=True, is_supervised=True)
    enroll(now)
    known = Device.objects.get()
    assert (known.passcode_compliant, known.passcode_present, known.is_supervised) == (None, None, None)


def test_of_two_pending_enrollments_the_newer_wins_and_the_older_is_archived(now: datetime) -> None:
    first, second = (downloaded(invitation(now, uses=2), now) for _ in range(2))
    lost = authenticate(hello(), first, now=now)
    authenticate(hello(), second, now=now + timedelta(minutes=1))
    result = token_update(token(), second, now=now + timedelta(minutes=2))
    assert result.replaced == (lost.pk,)
    with pytest.raises(EnrollmentRefused, match="ended"):
        token_update(token(), first, now=now + timedelta(minutes=3))


# --- invitations -----------------------------------------------------------------------------------------------


def test_a_use_is_counted_once_at_the_first_token_update(now: datetime) -> None:
    invited = invitation(now, uses=2)
    for _ in range(3):
        invitations.download(invited, now)
    _, issued = enroll(now, invited)
    token_update(token(), issued, now=now)
    invited.refresh_from_db()
    assert invited.used_count == 1
    assert invited.downloads.exclude(counted_at=None).count() == 1


def test_the_last_use_goes_to_one_of_two_devices(now: datetime) -> None:
    invited = invitation(now)
    first, second = downloaded(invited, now), downloaded(invited, now)
    authenticate(hello(), first, now=now)
    authenticate(hello(device("SECOND")), second, now=now)
    token_update(token(), first, now=now)
    with pytest.raises(EnrollmentRefused, match="used up"):
        token_update(token(device("SECOND")), second, now=now)
    assert Enrollment.objects.get(enrollment_id="SECOND").state == EnrollmentState.PENDING
    assert Device.objects.get(udid="SECOND").state == "pending"


@pytest.mark.parametrize("end", ["over", "revoked", "used up"])
def test_an_invitation_that_is_over_revoked_or_used_up_admits_nobody(now: datetime, end: str) -> None:
    invited = invitation(now)
    issued = downloaded(invited, now)
    later = now
    if end == "over":
        later = now + timedelta(days=1)
    elif end == "revoked":
        assert invitations.revoke(invited, now)
    else:
        enroll(now, invited, identity=device("FIRST"))
    with pytest.raises(EnrollmentRefused, match=end):
        authenticate(hello(), issued, now=later)
    assert not Device.objects.filter(udid=UDID).exists()


def test_a_revoked_invitation_stops_a_device_between_authenticate_and_token_update(now: datetime) -> None:
    invited = invitation(now)
    issued = downloaded(invited, now)
    authenticate(hello(), issued, now=now)
    invitations.revoke(invited, now)
    with pytest.raises(EnrollmentRefused, match="revoked"):
        token_update(token(), issued, now=now)


def test_a_device_that_authenticated_in_time_may_finish_late(now: datetime) -> None:
    issued = downloaded(invitation(now), now)
    authenticate(hello(), issued, now=now + timedelta(hours=23))
    assert token_update(token(), issued, now=now + timedelta(hours=25)).newly_enrolled


# --- user channels and User Enrollment -------------------------------------------------------------------------


def test_user_channels_have_a_token_and_magic_of_their_own(now: datetime) -> None:
    result, issued = enroll(now)
    mac = token_update(token(user(GUID), value=b"user", magic="user magic"), issued, now=now)
    ipad = [
        token_update(token(shared_ipad_user(name), value=name.encode(), magic=name), issued, now=now)
        for name in ("ann@example.com", "bob@example.com")
    ]
    assert [mac.newly_enrolled, *(user.newly_enrolled for user in ipad)] == [True] * 3
    parent = Enrollment.objects.get(pk=result.enrollment.pk)
    assert (bytes(parent.token), parent.push_magic) == (b"t" * 32, "magic")
    children = {row.enrollment_id: (bytes(row.token), row.push_magic) for row in parent.user_channels.all()}
    assert children == {
        f"{UDID}:{GUID}": (b"user", "user magic"),
        f"{UDID}:ann@example.com": (b"ann@example.com", "ann@example.com"),
        f"{UDID}:bob@example.com": (b"bob@example.com", "bob@example.com"),
    }
    again = token_update(token(user(GUID), value=b"user 2"), issued, now=now)
    assert (again.newly_enrolled, again.enrollment.pk) == (False, mac.enrollment.pk)


def test_a_user_channel_needs_an_enrolled_device_channel(now: datetime) -> None:
    issued = downloaded(invitation(now), now)
    with pytest.raises(EnrollmentRefused):
        token_update(token(user(GUID)), issued, now=now)
    authenticate(hello(), issued, now=now)
    with pytest.raises(EnrollmentRefused, match="not enrolled yet"):
        token_update(token(user(GUID)), issued, now=now)


def test_a_user_channel_of_another_device_is_refused(now: datetime) -> None:
    enroll(now)
    _, foreign = enroll(now, identity=device("SECOND"))
    with pytest.raises(EnrollmentRefused, match="another device"):
        token_update(token(user(GUID)), foreign, now=now)


def test_user_channels_end_with_their_parent(now: datetime) -> None:
    old, issued = enroll(now)
    child = token_update(token(user(GUID)), issued, now=now).enrollment
    open_command(child, now)
    new, fresh = enroll(now)
    assert set(new.replaced) == {old.enrollment.pk, child.pk}
    child.refresh_from_db()
    assert child.state == EnrollmentState.ARCHIVED
    assert Command.objects.get().state == CommandState.CANCELLED
    reborn = token_update(token(user(GUID)), fresh, now=now)
    assert (reborn.newly_enrolled, reborn.enrollment.parent_id) == (True, new.enrollment.pk)


def test_user_enrollment_has_neither_udid_nor_serial(now: datetime) -> None:
    result, issued = enroll(now, identity=byod(), serial_number=None, product_name=None)  # type: ignore[arg-type]
    known = result.enrollment.device
    assert (known.udid, known.serial_number, result.enrollment.kind) == (None, "", "user_enrollment")
    other, _ = enroll(now, identity=byod("BYOD-2"), serial_number=None)  # type: ignore[arg-type]
    assert other.enrollment.device_id != known.pk
    again, _ = enroll(now, identity=byod(), serial_number=None)  # type: ignore[arg-type]
    assert again.enrollment.device_id == known.pk
    assert again.replaced == (result.enrollment.pk,)
    with pytest.raises(EnrollmentRefused, match="ended"):
        token_update(token(byod()), issued, now=now)


def test_an_enrollment_id_that_looks_like_a_udid_takes_nothing_over(now: datetime) -> None:
    enroll(now)
    before = everything()["Device"]
    issued = downloaded(invitation(now), now)
    authenticate(hello(byod(UDID), serial_number=None), issued, now=now)  # type: ignore[arg-type]
    with pytest.raises(EnrollmentRefused, match="another kind"):
        token_update(token(byod(UDID)), issued, now=now)
    with pytest.raises(EnrollmentRefused, match="another device"):
        token_update(token(device()), issued, now=now)
    assert everything()["Device"][:1] == before


# --- CheckOut --------------------------------------------------------------------------------------------------


def test_check_out_ends_the_enrollment_and_its_users_and_keeps_history(now: datetime) -> None:
    result, issued = enroll(now, unlock=b"secret")
    child = token_update(token(user(GUID)), issued, now=now).enrollment
    command = open_command(result.enrollment, now)
    later = now + timedelta(hours=1)
    check_out(CheckOut(identity=device(), topic=TOPIC), issued, now=later)
    for enrollment in (result.enrollment, child):
        enrollment.refresh_from_db()
        assert (enrollment.state, enrollment.ended_at) == (EnrollmentState.CHECKED_OUT, later)
        assert bytes(enrollment.token) == b""
    command.refresh_from_db()
    assert command.state == CommandState.CANCELLED
    assert escrow.latest(result.enrollment, UNLOCK) == b"secret"
    known = Device.objects.get()
    assert known.state == Device.State.UNENROLLED
    assert "left" in known.state_reason


def test_a_second_check_out_is_no_news(now: datetime) -> None:
    _, issued = enroll(now)
    farewell = CheckOut(identity=device(), topic=TOPIC)
    check_out(farewell, issued, now=now)
    before = everything()
    check_out(farewell, issued, now=now + timedelta(hours=1))
    assert everything() == before


def test_a_late_check_out_of_a_replaced_enrollment_does_not_end_the_new_one(now: datetime) -> None:
    _, old_certificate = enroll(now)
    new, _ = enroll(now)
    check_out(CheckOut(identity=device(), topic=TOPIC), old_certificate, now=now)
    new.enrollment.refresh_from_db()
    assert new.enrollment.state == EnrollmentState.ENROLLED
    assert Device.objects.get().state == Device.State.ENROLLED


def test_a_user_that_checks_out_leaves_alone(now: datetime) -> None:
    result, issued = enroll(now)
    child = token_update(token(user(GUID)), issued, now=now).enrollment
    check_out(CheckOut(identity=user(GUID), topic=TOPIC), issued, now=now)
    child.refresh_from_db()
    result.enrollment.refresh_from_db()
    assert (child.state, result.enrollment.state) == ("checked_out", "enrolled")
    assert Device.objects.get().state == Device.State.ENROLLED
    assert check_out(CheckOut(identity=user("NOBODY"), topic=TOPIC), issued, now=now) is None


def test_a_check_out_by_a_stranger_is_refused(now: datetime) -> None:
    enroll(now)
    with pytest.raises(EnrollmentRefused):
        check_out(CheckOut(identity=device(), topic=TOPIC), downloaded(invitation(now), now), now=now)
    assert Device.objects.get().state == Device.State.ENROLLED


# --- bootstrap tokens ------------------------------------------------------------------------------------------


def test_a_bootstrap_token_is_kept_given_back_and_forgotten_on_request(now: datetime) -> None:
    _, issued = enroll(now)
    ask = GetBootstrapToken(identity=device())
    assert get_bootstrap_token(ask, issued, now=now) is None
    set_bootstrap_token(SetBootstrapToken(identity=device(), bootstrap_token=b"boot"), issued, now=now)
    assert get_bootstrap_token(ask, issued, now=now) == b"boot"
    set_bootstrap_token(SetBootstrapToken(identity=device()), issued, now=now)
    assert get_bootstrap_token(ask, issued, now=now) is None
    kept = EscrowedSecret.objects.get()
    assert (bytes(kept.value), kept.withdrawn_at) == (b"", now)
    set_bootstrap_token(SetBootstrapToken(identity=device(), bootstrap_token=b"boot"), issued, now=now)
    assert get_bootstrap_token(ask, issued, now=now) == b"boot"


def test_a_bootstrap_token_is_not_handed_to_a_new_enrollment_or_a_stranger(now: datetime) -> None:
    _, old_certificate = enroll(now)
    set_bootstrap_token(SetBootstrapToken(identity=device(), bootstrap_token=b"boot"), old_certificate, now=now)
    ask = GetBootstrapToken(identity=device())
    pending = downloaded(invitation(now), now)
    authenticate(hello(), pending, now=now)
    assert get_bootstrap_token(ask, pending, now=now) is None
    with pytest.raises(EnrollmentRefused):
        get_bootstrap_token(ask, downloaded(invitation(now), now), now=now)
    token_update(token(), pending, now=now)
    assert get_bootstrap_token(ask, pending, now=now) is None
