"""How devices enroll and leave: what check-in messages mean for our tables (mdm-protocol 1.3 to 1.7, 1.12).

A new certificate opens a pending enrollment; the device's former one keeps its token, queue and escrow until the
new TokenUpdate, for an Authenticate alone proves nothing. The endpoint has verified the signature and passes the
certificate as we issued it. Each function is one transaction: a refusal changes nothing.
"""

import logging
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from certificates.models import IssuedCertificate, PushCertificate
from devices import escrow, groups, identities, invitations, unenrollment
from devices.errors import EnrollmentRefused
from devices.hardware import keep_facts
from devices.identities import OPEN_STATES
from devices.models import Command, Device, Enrollment, EnrollmentState, EscrowedSecret, Identity, Invitation, PushState
from devices.push import push_soon
from protocol.checkin import Authenticate, CheckOut, GetBootstrapToken, SetBootstrapToken, TokenUpdate
from protocol.identity import EnrollmentIdentity, EnrollmentKind

__all__ = [
    "EnrollmentRefused",
    "TokenUpdateResult",
    "authenticate",
    "check_out",
    "get_bootstrap_token",
    "set_bootstrap_token",
    "token_update",
]

log = logging.getLogger(__name__)

_DEVICE_KIND = {
    EnrollmentKind.USER: EnrollmentKind.DEVICE,
    EnrollmentKind.SHARED_IPAD_USER: EnrollmentKind.DEVICE,
    EnrollmentKind.USER_ENROLLMENT_USER: EnrollmentKind.USER_ENROLLMENT,
}
# A Shared iPad that goes from hand to hand for years.
MOST_USERS = 1000
# What SecurityInfo and DeviceInformation told of the former enrollment says nothing about the new one.
_FORGOTTEN: dict[str, None] = {
    "is_supervised": None,
    "passcode_present": None,
    "passcode_compliant": None,
    "passcode_compliant_with_profiles": None,
}


@dataclass(frozen=True, slots=True)
class TokenUpdateResult:
    """What a TokenUpdate did: `replaced` are the primary keys of the channels it archived, user channels included."""

    enrollment: Enrollment
    newly_enrolled: bool
    replaced: tuple[int, ...]


@transaction.atomic
def authenticate(message: Authenticate, certificate: IssuedCertificate, *, now: datetime) -> Enrollment:
    """Open a pending enrollment, or find the one this certificate belongs to already. Raises EnrollmentRefused.

    A certificate that is bound already is a retry and changes nothing; one that renews a bound one, or was issued
    to renew an enrollment, is bound to that enrollment, which goes on as it is.
    """
    if message.identity.kind.is_user_channel:
        raise EnrollmentRefused("Authenticate came on a user channel")
    _check(certificate, message.topic)
    # The lock closes the race of two Authenticates with one certificate.
    IssuedCertificate.objects.select_for_update().get(pk=certificate.pk)
    bound = _bound(certificate, message.identity, now=now)
    if bound is not None:
        if bound.enrollment.state not in OPEN_STATES:
            raise EnrollmentRefused("the enrollment of this certificate has ended")
        return bound.enrollment
    renewed = _renewed(certificate, message.identity, now=now)
    if renewed is not None:
        return renewed
    origin = invitations.origin(certificate)
    if origin is None or origin.invitation is None:
        raise EnrollmentRefused("the certificate was issued for no invitation")
    invitations.admit(origin.invitation, message.serial_number, now=now)
    device = _device(message, origin.invitation, now=now)
    enrollment = Enrollment.objects.create(
        device=device,
        invitation=origin.invitation,
        kind=message.identity.kind.value,
        enrollment_id=message.identity.enrollment_id,
        topic=message.topic,
        authenticated_at=now,
    )
    identities.bind(certificate, enrollment, now=now)
    unenrollment.refresh_state(device, "")
    log.info("enrollment %s authenticated, pending", enrollment.enrollment_id)
    return enrollment


@transaction.atomic
def token_update(message: TokenUpdate, certificate: IssuedCertificate, *, now: datetime) -> TokenUpdateResult:
    """Store what pushes need, per channel; the first on a device channel completes its enrollment.

    Completing counts the invitation's use, archives the device's former enrollment and suspends its memberships.
    Raises EnrollmentRefused, also for a certificate that never sent Authenticate.
    """
    _check(certificate, message.topic)
    channel = _speaker(message.identity, certificate, now=now)
    if message.identity.kind.is_user_channel:
        return _user_token_update(message, channel, now=now)
    newly_enrolled = channel.state == EnrollmentState.PENDING
    replaced = _complete(channel, now) if newly_enrolled else ()
    _store_token(channel, message, now=now)
    if message.unlock_token:
        escrow.keep(channel, EscrowedSecret.Kind.UNLOCK_TOKEN, value=message.unlock_token, now=now)
    return TokenUpdateResult(channel, newly_enrolled, replaced)


@transaction.atomic
def check_out(message: CheckOut, certificate: IssuedCertificate, *, now: datetime) -> Enrollment | None:
    """End the channel that says farewell, and its user channels; None when a user channel was not known.

    A farewell from an enrollment that ended before is no news. Raises EnrollmentRefused.
    """
    identity = _bound(certificate, message.identity, now=now)
    if identity is None:
        raise EnrollmentRefused("the certificate belongs to no enrollment")
    channel = _locked(identity.enrollment)
    leaving: Enrollment | None = channel
    if message.identity.kind.is_user_channel:
        leaving = channel.user_channels.filter(
            enrollment_id=message.identity.enrollment_id, state__in=OPEN_STATES
        ).first()
    if leaving is None or leaving.state not in OPEN_STATES:
        return leaving
    unenrollment.end(leaving, EnrollmentState.CHECKED_OUT, now=now, reason="the device left (CheckOut)")
    unenrollment.refresh_state(channel.device, "The device left: its enrollment profile was removed.")
    leaving.refresh_from_db()
    log.info("enrollment %s checked out", leaving.enrollment_id)
    return leaving


def set_bootstrap_token(message: SetBootstrapToken, certificate: IssuedCertificate, *, now: datetime) -> None:
    """Keep a Mac's bootstrap token, or forget it when it sends none. Raises EnrollmentRefused."""
    with transaction.atomic():
        channel = _speaker(message.identity, certificate, now=now)
        if message.bootstrap_token:
            escrow.keep(channel, EscrowedSecret.Kind.BOOTSTRAP_TOKEN, value=message.bootstrap_token, now=now)
        else:
            escrow.withdraw(channel, EscrowedSecret.Kind.BOOTSTRAP_TOKEN, now=now)


def get_bootstrap_token(message: GetBootstrapToken, certificate: IssuedCertificate, *, now: datetime) -> bytes | None:
    """The bootstrap token this very enrollment entrusted to us, or None. Raises EnrollmentRefused."""
    with transaction.atomic():
        channel = _speaker(message.identity, certificate, now=now)
        return escrow.latest(channel, EscrowedSecret.Kind.BOOTSTRAP_TOKEN)


def _check(certificate: IssuedCertificate, topic: str) -> None:
    if certificate.revoked_at is not None or certificate.purpose != IssuedCertificate.Purpose.IDENTITY:
        raise EnrollmentRefused("the certificate is revoked or no device identity")
    if not PushCertificate.objects.filter(topic=topic).exists():
        raise EnrollmentRefused("the topic is not one of our push certificates'")


def _bound(certificate: IssuedCertificate, identity: EnrollmentIdentity, *, now: datetime) -> Identity | None:
    """The certificate's binding, checked against who the message says it is."""
    bound = identities.of(certificate) or identities.follow_renewal(certificate, now)
    if bound is None:
        return None
    _match(bound.enrollment, identity)
    return bound


def _match(enrollment: Enrollment, identity: EnrollmentIdentity) -> None:
    """The kind counts too: an EnrollmentID may look like somebody's UDID."""
    kind = _DEVICE_KIND.get(identity.kind, identity.kind)
    if enrollment.enrollment_id != identity.device_id or enrollment.kind != kind.value:
        raise EnrollmentRefused("the certificate belongs to another device")


def _locked(channel: Enrollment) -> Enrollment:
    """The channel as it is once nobody else changes its device's enrollments.

    Everywhere enrollments are locked before devices, and in order, so that nobody waits in a circle.
    """
    family = Enrollment.objects.select_for_update(no_key=True).filter(device=channel.device_id).order_by("pk")
    list(family.values_list("pk"))
    return Enrollment.objects.select_related("device", "invitation").get(pk=channel.pk)


def _speaker(identity: EnrollmentIdentity, certificate: IssuedCertificate, *, now: datetime) -> Enrollment:
    """The open device channel that this certificate may speak for, locked."""
    bound = _bound(certificate, identity, now=now)
    if bound is None:
        raise EnrollmentRefused("the certificate belongs to no enrollment: there was no Authenticate")
    channel = _locked(bound.enrollment)
    if channel.state not in OPEN_STATES:
        raise EnrollmentRefused("the enrollment of this certificate has ended")
    return channel


def _renewed(certificate: IssuedCertificate, identity: EnrollmentIdentity, *, now: datetime) -> Enrollment | None:
    """The enrollment that goes on with this certificate; None when it opens one of its own."""
    former = identities.predecessor(certificate)
    origin = None if former else invitations.origin(certificate)
    enrollment = former.enrollment if former else (origin.renews if origin else None)
    if enrollment is None:
        return None
    _match(enrollment, identity)
    if enrollment.state not in OPEN_STATES:
        raise EnrollmentRefused("the enrollment that this certificate renews has ended")
    identities.bind(certificate, enrollment, now=now)
    log.info("enrollment %s renewed its identity", enrollment.enrollment_id)
    return enrollment


def _device(message: Authenticate, invitation: Invitation, *, now: datetime) -> Device:
    """The device that the message names, made when it is new; an enrolled one is not touched by a mere claim."""
    device = _known_device(message.identity) or _new_device(message.identity, now)
    if invitation.serial_number and device.serial_number and not invitations.names(invitation, device.serial_number):
        raise EnrollmentRefused("the invitation names another serial number than this device has")
    if device.state != Device.State.ENROLLED:
        device.save(update_fields=keep_facts(device, _facts(message)))
    return device


def _known_device(identity: EnrollmentIdentity) -> Device | None:
    devices = Device.objects.select_for_update(no_key=True)
    if identity.udid is not None:
        return devices.filter(udid=identity.udid).first()
    # User Enrollment hides the hardware: the same EnrollmentID is all that tells the same device.
    earlier = Enrollment.objects.filter(enrollment_id=identity.enrollment_id, kind=identity.kind.value).last()
    return devices.get(pk=earlier.device_id) if earlier else None


def _new_device(identity: EnrollmentIdentity, now: datetime) -> Device:
    if identity.udid is None:
        return Device.objects.create(created_at=now)
    # The unique UDID closes the race of two first Authenticates.
    return Device.objects.get_or_create(udid=identity.udid, defaults={"created_at": now})[0]


def _facts(message: Authenticate) -> dict[str, str | None]:
    return {
        "DeviceName": message.device_name,
        "Model": message.model,
        "ModelName": message.model_name,
        "ProductName": message.product_name,
        "OSVersion": message.os_version,
        "BuildVersion": message.build_version,
        "SerialNumber": message.serial_number,
        "IMEI": message.imei,
        "MEID": message.meid,
    }


def _complete(channel: Enrollment, now: datetime) -> tuple[int, ...]:
    """Make a pending enrollment the device's own; the primary keys of the channels that this archived."""
    same_id = Enrollment.objects.filter(enrollment_id=channel.enrollment_id, parent=None).exclude(pk=channel.pk)
    if same_id.enrolled().exclude(device=channel.device_id).exists():
        raise EnrollmentRefused("another kind of enrollment has this identifier")
    invitations.count_use(channel, now)
    earlier = Q(state=EnrollmentState.ENROLLED) | Q(
        state=EnrollmentState.PENDING, authenticated_at__lte=channel.authenticated_at
    )
    replaced: list[int] = []
    for former in same_id.filter(earlier, device=channel.device_id):
        replaced += unenrollment.end(former, EnrollmentState.ARCHIVED, now=now, reason="the device enrolled again")
    _settle_memberships(channel, now)
    channel.state = EnrollmentState.ENROLLED
    channel.enrolled_at = now
    channel.save(update_fields=["state", "enrolled_at"])
    Device.objects.filter(pk=channel.device_id).update(state=Device.State.ENROLLED, state_reason="", **_FORGOTTEN)
    identities.refresh_expiry(channel)
    log.info("enrollment %s enrolled, %d channels replaced", channel.enrollment_id, len(replaced))
    return tuple(replaced)


def _settle_memberships(channel: Enrollment, now: datetime) -> None:
    """A device that comes back waits for a human, unless its invitation names it; then it joins what is offered."""
    groups.ensure_all_group(now)
    device, invitation = channel.device, channel.invitation
    before = Enrollment.objects.filter(device=device, parent=None).exclude(enrolled_at=None).exclude(pk=channel.pk)
    if invitation is not None and invitations.names(invitation, device.serial_number):
        groups.confirm_memberships([device])
    elif before.exists():
        groups.suspend_memberships(device, now)
    if invitation is not None:
        groups.join(device, invitation.groups.all(), now=now)


def _user_token_update(message: TokenUpdate, channel: Enrollment, *, now: datetime) -> TokenUpdateResult:
    """A user channel never sends Authenticate: it lives below its device channel, with a token and magic of its own."""
    if channel.state != EnrollmentState.ENROLLED:
        raise EnrollmentRefused("the device channel is not enrolled yet")
    identity = message.identity
    user = Enrollment.objects.enrolled().filter(parent=channel, enrollment_id=identity.enrollment_id).first()
    newly_enrolled = user is None
    if user is None:
        if channel.user_channels.filter(state__in=OPEN_STATES).count() >= MOST_USERS:
            raise EnrollmentRefused("the device has more users than any honest one")
        user = Enrollment(
            device=channel.device,
            parent=channel,
            kind=identity.kind.value,
            enrollment_id=identity.enrollment_id,
            state=EnrollmentState.ENROLLED,
            authenticated_at=now,
            enrolled_at=now,
        )
    user.user_short_name = identity.user_short_name or user.user_short_name
    user.user_long_name = identity.user_long_name or user.user_long_name
    user.save()
    _store_token(user, message, now=now)
    return TokenUpdateResult(user, newly_enrolled, ())


def _store_token(enrollment: Enrollment, message: TokenUpdate, *, now: datetime) -> None:
    """Keep what a push needs. An absent AwaitingConfiguration keeps what was said before."""
    enrollment.topic = message.topic
    enrollment.push_magic = message.push_magic
    enrollment.token = message.token
    enrollment.token_updated_at = now
    enrollment.push_state = PushState.OK
    enrollment.push_reason = ""
    enrollment.push_attempts = 0
    if message.awaiting_configuration is not None:
        enrollment.awaiting_configuration = message.awaiting_configuration
    enrollment.save(
        update_fields=[
            "topic", "push_magic", "token", "token_updated_at", "push_state", "push_reason", "push_attempts",
            "awaiting_configuration",
        ]
    )  # fmt: skip
    if Command.objects.open().filter(enrollment=enrollment).exists():
        # What waited for a token that works goes out at once.
        push_soon([enrollment.pk], now)
