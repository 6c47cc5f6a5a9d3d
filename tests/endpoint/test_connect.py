"""ServerURL: reports close their own commands and no others; nothing that makes sense of nothing is lost or repeated."""

import plistlib
import uuid

import pytest
from django.db import DatabaseError, connection
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.commands import CommandSpec, enqueue
from devices.models import Command, CommandState, Enrollment, Inventory, UnmatchedReport
from endpoint import door, reports, unmatched
from endpoint.exchange import DeviceRequest
from endpoint.tasks import handle_reports
from tests.certificates.requests import device_key, renewal_request
from tests.endpoint.phone import Phone, command_in, invite, push_certificate

pytestmark = pytest.mark.django_db


@pytest.fixture
def phone():
    return Phone().enroll()


def queue(phone, request_type="RestartDevice", params=None, **more):
    spec = CommandSpec(
        enrollment_id=phone.enrollment.pk, request_type=request_type, params=params or {}, origin="test", **more
    )
    return enqueue([spec], timezone.now())[0]


def state(command):
    return CommandState(Command.objects.get(pk=command.pk).state)


def test_idle_with_nothing_to_do_is_zero_bytes(phone):
    answer = phone.idle()
    assert (answer.status_code, answer.content) == (200, b"")


def test_an_idle_costs_one_statement(phone, django_assert_max_num_queries):
    # SQLite may need two: it cannot look and mark in one.
    with django_assert_max_num_queries(1 if connection.vendor == "postgresql" else 2):
        phone.idle()


def test_an_idle_costs_the_same_with_a_long_history(phone, django_assert_max_num_queries):
    done = queue(phone)
    now = timezone.now()
    history = (
        Command(
            uuid=str(uuid.uuid4()), enrollment=phone.enrollment, request_type="ProfileList", created_at=now,
            state=CommandState.ACKNOWLEDGED, completed_at=now, handled_at=now,
        )
        for _ in range(10_000)
    )  # fmt: skip
    Command.objects.bulk_create(history, batch_size=500)
    Command.objects.filter(pk=done.pk).update(state=CommandState.CANCELLED)
    with django_assert_max_num_queries(1 if connection.vendor == "postgresql" else 2):
        phone.idle()


def test_a_report_with_a_next_command_costs_one_statement_before_its_answer(phone, django_assert_max_num_queries):
    first, _ = queue(phone), queue(phone, "ProfileList")
    phone.idle()
    body = plistlib.dumps({"UDID": phone.udid, "Status": "Acknowledged", "CommandUUID": first.uuid})
    request = DeviceRequest("PUT", "/mdm/connect", headers={"mdm-signature": phone.signature(body)}, body=body)
    with django_assert_max_num_queries(1 if connection.vendor == "postgresql" else 4):
        answer = door.connect(request)
    assert b"ProfileList" in answer.body
    assert answer.after is not None


def test_a_command_is_offered_acknowledged_and_not_offered_again(phone):
    command = queue(phone)
    name, command_uuid, _ = command_in(phone.idle())
    assert (name, command_uuid) == ("RestartDevice", command.uuid)
    assert phone.report("Acknowledged", command_uuid).content == b""
    assert state(command) is CommandState.ACKNOWLEDGED
    assert phone.idle().content == b""


def test_an_answer_is_stored_encrypted_and_handled_before_the_next_is_offered(phone):
    queue(phone, "SecurityInfo")
    _, command_uuid, _ = command_in(phone.idle())
    flags = {"PasscodePresent": True, "PasscodeCompliant": True, "PasscodeCompliantWithProfiles": True}
    phone.report("Acknowledged", command_uuid, {"SecurityInfo": flags})
    command = Command.objects.get(uuid=command_uuid)
    assert command.handled_at is not None
    assert b"PasscodePresent" in bytes(command.result)
    with connection.cursor() as cursor:
        cursor.execute("SELECT result FROM devices_command WHERE id = %s", [command.pk])
        assert b"PasscodePresent" not in bytes(cursor.fetchone()[0])
    assert phone.enrollment.device.passcode_present is True


def test_with_more_to_do_the_answer_is_handled_once_the_response_is_out(phone):
    first, second = queue(phone, "SecurityInfo"), queue(phone)
    phone.idle()
    answer = phone.report("Acknowledged", first.uuid, {"SecurityInfo": {"PasscodePresent": False}})
    assert command_in(answer)[1] == second.uuid
    # The test client closes the response as a server does.
    assert Command.objects.get(pk=first.pk).handled_at is not None
    assert Inventory.objects.get().kind == "SecurityInfo"


def test_the_same_answer_twice_changes_nothing(phone):
    command = queue(phone)
    phone.idle()
    phone.report("Acknowledged", command.uuid)
    before = Command.objects.get(pk=command.pk).completed_at
    assert phone.report("Error", command.uuid).status_code == 200
    assert state(command) is CommandState.ACKNOWLEDGED
    assert Command.objects.get(pk=command.pk).completed_at == before
    assert not UnmatchedReport.objects.exists()


def test_not_now_leaves_the_command_for_the_next_session(phone):
    command = queue(phone)
    phone.idle()
    assert phone.report("NotNow", command.uuid).content == b""
    assert command_in(phone.idle())[1] == command.uuid


def test_an_error_keeps_its_chain(phone):
    command = queue(phone)
    phone.idle()
    chain = [{"ErrorCode": 12021, "ErrorDomain": "MCMDMErrorDomain", "USEnglishDescription": "Invalid request type"}]
    phone.report("Error", command.uuid, {"ErrorChain": chain})
    stored = Command.objects.get(pk=command.pk)
    assert (stored.state, stored.error_chain[0]["code"]) == (CommandState.ERROR, 12021)


@pytest.mark.parametrize(
    ("status", "command_uuid"),
    [
        ("Acknowledged", "no uuid at all \u2603"),
        ("Acknowledged", None),
        ("Acknowledged", "x" * 300),
        ("Splendid", "X"),
    ],
    ids=["no UUID", "none", "too long", "unknown status"],
)
def test_what_cannot_be_matched_is_kept_and_answered(phone, status, command_uuid):
    waiting = queue(phone)
    message = {"UDID": phone.udid, "Status": status, **({} if command_uuid is None else {"CommandUUID": command_uuid})}
    answer = phone.put("/mdm/connect", plistlib.dumps(message, fmt=plistlib.FMT_BINARY))
    assert answer.status_code == 200
    kept = UnmatchedReport.objects.get()
    assert kept.enrollment == phone.enrollment
    assert status.encode() in bytes(kept.raw)
    assert state(waiting) < CommandState.ACKNOWLEDGED
    # It goes on with its work all the same.
    assert command_in(answer)[1] == waiting.uuid


def test_a_body_that_is_no_report_is_kept_and_answered(phone):
    answer = phone.put("/mdm/connect", b"hello")
    assert (answer.status_code, answer.content) == (200, b"")
    assert bytes(UnmatchedReport.objects.get().raw) == b"hello"


def test_only_the_newest_unmatched_reports_are_kept(phone):
    for number in range(unmatched.KEPT_PER_ENROLLMENT + 5):
        unmatched.keep(phone.enrollment.pk, reason=str(number), raw=b"x", now=timezone.now())
    reasons = set(UnmatchedReport.objects.values_list("reason", flat=True))
    assert len(reasons) == unmatched.KEPT_PER_ENROLLMENT
    assert "4" not in reasons
    assert "5" in reasons


def test_another_device_s_command_stays_open(phone):
    command = queue(phone)
    phone.idle()
    other = Phone(udid="OTHER", key=device_key(2)).enroll()
    command = queue(phone)
    assert other.report("Acknowledged", command.uuid).status_code == 200
    assert state(command) is CommandState.QUEUED
    assert UnmatchedReport.objects.get().enrollment == other.enrollment


def test_a_foreign_but_valid_identity_is_not_believed(phone, caplog):
    other = Phone(udid="OTHER", key=device_key(2)).enroll()
    command = queue(phone)
    other.udid = phone.udid
    assert other.report("Acknowledged", command.uuid).status_code == 400
    assert other.idle().status_code == 400
    assert state(command) is CommandState.QUEUED
    assert "another device" in caplog.text


def test_a_tampered_report_is_not_believed(phone):
    command = queue(phone)
    honest = plistlib.dumps({"UDID": phone.udid, "Status": "NotNow", "CommandUUID": command.uuid})
    forged = honest.replace(b"NotNow", b"Error!").replace(b"Error!", b"Error")
    answer = phone.put("/mdm/connect", forged, HTTP_MDM_SIGNATURE=phone.signature(honest))
    assert answer.status_code == 400
    assert state(command) is CommandState.QUEUED


def test_an_unknown_identity_gets_400_and_never_401():
    from protocol.scep import self_signed

    stranger = Phone()
    stranger.certificate = self_signed(stranger.key, common_name="x", now=timezone.now())
    assert stranger.idle().status_code == 400
    assert stranger.put("/mdm/connect", b"junk").status_code == 400
    assert not UnmatchedReport.objects.exists()


def test_a_command_that_cannot_be_rendered_stops_nothing(phone):
    broken = queue(phone, "RemoveProfile", {"Identifier": 7})
    gone = queue(phone, "InstallProfile", {"Profile": 4711})
    good = queue(phone)
    assert command_in(phone.idle())[1] == good.uuid
    assert state(broken) is state(gone) is CommandState.UNRENDERABLE
    assert Command.objects.get(pk=gone.pk).error_chain[0]["description"]


def test_clear_passcode_gets_the_unlock_token_as_it_goes_out():
    phone = Phone().enroll()
    phone.token_update(UnlockToken=b"unlock me")
    command = queue(phone, "ClearPasscode")
    assert command_in(phone.idle())[2]["UnlockToken"] == b"unlock me"
    assert b"unlock me" not in bytes(Command.objects.get(pk=command.pk).params)


def test_clear_passcode_without_a_token_is_failed(phone):
    command = queue(phone, "ClearPasscode")
    assert phone.idle().content == b""
    assert state(command) is CommandState.UNRENDERABLE


def test_a_user_channel_that_is_not_known_is_sent_home(phone):
    phone.user_id = "11111111-2222-3333-4444-555555555555"
    assert (phone.idle().status_code, phone.report("Acknowledged", "X").status_code) == (200, 200)
    assert UnmatchedReport.objects.get().reason == "unknown user channel"


def test_a_renewed_identity_speaks_for_its_device(phone):
    now = timezone.now()
    exchange = renewal_request(phone.certificate, phone.key, now=now, key=device_key(2))
    answer = phone.client.generic("POST", "/scep?operation=PKIOperation", exchange.message)
    renewed = Phone(udid=phone.udid, key=device_key(2), certificate=exchange.read(answer.content))
    assert renewed.idle().status_code == 200
    assert phone.idle().status_code == 200


def test_a_renewal_whose_binding_was_lost_is_bound_at_the_next_connect(phone):
    from devices.models import Identity

    now = timezone.now()
    exchange = renewal_request(phone.certificate, phone.key, now=now, key=device_key(2))
    answer = phone.client.generic("POST", "/scep?operation=PKIOperation", exchange.message)
    renewed = Phone(udid=phone.udid, key=device_key(2), certificate=exchange.read(answer.content))
    Identity.objects.order_by("-pk").first().delete()
    assert renewed.idle().status_code == 200


def test_an_answer_whose_handler_was_lost_is_found_by_the_sweep(phone):
    command = queue(phone, "SecurityInfo")
    phone.idle()
    phone.report("Acknowledged", command.uuid, {"SecurityInfo": {"PasscodePresent": True}})
    earlier = timezone.now() - reports.ATTEMPT_INTERVAL
    Command.objects.filter(pk=command.pk).update(handled_at=None, completed_at=earlier)
    assert reports.unhandled(timezone.now(), limit=10) == [command.pk]
    assert reports.handle_report(command.pk, timezone.now())
    assert not reports.handle_report(command.pk, timezone.now())
    assert reports.unhandled(timezone.now(), limit=10) == []


def test_a_broken_handler_is_left_alone_after_a_while_with_an_alert(phone):
    from operations.models import Alert

    command = queue(phone, "SecurityInfo")
    phone.idle()
    phone.report("Acknowledged", command.uuid)
    # What was stored cannot be read: no handler can ever succeed.
    Command.objects.filter(pk=command.pk).update(handled_at=None, result=b"rubbish")
    for _ in range(reports.MOST_ATTEMPTS):
        assert not reports.handle_report(command.pk, timezone.now())
    assert Command.objects.get(pk=command.pk).handled_at is not None
    assert "SecurityInfo" in Alert.objects.get().title


def test_a_large_report_is_left_for_the_worker(phone, settings):
    settings.DEVICE_BODY_INLINE = 1000
    command = queue(phone, "InstalledApplicationList")
    phone.idle()
    apps = [{"Identifier": f"com.example.app{number}", "Name": "An app"} for number in range(100)]
    answer = phone.report("Acknowledged", command.uuid, {"InstalledApplicationList": apps})
    assert (answer.status_code, answer.content) == (200, b"")
    assert state(command) is CommandState.SENT
    parked = UnmatchedReport.objects.get()
    assert reports.read_large_report(parked.pk, timezone.now())
    assert state(command) is CommandState.ACKNOWLEDGED
    assert Command.objects.get(pk=command.pk).handled_at is not None
    assert Inventory.objects.get().kind == "InstalledApplicationList"
    assert not UnmatchedReport.objects.exists()
    assert not reports.read_large_report(parked.pk, timezone.now())


def test_a_large_report_that_cannot_be_read_stays_as_evidence(phone, settings):
    settings.DEVICE_BODY_INLINE = 1000
    phone.put("/mdm/connect", b"x" * 2000)
    parked = UnmatchedReport.objects.get()
    assert not reports.read_large_report(parked.pk, timezone.now())
    assert "cannot be read" in UnmatchedReport.objects.get().reason


def test_the_sweep_starts_with_nothing_to_do():
    handle_reports()


def test_an_outage_is_503(phone, caplog):
    body = plistlib.dumps({"UDID": phone.udid, "Status": "Idle"})

    def broken(_):
        raise DatabaseError("the disk is full")

    answer = door.answered(DeviceRequest("PUT", "/mdm/connect", body=body), broken)
    assert answer.status == 503
    assert "Retry-After" in answer.headers

    def mistaken(_):
        raise KeyError("secret")

    assert door.answered(DeviceRequest("PUT", "/mdm/connect"), mistaken).status == 503


def test_an_outage_while_rendering_is_503_and_fails_no_command(phone):
    command = queue(phone, "InstallProfile", {"Profile": 1})
    with connection.execute_wrapper(_profiles_are_gone):
        assert phone.idle().status_code == 503
    assert state(command) is CommandState.SENT


def test_lost_keys_are_our_outage_and_fail_no_command(phone, settings):
    command = queue(phone, "RemoveProfile", {"Identifier": "com.example.vpn"})
    right = settings.PORTAL_ENCRYPTION_KEYS
    settings.PORTAL_ENCRYPTION_KEYS = ("d3Jvbmcta2V5LXdyb25nLWtleS13cm9uZy1rZXktd3I=",)
    assert phone.idle().status_code == 503
    settings.PORTAL_ENCRYPTION_KEYS = right
    assert state(command) is CommandState.SENT
    assert command_in(phone.idle())[1] == command.uuid


def _profiles_are_gone(execute, sql, params, many, context):
    if "profiles_profile" in sql:
        raise DatabaseError("gone away")
    return execute(sql, params, many, context)


def test_the_last_seen_is_noted(phone):
    from devices import seen

    Enrollment.objects.update(last_seen_at=None)
    phone.idle()
    seen.flush()
    assert phone.enrollment.last_seen_at is not None


@given(body=st.binary(max_size=200) | st.dictionaries(
    st.sampled_from(["UDID", "EnrollmentID", "UserID", "UserShortName", "Status", "CommandUUID", "ErrorChain"]),
    st.sampled_from([
        "00008020-000915083C80012E", "Idle", "Acknowledged", "Error", "NotNow", "Odd", "", "\ud7ff", "a\0", b"x", 7,
        [], [{"ErrorCode": "x"}], {"a": []},
    ]),
))  # fmt: skip
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_signed_report_gets_a_documented_status(body):
    from devices.models import Identity

    push_certificate()
    identity = Identity.objects.first()
    phone = Phone(certificate=identity.certificate.certificate) if identity else Phone().enroll(invitation=invite()[0])
    if not isinstance(body, bytes):
        body = plistlib.dumps(body, fmt=plistlib.FMT_BINARY)
    assert phone.put("/mdm/connect", body).status_code in {200, 400}
