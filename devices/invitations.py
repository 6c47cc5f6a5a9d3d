"""Invitations to enroll: made by IT staff, opened by people, counted at the first TokenUpdate.

Opening the link counts nothing, for link previews open it too. Each download gets a challenge of its own, and the
certificate issued for that challenge leads back to the invitation: `origin`. Tokens are stored hashed only.
"""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import F

from certificates import challenges
from certificates.models import IssuedCertificate
from devices.errors import EnrollmentRefused, InvitationRefused
from devices.models import DeviceGroup, Enrollment, EnrollmentState, Invitation, InvitationDownload

_TOKEN_BYTES = 24
_MOST_USES = 100_000
# What a link may leave behind beyond its uses: people download twice within an hour, devices stop half-way in a day.
_MOST_DOWNLOADS = 100
_MOST_PENDING = 20
_PENDING_PERIOD = timedelta(days=1)


def invite(
    *,
    groups: Iterable[DeviceGroup],
    uses: int,
    lifetime: timedelta,
    now: datetime,
    created_by: AbstractBaseUser | None = None,
    serial_number: str = "",
    note: str = "",
) -> tuple[Invitation, str]:
    """Make an invitation; the token of its link is returned this once. Raises InvitationRefused."""
    if not 1 <= uses <= _MOST_USES:
        raise InvitationRefused(f"An invitation is for 1 to {_MOST_USES:,} devices.")
    if len(serial_number) > 64 or len(note) > 255:
        raise InvitationRefused("The serial number (64 characters) or the note (255) is too long.")
    if lifetime <= timedelta(0):
        raise InvitationRefused("An invitation must end in the future.")
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    invitation = Invitation.objects.create(
        token_sha256=_hash(token),
        note=note,
        serial_number=serial_number.strip().upper(),
        uses=uses,
        created_at=now,
        created_by_id=created_by.pk if created_by else None,
        expires_at=now + lifetime,
    )
    # `all` needs no rows: every enrolled device is in it.
    invitation.groups.set(group for group in groups if not group.is_all)
    return invitation, token


def find(token: str, now: datetime) -> Invitation | None:
    """The invitation behind a link's token; None when there is none, or it is over, used up or revoked."""
    return Invitation.objects.usable(now).filter(token_sha256=_hash(token)).first()


def look_up(token: str) -> Invitation | None:
    """The invitation behind a link's token in whatever state, so that a page can say what became of it."""
    return Invitation.objects.filter(token_sha256=_hash(token)).first()


def download(invitation: Invitation, now: datetime) -> str:
    """Note one download of the enrollment profile; the challenge password to put into it. Counts no use.

    Raises InvitationRefused while far more are under way than the invitation has uses.
    """
    open_downloads = invitation.downloads.filter(challenge__used_at=None, challenge__expires_at__gt=now)
    if open_downloads.count() >= _MOST_DOWNLOADS + 2 * invitation.uses:
        raise InvitationRefused("This link was opened too often within an hour.")
    challenge, secret = challenges.mint(now)
    InvitationDownload.objects.create(invitation=invitation, challenge=challenge, downloaded_at=now)
    return secret


def renewal(enrollment: Enrollment, now: datetime) -> str:
    """The challenge password for an enrollment profile that renews this enrollment's own identity."""
    challenge, secret = challenges.mint(now)
    InvitationDownload.objects.create(renews=enrollment, challenge=challenge, downloaded_at=now)
    return secret


def revoke(invitation: Invitation, now: datetime) -> bool:
    """End an invitation, also for devices between Authenticate and TokenUpdate; False when it already was."""
    return Invitation.objects.filter(pk=invitation.pk, revoked_at=None).update(revoked_at=now) == 1


@dataclass(frozen=True, slots=True)
class Origin:
    """Why a certificate exists: an invitation, or the renewal of an enrollment."""

    invitation: Invitation | None
    renews: Enrollment | None


def origin(certificate: IssuedCertificate) -> Origin | None:
    """What the certificate, or the one it renews, was issued for; None when no download of ours led to it."""
    current: IssuedCertificate | None = certificate
    while current is not None:
        downloaded = (
            InvitationDownload.objects.select_related("invitation", "renews")
            .filter(challenge__certificate=current)
            .first()
        )
        if downloaded is not None:
            return Origin(downloaded.invitation, downloaded.renews)
        current = current.replaces
    return None


def admit(invitation: Invitation, serial_number: str | None, *, now: datetime) -> None:
    """Raise EnrollmentRefused unless a device of this serial number may start to enroll now."""
    if invitation.revoked_at is not None:
        raise EnrollmentRefused("the invitation was revoked")
    if invitation.expires_at <= now:
        raise EnrollmentRefused("the invitation is over")
    if invitation.used_count >= invitation.uses:
        raise EnrollmentRefused("the invitation is used up")
    # Somebody with a link may invent devices; none of them counts before its TokenUpdate, so they are counted here.
    began = invitation.enrollments.filter(state=EnrollmentState.PENDING, authenticated_at__gt=now - _PENDING_PERIOD)
    if began.count() >= _MOST_PENDING + invitation.uses - invitation.used_count:
        raise EnrollmentRefused("too many devices began to enroll by this invitation and did not finish")
    if invitation.serial_number and not names(invitation, serial_number):
        raise EnrollmentRefused("the invitation names another serial number")


def names(invitation: Invitation, serial_number: str | None) -> bool:
    """Whether the invitation is for this serial number by name."""
    return bool(invitation.serial_number) and invitation.serial_number == (serial_number or "").strip().upper()


def count_use(enrollment: Enrollment, now: datetime) -> None:
    """Count one use for an enrollment that completes. Raises EnrollmentRefused when none is left or it was revoked.

    An invitation that ended since Authenticate still counts: the device started in time.
    """
    # The condition closes the race of two devices for the last use: one UPDATE matches. It must name the row itself,
    # for what stands in a subquery (a join in a filter) PostgreSQL does not look at again after it waited for a lock.
    left = Invitation.objects.filter(pk=enrollment.invitation_id or 0, revoked_at=None, used_count__lt=F("uses"))
    if left.update(used_count=F("used_count") + 1) != 1:
        raise EnrollmentRefused("the invitation is used up, revoked or gone")
    downloads = InvitationDownload.objects.filter(challenge__certificate__identities__enrollment=enrollment)
    downloads.filter(counted_at=None).update(counted_at=now)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def profile_identifier() -> str:
    """The enrollment profile's PayloadIdentifier: the portal's host, reversed. No other profile may have it."""
    host = urlsplit(settings.PORTAL_URL).hostname or "localhost"
    labels = [host] if ":" in host or host.replace(".", "").isdigit() else reversed(host.split("."))
    return f"{'.'.join(labels)}.mdm.enrollment".replace(":", "-")
