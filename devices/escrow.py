"""Secrets that devices entrust to us: unlock and bootstrap tokens, PINs, recovery keys.

Every different value is a version of its own; nothing is cleared by absence, nothing is handed to another
enrollment. Revealing one to a human is the admin's work, with an audit entry.
"""

from datetime import datetime

from django.db import transaction

from devices.models import Enrollment, EscrowedSecret

# Devices change these a few times in their life.
MOST_VERSIONS = 100


def keep(enrollment: Enrollment, kind: EscrowedSecret.Kind, *, value: bytes, now: datetime) -> EscrowedSecret:
    """Store a secret as the newest version; the same value again is the same version. `value` is never empty."""
    if not value:
        raise ValueError("an empty secret would hide the one that is stored")
    with transaction.atomic():
        # The lock closes the race of two messages for one version number.
        Enrollment.objects.select_for_update(no_key=True).get(pk=enrollment.pk)
        last = enrollment.secrets.filter(kind=kind).order_by("-version").first()
        if last is not None and bytes(last.value) == value:
            return last
        if last is not None and last.version >= MOST_VERSIONS:
            # Every earlier one stays: whoever holds the device's key must not push the good ones out with rubbish.
            last.value, last.stored_at, last.withdrawn_at = value, now, None
            last.save(update_fields=["value", "stored_at", "withdrawn_at"])
            return last
        version = last.version + 1 if last else 1
        return EscrowedSecret.objects.create(
            enrollment=enrollment, kind=kind, version=version, value=value, stored_at=now
        )


def latest(enrollment: Enrollment, kind: EscrowedSecret.Kind) -> bytes | None:
    """The newest secret of a kind; None when there is none or the device withdrew it."""
    last = enrollment.secrets.filter(kind=kind).order_by("-version").first()
    return None if last is None or last.withdrawn_at is not None else bytes(last.value)


def withdraw(enrollment: Enrollment, kind: EscrowedSecret.Kind, *, now: datetime) -> int:
    """Forget a secret because its device asks us to: values are overwritten, rows stay for the audit."""
    return enrollment.secrets.filter(kind=kind, withdrawn_at=None).update(value=b"", withdrawn_at=now)
