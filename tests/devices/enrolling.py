"""Enrollments for tests: certificates as rows (nothing here verifies a signature), and check-in messages."""

import itertools
import secrets
from datetime import datetime, timedelta

from certificates.models import CertificateAuthority, Challenge, IssuedCertificate, PushCertificate
from devices import invitations
from devices.enrollment import TokenUpdateResult, authenticate, token_update
from devices.models import DeviceGroup, Enrollment, Invitation, InvitationDownload
from protocol.checkin import Authenticate, TokenUpdate
from protocol.identity import SHARED_IPAD_USER_ID, EnrollmentIdentity, identify

TOPIC = "com.apple.mgmt.External.11111111-2222-3333-4444-555555555555"
UDID = "00008020-000915083C80012E"
_numbers = itertools.count(1)


def our_topic(now: datetime, topic: str = TOPIC) -> PushCertificate:
    return PushCertificate.objects.create(
        topic=topic,
        subject=topic,
        sha256=secrets.token_bytes(32),
        certificate_pem="",
        private_key_pem=b"",
        not_before=now,
        not_after=now + timedelta(days=365),
        uploaded_at=now,
    )


def certificate(now: datetime, replaces: IssuedCertificate | None = None) -> IssuedCertificate:
    authority, _ = CertificateAuthority.objects.get_or_create(
        name="test", defaults={"certificate_der": b"", "private_key_pem": b"", "created_at": now, "not_after": now}
    )
    number = next(_numbers)
    return IssuedCertificate.objects.create(
        authority=authority,
        sha256=secrets.token_bytes(32),
        serial_number=secrets.token_hex(16),
        subject=f"device {number}",
        public_key_sha256=secrets.token_bytes(32),
        certificate_der=b"",
        not_before=now,
        not_after=now + timedelta(days=365),
        replaces=replaces,
        issued_at=now,
    )


def invitation(
    now: datetime, *groups: DeviceGroup, uses: int = 1, serial_number: str = "", lifetime: timedelta = timedelta(days=1)
) -> Invitation:
    return invitations.invite(groups=groups, uses=uses, lifetime=lifetime, now=now, serial_number=serial_number)[0]


def downloaded(invited: Invitation, now: datetime) -> IssuedCertificate:
    """What a device holds after it downloaded the profile and ran SCEP with its challenge."""
    invitations.download(invited, now)
    return _issue(InvitationDownload.objects.latest("pk").challenge, now)


def renewed(enrollment: Enrollment, now: datetime) -> IssuedCertificate:
    """What a device holds after its enrollment profile was pushed again with a fresh challenge."""
    invitations.renewal(enrollment, now)
    return _issue(InvitationDownload.objects.latest("pk").challenge, now)


def _issue(challenge: Challenge, now: datetime) -> IssuedCertificate:
    issued = certificate(now)
    Challenge.objects.filter(pk=challenge.pk).update(used_at=now, certificate=issued)
    return issued


def device(udid: str = UDID) -> EnrollmentIdentity:
    return identify({"UDID": udid})


def user(user_id: str, udid: str = UDID, short_name: str = "ann") -> EnrollmentIdentity:
    return identify({"UDID": udid, "UserID": user_id, "UserShortName": short_name, "UserLongName": "Ann Example"})


def shared_ipad_user(short_name: str, udid: str = UDID) -> EnrollmentIdentity:
    return user(SHARED_IPAD_USER_ID, udid, short_name)


def byod(enrollment_id: str = "BYOD-1") -> EnrollmentIdentity:
    return identify({"EnrollmentID": enrollment_id})


def hello(identity: EnrollmentIdentity | None = None, **facts: str) -> Authenticate:
    facts = {"topic": TOPIC, "serial_number": "SERIAL1", "product_name": "iPhone15,2", "os_version": "18.1", **facts}
    return Authenticate(identity=identity or device(), **facts)


def token(
    identity: EnrollmentIdentity | None = None,
    *,
    value: bytes = b"t" * 32,
    magic: str = "magic",
    unlock: bytes | None = None,
    awaiting: bool | None = None,
    topic: str = TOPIC,
) -> TokenUpdate:
    return TokenUpdate(
        identity=identity or device(),
        topic=topic,
        push_magic=magic,
        token=value,
        unlock_token=unlock,
        awaiting_configuration=awaiting,
    )


def enroll(
    now: datetime,
    invited: Invitation | None = None,
    *,
    identity: EnrollmentIdentity | None = None,
    unlock: bytes | None = None,
    **facts: str,
) -> tuple[TokenUpdateResult, IssuedCertificate]:
    """A whole enrollment, and the certificate it is known by."""
    issued = downloaded(invited or invitation(now), now)
    authenticate(hello(identity, **facts), issued, now=now)
    return token_update(token(identity, unlock=unlock), issued, now=now), issued
