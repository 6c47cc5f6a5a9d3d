"""Reports that an identity of ours sent and that we cannot read or match: kept raw, shown in the admin.

Also the parking place of reports too large for a request, until the worker reads them.
"""

from datetime import datetime

from devices.models import Enrollment, UnmatchedReport
from endpoint.errors import Busy
from endpoint.exchange import shown

KEPT_PER_ENROLLMENT = 50
# An honest device has one large answer under way; what a hostile one can make us store must have an end.
PARKED_PER_ENROLLMENT = 3
# Of a large report that turned out to be none, this much is evidence enough.
EVIDENCE_BYTES = 256 * 1024
# The reason of a row that waits for the worker; it is work to be done, not evidence to be kept.
WAITING = "large: waits for the worker"


def keep(
    enrollment_pk: int | None, *, reason: str, raw: bytes, now: datetime, command_uuid: str | None = None
) -> UnmatchedReport:
    """Keep one report, encrypted; of one enrollment the newest 50 stay."""
    kept = UnmatchedReport.objects.create(
        received_at=now,
        enrollment_id=enrollment_pk,
        reason=reason[:255],
        command_uuid=_printable(command_uuid or ""),
        raw=raw,
    )
    _forget_the_oldest(enrollment_pk)
    return kept


def _forget_the_oldest(enrollment_pk: int | None) -> None:
    rows = UnmatchedReport.objects.filter(enrollment=enrollment_pk).exclude(reason=WAITING).order_by("-pk")
    # A subquery with OFFSET cannot be deleted from in every database; one cut-off key can.
    oldest = rows.values_list("pk", flat=True)[KEPT_PER_ENROLLMENT - 1 : KEPT_PER_ENROLLMENT].first()
    if oldest is not None:
        rows.filter(pk__lt=oldest).delete()


def park(enrollment: Enrollment, *, raw: bytes, now: datetime) -> UnmatchedReport:
    """Store a large report unread; `endpoint.tasks.read_large_report` takes it from there.

    Raises Busy while too many of this device wait: it comes again.
    """
    if UnmatchedReport.objects.filter(enrollment=enrollment, reason=WAITING).count() >= PARKED_PER_ENROLLMENT:
        raise Busy(f"enrollment {enrollment.pk} has {PARKED_PER_ENROLLMENT} large reports waiting")
    return UnmatchedReport.objects.create(received_at=now, enrollment=enrollment, reason=WAITING, raw=raw)


def give_up(kept: UnmatchedReport, reason: str) -> None:
    """A parked report that means nothing becomes evidence, cut to its beginning."""
    kept.reason, kept.raw = reason[:255], bytes(kept.raw)[:EVIDENCE_BYTES]
    kept.save(update_fields=["reason", "raw"])
    _forget_the_oldest(kept.enrollment_id)


def _printable(text: str) -> str:
    """PostgreSQL stores neither NUL nor half a surrogate pair."""
    return text[:255] if text.isprintable() and text.isascii() else shown(text, 200)[:255]
