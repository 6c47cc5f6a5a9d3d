"""Check-in: who may enroll, what a refused message leaves untouched, what the first TokenUpdate starts."""

import plistlib
from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from certificates.models import IssuedCertificate
from devices.models import Command, Enrollment, EnrollmentState, EscrowedSecret, Invitation
from tests.certificates.requests import device_key
from tests.endpoint.phone import TOPIC, Phone, command_in, invite, push_certificate

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def topic():
    push_certificate()


def test_a_device_enrolls_and_is_asked_about_itself():
    phone = Phone().get_identity()
    assert phone.authenticate().status_code == 200
    assert Enrollment.objects.get().state == EnrollmentState.PENDING
    answer = phone.token_update()
    assert (answer.status_code, answer.content) == (200, b"")
    assert phone.enrollment.push_magic == "magic"
    asked = set(Command.objects.values_list("request_type", flat=True))
    assert asked == {"DeviceInformation", "SecurityInfo", "ProfileList"}


def test_before_the_token_update_nothing_is_offered():
    phone = Phone().get_identity()
    phone.authenticate()
    assert phone.idle().content == b""


def test_a_device_in_setup_assistant_is_let_go_last():
    phone = Phone().get_identity()
    phone.authenticate()
    phone.token_update(AwaitingConfiguration=True)
    offered, answer = [], phone.idle()
    while (command := command_in(answer)) is not None:
        offered.append(command[0])
        answer = phone.report("Acknowledged", command[1])
    assert offered[-1] == "DeviceConfigured"
    assert not phone.enrollment.awaiting_configuration


def test_an_absent_awaiting_configuration_keeps_what_was_said():
    phone = Phone().get_identity()
    phone.authenticate()
    phone.token_update(AwaitingConfiguration=True)
    phone.token_update()
    assert phone.enrollment.awaiting_configuration


@pytest.mark.parametrize("missing", ["Token", "PushMagic", "Topic"])
def test_a_token_update_without_a_required_key_wipes_nothing(missing):
    phone = Phone().enroll()
    assert phone.token_update(**{missing: None}).status_code == 400
    assert phone.enrollment.push_magic == "magic"
    assert bytes(phone.enrollment.token) == b"\x01" * 32


def test_a_second_authenticate_is_a_retry():
    phone = Phone().enroll(invitation=invite(uses=2)[0])
    assert phone.authenticate().status_code == 200
    assert phone.enrollment.push_magic == "magic"
    assert Invitation.objects.get().used_count == 1


def test_claiming_another_device_with_a_fresh_certificate_takes_nothing_from_it():
    victim = Phone().enroll()
    thief = Phone(key=device_key(2)).get_identity()
    assert thief.authenticate().status_code == 200
    before = victim.enrollment
    assert (before.push_magic, before.state) == ("magic", EnrollmentState.ENROLLED)
    assert command_in(thief.idle()) is None


def test_a_used_up_invitation_enrolls_nobody():
    invitation, _ = invite()
    Phone().enroll(invitation=invitation)
    second = Phone(udid="SECOND", key=device_key(2)).get_identity(invitation)
    assert second.authenticate().status_code == 400


def test_an_identity_that_is_not_ours_is_refused_with_400(caplog):
    from protocol.scep import self_signed

    phone = Phone()
    phone.certificate = self_signed(phone.key, common_name="MDM identity", now=timezone.now())
    assert phone.authenticate().status_code == 400
    assert not Enrollment.objects.exists()
    assert "no identity of ours" in caplog.text


def test_a_revoked_identity_is_refused():
    phone = Phone().enroll()
    IssuedCertificate.objects.filter(purpose="identity").update(revoked_at=timezone.now())
    assert phone.token_update().status_code == 400
    assert phone.check_in("GetBootstrapToken").status_code == 400


def test_our_own_server_certificate_is_no_identity():
    from certificates.authority import ensure_authority, issue_server
    from certificates.keys import from_pem

    now = timezone.now()
    issued = issue_server(ensure_authority(now), host_names=["mdm.example.com"], now=now)
    phone = Phone(key=from_pem(bytes(issued.private_key_pem)), certificate=issued.certificate)
    assert phone.authenticate().status_code == 400


def test_a_tampered_body_is_refused():
    phone = Phone().enroll()
    honest = plistlib.dumps({"MessageType": "CheckOut", "UDID": "OTHER", "Topic": TOPIC})
    body = honest.replace(b"OTHER", b"FALSE")
    assert phone.put("/mdm/checkin", body, HTTP_MDM_SIGNATURE=phone.signature(honest)).status_code == 400
    assert phone.enrollment.state == EnrollmentState.ENROLLED


def test_check_out_ends_the_enrollment():
    phone = Phone().enroll()
    assert phone.check_in("CheckOut", {"Topic": TOPIC}).status_code == 200
    assert Enrollment.objects.get().state == EnrollmentState.CHECKED_OUT


def test_a_bootstrap_token_comes_back():
    phone = Phone().enroll()
    empty = phone.check_in("GetBootstrapToken")
    assert (empty.status_code, plistlib.loads(empty.content)["BootstrapToken"]) == (200, b"")
    assert phone.check_in("SetBootstrapToken", {"BootstrapToken": b"secret"}).status_code == 200
    answer = phone.check_in("GetBootstrapToken")
    assert answer["Content-Type"].startswith("application/xml")
    assert plistlib.loads(answer.content)["BootstrapToken"] == b"secret"
    assert EscrowedSecret.objects.get().enrollment == phone.enrollment


@pytest.mark.parametrize(
    ("message_type", "message", "status"),
    [
        ("UserAuthenticate", {"UserID": "11111111-2222-3333-4444-555555555555"}, 410),
        ("GetToken", {"TokenServiceType": "com.apple.maid"}, 400),
        ("DeclarativeManagement", {"Endpoint": "declaration/asset/x"}, 404),
        ("DeclarativeManagement", {"Endpoint": "tokens"}, 404),
        ("DeclarativeManagement", {"Endpoint": "status", "Data": b"{}"}, 200),
        ("Nonsense", {}, 400),
    ],
)
def test_what_is_not_served_has_apple_s_status(message_type, message, status):
    assert Phone().enroll().check_in(message_type, message).status_code == status


def test_a_check_in_that_comes_to_the_connect_url_is_checked_in():
    phone = Phone().get_identity()
    body = plistlib.dumps({"MessageType": "Authenticate", "UDID": phone.udid, "Topic": TOPIC})
    answer = phone.client.generic(
        "PUT",
        "/mdm/connect",
        body,
        content_type="application/x-apple-aspen-mdm-checkin; charset=UTF-8",
        HTTP_MDM_SIGNATURE=phone.signature(body),
    )
    assert answer.status_code == 200
    assert Enrollment.objects.get().enrollment_id == phone.udid


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x" * 5000, "<b>&amp;", "\u202eevil"])
def test_odd_texts_never_cost_more_than_a_refusal(text):
    phone = Phone().get_identity()
    body = (
        plistlib.dumps(
            {
                "MessageType": "Authenticate",
                "UDID": phone.udid,
                "Topic": TOPIC,
                "DeviceName": text,
                "SerialNumber": text,
            },
            fmt=plistlib.FMT_BINARY,
        )
        if "\ud800" not in text
        else _half_a_surrogate(phone)
    )
    assert phone.put("/mdm/checkin", body).status_code in {200, 400}


def _half_a_surrogate(phone):
    body = plistlib.dumps(
        {"MessageType": "Authenticate", "UDID": phone.udid, "Topic": TOPIC, "DeviceName": "\u4e00\u4e01"},
        fmt=plistlib.FMT_BINARY,
    )
    return body.replace("\u4e00\u4e01".encode("utf-16-be"), b"\xd8\x00\x4e\x01")


def test_a_refusal_is_one_log_line_without_the_device_s_own_words_in_full(caplog):
    phone = Phone(udid="A" * 64).get_identity()
    Phone(udid="A" * 64, key=device_key(2)).get_identity()
    answer = phone.token_update(UDID="A" * 64)
    assert answer.status_code == 400
    lines = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(lines) == 1
    assert "400" in lines[0]
    assert "A" * 64 not in lines[0]


def test_an_expired_identity_is_still_served():
    phone = Phone().enroll()
    IssuedCertificate.objects.filter(purpose="identity").update(not_after=timezone.now() - timedelta(days=1))
    assert phone.token_update().status_code == 200


@given(body=st.binary(max_size=200) | st.dictionaries(
    st.sampled_from(["MessageType", "UDID", "EnrollmentID", "UserID", "Topic", "Token", "PushMagic", "Endpoint"]),
    st.sampled_from(["Authenticate", "TokenUpdate", "CheckOut", "GetToken", TOPIC, "", "x:y", b"", b"\0", 7, True, []]),
))  # fmt: skip
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_signed_message_gets_a_documented_status(body):
    phone = Phone(certificate=_certificate())
    assert phone.put("/mdm/checkin", body).status_code in {200, 400, 404, 410}


def _certificate():
    found = IssuedCertificate.objects.filter(purpose="identity").first()
    return found.certificate if found else Phone().get_identity().certificate
