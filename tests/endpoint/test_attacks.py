"""What hostile devices, people with a link and strangers try, and what unlucky honest devices meet.

Each test goes through the public doors. What the web server itself makes of odd requests is in test_raw_requests.
"""

import logging
import plistlib
from datetime import timedelta

import pytest
from django.utils import timezone

from certificates.authority import authority_key, ensure_authority, signer
from certificates.models import Challenge, IssuedCertificate
from devices import identities, invitations, seen
from devices.commands import CommandSpec, enqueue
from devices.models import (
    Command,
    CommandState,
    Device,
    Enrollment,
    EnrollmentState,
    EscrowedSecret,
    Identity,
    Invitation,
    UnmatchedReport,
)
from devices.sending import send
from tests.certificates.requests import device_key, pkcs_request
from tests.endpoint.deeds import queue, renewed, row, second, state
from tests.endpoint.phone import TOPIC, Phone, command_in, invite, push_certificate

pytestmark = pytest.mark.django_db
UNLOCK_TOKEN = EscrowedSecret.Kind.UNLOCK_TOKEN
USER = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def phone():
    return Phone().enroll()


# --- revocation ------------------------------------------------------------------------------------------------


def test_a_revoked_certificate_gets_nothing_at_any_door(phone):
    command = queue(phone)
    assert identities.revoke(row(phone), timezone.now()) == 1
    assert phone.idle().status_code == 400
    assert phone.report("Acknowledged", command.uuid).status_code == 400
    assert phone.put("/mdm/connect", b"junk").status_code == 400
    assert phone.check_in("GetBootstrapToken").status_code == 400
    assert phone.authenticate().status_code == 400
    assert phone.check_in("CheckOut", {"Topic": TOPIC}).status_code == 400
    assert state(command) is CommandState.QUEUED
    assert Enrollment.objects.get().state == EnrollmentState.ENROLLED
    assert not UnmatchedReport.objects.exists()


def test_revoking_a_certificate_revokes_what_renewed_it(phone):
    later = renewed(phone, device_key(2))
    latest = renewed(later, device_key(3))
    assert latest.idle().status_code == 200
    assert identities.revoke(row(phone), timezone.now()) == 3
    for cut in (phone, later, latest):
        assert cut.idle().status_code == 400
    assert phone.enrollment.device.identity_expires_at is None


def test_revoking_one_certificate_leaves_its_predecessor(phone):
    later = renewed(phone, device_key(2))
    assert identities.revoke(row(later), timezone.now()) == 1
    assert (phone.idle().status_code, later.idle().status_code) == (200, 400)


def test_a_revoked_device_comes_back_by_a_new_invitation(phone):
    identities.revoke(row(phone), timezone.now())
    assert Phone(key=device_key(2)).enroll().idle().status_code == 200


def test_a_certificate_revoked_at_once_is_not_handed_out_again_to_a_retry():
    now = timezone.now()
    secret = invitations.download(invite()[0], now)
    issued = _scep(pkcs_request(secret, now=now), now).issued
    identities.revoke(issued, now)
    assert "used" in _scep(pkcs_request(secret, now=now), now).refused
    assert IssuedCertificate.objects.filter(purpose="identity").count() == 1


def test_the_certificate_that_signs_profiles_may_not_ask_as_a_device():
    signing, key, _ = signer(timezone.now())
    impostor = Phone(key=key, certificate=signing)
    for answer in (impostor.idle(), impostor.check_in("GetToken", {"TokenServiceType": "com.apple.maid"})):
        assert answer.status_code == 400
    # 404 is for devices: it would say that the certificate was believed.
    assert impostor.check_in("DeclarativeManagement", {"Endpoint": "tokens"}).status_code == 400


# --- one certificate, one device ---------------------------------------------------------------------------------


def test_one_certificate_cannot_claim_a_row_of_devices():
    push_certificate()
    hostile = Phone().get_identity(invite(uses=1000)[0])
    statuses = []
    for number in range(5):
        hostile.udid = f"INVENTED-{number}"
        statuses.append(hostile.authenticate().status_code)
    assert statuses == [200, 400, 400, 400, 400]
    assert (Device.objects.count(), Enrollment.objects.count()) == (1, 1)


def test_a_link_for_one_serial_number_enrolls_no_other():
    push_certificate()
    thief = second().get_identity(invite(serial_number="C02EXAMPLE1")[0])
    assert thief.authenticate(SerialNumber="C02EXAMPLE2").status_code == 400
    assert thief.check_in("Authenticate", {"Topic": TOPIC}).status_code == 400
    assert not Device.objects.exists()
    assert thief.authenticate(SerialNumber="c02example1 ").status_code == 200


def test_a_revoked_invitation_stops_a_device_half_way():
    push_certificate()
    invitation, _ = invite()
    phone = Phone().get_identity(invitation)
    assert phone.authenticate().status_code == 200
    invitations.revoke(invitation, timezone.now())
    assert phone.token_update().status_code == 400
    assert Enrollment.objects.get().state == EnrollmentState.PENDING
    assert Invitation.objects.get().used_count == 0


def test_a_challenge_is_worth_nothing_once_it_expired_or_was_used_by_another_key():
    now = timezone.now()
    secret = invitations.download(invite()[0], now)
    late = now + timedelta(hours=2)
    ask = _scep(pkcs_request(secret, now=now), late)
    assert "expired" in ask.refused
    assert _scep(pkcs_request(secret, now=now), now).issued
    assert "used" in _scep(pkcs_request(secret, now=now, key=device_key(2)), now).refused
    # A retry of the very same request minutes later brings the same certificate, also past the challenge's end.
    Challenge.objects.update(expires_at=now)
    assert _scep(pkcs_request(secret, now=now), now + timedelta(minutes=4)).issued == IssuedCertificate.objects.get(
        purpose="identity"
    )
    assert IssuedCertificate.objects.filter(purpose="identity").count() == 1


def _scep(exchange, now):
    from certificates import scep

    return scep.answer(exchange.message, now=now, legacy=False)


# --- pending and archived enrollments ----------------------------------------------------------------------------


def test_a_pending_enrollment_hears_and_does_nothing():
    victim = Phone().enroll()
    command = queue(victim)
    victim.token_update(UnlockToken=b"the owner's")
    thief = Phone(key=device_key(2)).get_identity()
    assert thief.authenticate().status_code == 200
    assert thief.idle().content == b""
    assert thief.report("Acknowledged", command.uuid).content == b""
    assert plistlib.loads(thief.check_in("GetBootstrapToken").content)["BootstrapToken"] == b""
    assert state(command) is CommandState.QUEUED
    assert thief.check_in("CheckOut", {"Topic": TOPIC}).status_code == 200
    assert victim.enrollment.push_magic == "magic"
    assert command_in(victim.idle())[1] == command.uuid


def test_an_archived_certificate_is_sent_home_and_changes_nothing():
    former = Phone().enroll()
    current = Phone(key=device_key(2)).enroll()
    command = queue(current)
    assert former.idle().content == b""
    assert former.report("Acknowledged", command.uuid).content == b""
    assert former.token_update(PushMagic="stolen").status_code == 400
    assert former.check_in("SetBootstrapToken", {"BootstrapToken": b"x"}).status_code == 400
    assert former.check_in("CheckOut", {"Topic": TOPIC}).status_code == 200
    assert current.enrollment.push_magic == "magic"
    assert state(command) is CommandState.QUEUED
    assert not EscrowedSecret.objects.exists()


def test_who_is_not_enrolled_does_not_make_the_device_look_alive():
    former = Phone().enroll()
    current = Phone(key=device_key(2)).enroll()
    claim = Phone(key=device_key(3)).get_identity()
    claim.authenticate()
    seen.flush()
    # All of them: what was seen in this very second is not written again.
    Enrollment.objects.update(last_seen_at=None)
    Device.objects.update(last_seen_at=None)
    former.idle(), claim.idle()
    seen.flush()
    assert Device.objects.get().last_seen_at is None
    current.idle()
    seen.flush()
    assert Device.objects.get().last_seen_at is not None


# --- user channels -----------------------------------------------------------------------------------------------


def test_another_device_s_user_channel_cannot_be_spoken_for(phone):
    phone.user_id = USER
    assert phone.token_update().status_code == 200
    user = Enrollment.objects.get(parent__isnull=False)
    hostile = second().enroll()
    spec = CommandSpec(enrollment_id=user.pk, request_type="ProfileList", origin="test")
    command = enqueue([spec], timezone.now())[0]
    hostile.udid, hostile.user_id = phone.udid, USER
    assert hostile.idle().status_code == 400
    assert hostile.report("Acknowledged", command.uuid).status_code == 400
    assert hostile.token_update(PushMagic="stolen").status_code == 400
    assert hostile.check_in("CheckOut", {"Topic": TOPIC}).status_code == 400
    assert Enrollment.objects.get(pk=user.pk).push_magic == "magic"
    assert state(command) is CommandState.QUEUED
    # Nor by hiding the victim's name in one's own.
    hostile.udid, hostile.user_id = "SECOND", f"{phone.udid}:{USER}"
    assert hostile.report("Acknowledged", command.uuid).status_code == 200
    assert state(command) is CommandState.QUEUED
    hostile.udid, hostile.user_id = f"{phone.udid}:{USER}", ""
    assert hostile.report("Acknowledged", command.uuid).content == b""
    assert state(command) is CommandState.QUEUED


def test_a_user_s_name_begins_no_line_of_the_log(phone, caplog):
    shared = {"UserID": "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "UserShortName": "x\n2026 ERROR all is lost"}
    with caplog.at_level(logging.DEBUG):
        assert phone.token_update(**shared).status_code == 400
        assert phone.check_in("CheckOut", {"Topic": TOPIC, **shared}).status_code == 400
        phone.report("Acknowledged", "a\nb", {"Status": "c\nd"})
    assert all("\n" not in record.getMessage() for record in caplog.records)


# --- the authority's key -----------------------------------------------------------------------------------------


def test_the_authority_s_key_signs_nothing_for_a_stranger_and_leaves_by_no_door(client, phone):
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    authority = ensure_authority(timezone.now())
    key = authority_key(authority)
    forms = [
        key.private_bytes(encoding, PrivateFormat.PKCS8, NoEncryption()) for encoding in (Encoding.DER, Encoding.PEM)
    ]
    secret = key.private_numbers().d.to_bytes(384, "big")[-64:]
    _, token = invite()
    answers = [
        client.get(f"/enroll/{token}/profile").content,
        client.get("/scep?operation=GetCACert").content,
        client.generic("POST", "/scep?operation=PKIOperation", b"x").content,
        phone.idle().content,
    ]
    assert all(form not in answer for form in (*forms, secret) for answer in answers)
    # The authority's own certificate and the one that signs profiles are no identities.
    impostor = Phone(key=key, certificate=authority.certificate)
    assert impostor.idle().status_code == 400
    assert impostor.authenticate().status_code == 400


# --- unlucky honest devices --------------------------------------------------------------------------------------


def test_every_answer_may_get_lost_once_and_the_device_still_enrolls_and_works():
    push_certificate()
    phone = Phone().get_identity()
    for _ in range(2):
        assert phone.authenticate().status_code == 200
    for _ in range(2):
        assert phone.token_update(UnlockToken=b"u").status_code == 200
    assert Invitation.objects.get().used_count == 1
    assert (Identity.objects.count(), EscrowedSecret.objects.count()) == (1, 1)
    asked, first = [], command_in(phone.idle())
    # The command itself got lost: the same one comes again.
    assert command_in(phone.idle())[1] == first[1]
    answer = phone.report("Acknowledged", first[1])
    while (command := command_in(answer)) is not None:
        asked.append(command[1])
        phone.report("Acknowledged", command[1])
        answer = phone.report("Acknowledged", command[1])
    assert set(Command.objects.values_list("state", flat=True)) == {CommandState.ACKNOWLEDGED}
    assert len(asked) == len(set(asked))
    assert not UnmatchedReport.objects.exists()


def test_a_token_update_without_authenticate_after_a_restore_is_no_401():
    push_certificate()
    restored = Phone().get_identity()
    assert restored.token_update().status_code == 400
    assert restored.idle().status_code == 400
    assert not Enrollment.objects.exists()


@pytest.mark.parametrize(
    "content_type", ["", "text/html", "application/x-apple-aspen-mdm; charset=UTF-8", "\xff", "a" * 5000]
)
def test_any_content_type_will_do_on_either_url(phone, content_type):
    for path, message in (
        ("/mdm/connect", {"Status": "Idle", "UDID": phone.udid}),
        ("/mdm/checkin", {"MessageType": "GetBootstrapToken", "UDID": phone.udid}),
    ):
        body = plistlib.dumps(message)
        answer = phone.client.generic(
            "PUT", path, body, content_type=content_type, HTTP_MDM_SIGNATURE=phone.signature(body)
        )
        assert answer.status_code == 200


def test_two_devices_may_hold_the_same_token_of_any_length(phone):
    other = second().enroll()
    for length in (1, 32, 100, 1000):
        for each in (phone, other):
            assert each.token_update(Token=b"t" * length).status_code == 200
    assert bytes(phone.enrollment.token) == bytes(other.enrollment.token) == b"t" * 1000


# --- what no log may hold ----------------------------------------------------------------------------------------


def test_no_secret_of_any_door_reaches_a_log_at_debug_level(client, caplog):
    push_certificate()
    with caplog.at_level(logging.DEBUG):
        invitation, token = invite()
        for address in ("", "profile", "qr.svg", "nothing"):
            client.get(f"/enroll/{token}/{address}")
        now = timezone.now()
        challenge = invitations.download(invitation, now)
        phone = Phone()
        phone.certificate = pkcs_request(challenge, now=now).signer
        phone.authenticate()
        for _ in range(2):
            client.generic("POST", "/scep?operation=PKIOperation", pkcs_request(challenge, now=now).message)
        Invitation.objects.all().delete()
        phone = Phone().enroll()
        phone.token_update(PushMagic="magic-secret", Token=b"token-secret", UnlockToken=b"unlock-secret")
        phone.token_update(PushMagic="magic-secret" * 50)
        phone.check_in("SetBootstrapToken", {"BootstrapToken": b"bootstrap-secret"})
        phone.check_in("UserAuthenticate", {"UserID": USER, "DigestResponse": "digest-secret"})
        Device.objects.update(platform="iOS")
        send(phone.enrollment, "DeviceLock", {"PIN": "735519"}, origin="test", now=now)
        clear = send(phone.enrollment, "ClearPasscode", {}, origin="test", now=now)
        while (command := command_in(phone.idle())) is not None:
            phone.report("Error", command[1], {"UnlockToken": b"unlock-secret", "PIN": "735519"})
        assert state(clear) is CommandState.ERROR
    assert "enrolled" in caplog.text
    secrets = [token, challenge, "magic-secret", "unlock-secret", "bootstrap-secret", "digest-secret", "735519"]
    forms = [*secrets, b"token-secret".hex(), "token-secret", "dW5sb2NrLXNlY3JldA", phone.signature(b"")[:60]]
    assert [form for form in forms if form in caplog.text] == []
