"""Floods and bombs: what a device, a link or a stranger can make us store or compute has an end."""

import gzip
import plistlib
import struct
import time
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from certificates.models import Challenge, IssuedCertificate
from devices import escrow, identities
from devices.enrollment import MOST_USERS
from devices.models import (
    Command,
    CommandState,
    Device,
    Enrollment,
    EnrollmentState,
    EscrowedSecret,
    InvitationDownload,
    UnmatchedReport,
)
from endpoint import reports, unmatched, views
from protocol.scep import self_signed
from tests.certificates.requests import device_key
from tests.endpoint.deeds import queue, renewed, row, second
from tests.endpoint.phone import Phone, command_in, invite, push_certificate

pytestmark = pytest.mark.django_db
UNLOCK_TOKEN = EscrowedSecret.Kind.UNLOCK_TOKEN


@pytest.fixture
def phone():
    return Phone().enroll()


def test_one_challenge_renewed_again_and_again_cannot_fill_the_list_of_devices():
    push_certificate()
    invitation, _ = invite()
    first = Phone().get_identity(invitation)
    statuses = []
    for number in range(23):
        hostile = renewed(first, device_key(2))
        IssuedCertificate.objects.update(issued_at=timezone.now() - timedelta(hours=1))
        hostile.udid = f"INVENTED-{number}"
        statuses.append(hostile.authenticate().status_code)
    assert statuses == [200] * 21 + [400] * 2
    assert Device.objects.count() == 21


def test_a_link_cannot_be_downloaded_without_end(client):
    push_certificate()
    invitation, token = invite()
    challenge, _ = Challenge.objects.get_or_create(
        secret_sha256=b"1" * 32, created_at=timezone.now(), expires_at=timezone.now() + timedelta(hours=1)
    )
    InvitationDownload.objects.create(invitation=invitation, challenge=challenge, downloaded_at=timezone.now())
    answers = {client.get(f"/enroll/{token}/profile").status_code for _ in range(3)}
    assert answers == {200}
    _downloads(invitation, 100)
    refused = client.get(f"/enroll/{token}/profile")
    assert (refused.status_code, refused["Cache-Control"]) == (429, "no-store")
    assert b"too often" in refused.content
    assert client.get(f"/enroll/{token}/").status_code == 200
    Challenge.objects.update(expires_at=timezone.now())
    assert client.get(f"/enroll/{token}/profile").status_code == 200


def _downloads(invitation, count):
    now = timezone.now()
    for number in range(count):
        challenge = Challenge.objects.create(
            secret_sha256=f"{number:032}".encode(), created_at=now, expires_at=now + timedelta(hours=1)
        )
        InvitationDownload.objects.create(invitation=invitation, challenge=challenge, downloaded_at=now)


def test_a_device_cannot_invent_users_without_end(phone):
    channel, now = phone.enrollment, timezone.now()
    Enrollment.objects.bulk_create(
        Enrollment(
            device=channel.device, parent=channel, kind="user", enrollment_id=f"{phone.udid}:{number}",
            state=EnrollmentState.ENROLLED, authenticated_at=now,
        )
        for number in range(MOST_USERS - 1)
    )  # fmt: skip
    statuses = []
    for user in ("A", "B", "C", "0"):
        phone.user_id = user
        statuses.append(phone.token_update().status_code)
    assert statuses == [200, 400, 400, 200]


# --- floods ------------------------------------------------------------------------------------------------------


def test_large_reports_that_nobody_read_yet_are_few_and_rubbish_is_cut(phone, settings):
    settings.DEVICE_BODY_INLINE = 1000
    statuses = [phone.put("/mdm/connect", b"x" * 2000).status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 503, 503]
    assert UnmatchedReport.objects.count() == unmatched.PARKED_PER_ENROLLMENT
    parked = UnmatchedReport.objects.first()
    parked.raw = b"x" * (unmatched.EVIDENCE_BYTES + 5)
    parked.save()
    assert not reports.read_large_report(parked.pk, timezone.now())
    parked.refresh_from_db()
    assert len(parked.raw) == unmatched.EVIDENCE_BYTES
    assert phone.put("/mdm/connect", b"x" * 2000).status_code == 200


def test_a_large_report_of_a_device_whose_identity_is_gone_is_not_tried_for_ever(phone, settings):
    settings.DEVICE_BODY_INLINE = 100
    phone.report("Acknowledged", "X", {"Padding": "x" * 200})
    identities.revoke(row(phone), timezone.now())
    parked = UnmatchedReport.objects.get()
    assert not reports.read_large_report(parked.pk, timezone.now())
    parked.refresh_from_db()
    assert parked.reason != unmatched.WAITING


def test_a_device_that_brings_ever_new_secrets_fills_no_table_and_pushes_none_out(phone):
    for number in range(escrow.MOST_VERSIONS + 3):
        escrow.keep(phone.enrollment, UNLOCK_TOKEN, value=b"%d" % number, now=timezone.now())
    assert phone.token_update(UnlockToken=b"the newest").status_code == 200
    kept = [bytes(secret.value) for secret in EscrowedSecret.objects.order_by("version")]
    assert len(kept) == escrow.MOST_VERSIONS
    assert (kept[0], kept[-2:]) == (b"0", [b"98", b"the newest"])
    assert escrow.latest(phone.enrollment, UNLOCK_TOKEN) == b"the newest"


def test_answers_that_wait_for_another_attempt_hide_none_behind_them(phone):
    now = timezone.now()
    broken, good = queue(phone, "SecurityInfo"), queue(phone, "ProfileList")
    past = now - timedelta(minutes=1)
    answered = Command.objects.filter(pk__in=[broken.pk, good.pk])
    answered.update(state=CommandState.ACKNOWLEDGED, completed_at=past, result=b"rubbish")
    Command.objects.filter(pk=broken.pk).update(handle_attempts=9, completed_at=past - timedelta(seconds=9))
    assert reports.unhandled(now, limit=1) == [good.pk]
    assert reports.unhandled(now + timedelta(minutes=10), limit=2) == [broken.pk, good.pk]


def test_an_answer_that_no_handler_can_take_stops_neither_its_device_nor_others(phone):
    other = second().enroll()
    poison, honest = queue(phone, "SecurityInfo"), queue(other, "SecurityInfo")
    phone.idle(), other.idle()
    with connection.execute_wrapper(_inventory_is_broken(phone.enrollment.pk)):
        assert phone.report("Acknowledged", poison.uuid, {"SecurityInfo": {}}).status_code == 200
        assert other.report("Acknowledged", honest.uuid, {"SecurityInfo": {}}).status_code == 200
    stored = Command.objects.get(pk=poison.pk)
    assert (stored.state, stored.handled_at, stored.handle_attempts) == (CommandState.ACKNOWLEDGED, None, 1)
    assert Command.objects.get(pk=honest.pk).handled_at is not None
    next_one = queue(phone)
    assert command_in(phone.idle())[1] == next_one.uuid
    assert reports.handle_report(poison.pk, timezone.now())


def _inventory_is_broken(enrollment_pk):
    def wrapper(execute, sql, params, many, context):
        if sql.startswith("INSERT") and "devices_inventory" in sql and enrollment_pk in (params or ()):
            raise ValueError("a bug")
        return execute(sql, params, many, context)

    return wrapper


# --- bombs -------------------------------------------------------------------------------------------------------


def _bomb(size):
    """A binary property list whose one short array is meant `size` times."""
    inner = b"\xaf\x10\x1e" + b"\x02" * 30
    outer = b"\xaf\x12" + size.to_bytes(4, "big") + b"\x01" * size
    objects, at, offsets = (outer, inner, b"\x09"), 8, b""
    for each in objects:
        offsets += at.to_bytes(4, "big")
        at += len(each)
    return b"bplist00" + b"".join(objects) + offsets + struct.pack(">6xBBQQQ", 4, 1, 3, 0, at)


@pytest.mark.parametrize(
    "body",
    [
        _bomb(1_900_000),
        b"<plist><array>" + b"<dict/>" * 250_000 + b"</array></plist>",
        b"<plist>" + b"<array>" * 200_000 + b"</plist>",
        b'<!DOCTYPE p [<!ENTITY a "' + b"x" * 9999 + b'">]><plist><string>' + b"&a;" * 9999 + b"</string></plist>",
    ],
    ids=["binary", "elements", "depth", "entities"],
)
def test_a_stranger_s_bomb_costs_little(body):
    stranger = Phone()
    stranger.certificate = self_signed(stranger.key, common_name="x", now=timezone.now())
    before = time.process_time()
    assert stranger.put("/mdm/connect", body).status_code == 400
    # Seconds of this process; a bomb that goes off takes 15 and half a gigabyte.
    assert time.process_time() - before < 5


def test_scep_reads_small_bodies_only(client):
    deep = b"\x30\x80" * 38 + b"\x05\x00" * views.SCEP_LIMIT
    assert client.generic("POST", "/scep?operation=PKIOperation", deep).status_code == 413
    before = time.process_time()
    assert client.generic("POST", "/scep?operation=PKIOperation", deep[: views.SCEP_LIMIT]).status_code == 200
    assert time.process_time() - before < 5


def test_a_compressed_body_is_not_unpacked(phone):
    command = queue(phone)
    body = gzip.compress(plistlib.dumps({"UDID": phone.udid, "Status": "NotNow", "CommandUUID": command.uuid}))
    headers = {"HTTP_CONTENT_ENCODING": "gzip", "HTTP_MDM_SIGNATURE": phone.signature(body)}
    assert phone.put("/mdm/connect", body, **headers).status_code == 200
    assert bytes(UnmatchedReport.objects.get().raw) == body
    assert phone.put("/mdm/checkin", body, **headers).status_code == 400
