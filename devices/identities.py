"""Which certificates may speak for which enrollment (architecture 4; mdm-protocol 3.3).

A certificate is bound at Authenticate, or when it renews one that is bound: macOS renews its SCEP identity without
any check-in message. Checking signatures is the endpoint's work.
"""

import logging
from datetime import datetime

from django.db import transaction
from django.db.models import Max

from certificates.models import IssuedCertificate
from devices.models import Device, Enrollment, EnrollmentState, Identity

log = logging.getLogger(__name__)

OPEN_STATES = (EnrollmentState.PENDING, EnrollmentState.ENROLLED)


def find(sha256: bytes) -> Identity | None:
    """The identity with this SHA-256 of its DER, with its enrollment; None when it is bound to nothing."""
    return Identity.objects.select_related("enrollment", "certificate").filter(sha256=sha256).first()


def of(certificate: IssuedCertificate) -> Identity | None:
    """The identity of a certificate we issued; None when it is bound to nothing."""
    return find(bytes(certificate.sha256))


def predecessor(certificate: IssuedCertificate) -> Identity | None:
    """The newest bound identity among the certificates that `certificate` replaces, directly or in a chain."""
    replaced = certificate.replaces
    while replaced is not None:
        identity = of(replaced)
        if identity is not None:
            return identity
        replaced = replaced.replaces
    return None


def bind(certificate: IssuedCertificate, enrollment: Enrollment, *, now: datetime) -> Identity:
    """Let `certificate` speak for `enrollment`; the same again is the same row.

    The unique fingerprint closes the race of two requests: the second gets the first's row, whichever enrollment it
    names, so the caller must look at it.
    """
    identity, _ = Identity.objects.get_or_create(
        sha256=bytes(certificate.sha256),
        defaults={
            "enrollment": enrollment,
            "certificate": certificate,
            "not_after": certificate.not_after,
            "bound_at": now,
        },
    )
    refresh_expiry(enrollment)
    return identity


def follow_renewal(issued: IssuedCertificate, now: datetime) -> Identity | None:
    """Bind a certificate from a SCEP RenewalReq to the enrollment of the one it replaces.

    None when that one was never bound (the device renewed before Authenticate, which will bind it) or its enrollment
    has ended.
    """
    existing = of(issued)
    if existing is not None:
        return existing
    former = predecessor(issued)
    if former is None or former.enrollment.state not in OPEN_STATES:
        return None
    log.info("enrollment %s renewed its identity", former.enrollment_id)
    return bind(issued, former.enrollment, now=now)


@transaction.atomic
def revoke(certificate: IssuedCertificate, now: datetime) -> int:
    """Revoke a certificate and all that renewed it, and let none of them speak for a device; how many there were.

    Those too, for whoever held the key could have renewed it. The queue asks for identities only, so the rows go;
    the certificates stay as history. The device comes back with a new invitation.
    """
    family, added = {certificate.pk}, {certificate.pk}
    while added:
        renewed = IssuedCertificate.objects.filter(replaces__in=added)
        added = set(renewed.values_list("pk", flat=True)) - family
        family |= added
    cut = Enrollment.objects.filter(identities__certificate__in=family).distinct()
    enrollments = list(cut)
    Identity.objects.filter(certificate__in=family).delete()
    revoked = IssuedCertificate.objects.filter(pk__in=family, revoked_at=None).update(revoked_at=now)
    for enrollment in enrollments:
        refresh_expiry(enrollment)
        log.warning("enrollment %d lost %d identities: revoked", enrollment.pk, revoked)
    return revoked


def refresh_expiry(enrollment: Enrollment) -> None:
    """Show on the device when the newest identity of its enrollment ends; a pending enrollment shows nothing."""
    if enrollment.state != EnrollmentState.ENROLLED or enrollment.parent_id is not None:
        return
    newest = Identity.objects.filter(enrollment=enrollment).aggregate(newest=Max("not_after"))["newest"]
    Device.objects.filter(pk=enrollment.device_id).update(identity_expires_at=newest)
