"""The door through which every human act is recorded: append-only, chained by hash."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import connection, models, transaction

from operations.models import AuditEvent

Actor = AbstractBaseUser | AnonymousUser | None
GENESIS = "0" * 64
# Any number will do, so long as it is this one everywhere: the chain has one writer at a time.
CHAIN_LOCK = 4_710_815


def record(
    actor: Actor,
    action: str,
    *,
    subject: models.Model | None,
    now: datetime,
    reason: str = "",
    details: Mapping[str, Any] | None = None,
    label: str = "",
) -> AuditEvent:
    """Append one event; `actor` None is the command line, by whoever may log in to the server.

    `details` must be JSON and free of secrets: it is shown and exported as it is.
    """
    event = _event(actor, action, subject=subject, now=now, reason=reason, label=label)
    event.details = dict(details or {})
    _append([event])
    return event


def record_each(
    actor: Actor, action: str, *, subjects: Iterable[models.Model], now: datetime, reason: str = ""
) -> list[AuditEvent]:
    """Append one event for each subject of the same act, with one lock; an INSERT holds up to 500."""
    events = [_event(actor, action, subject=subject, now=now, reason=reason) for subject in subjects]
    if events:
        _append(events)
    return events


def _event(
    actor: Actor, action: str, *, subject: models.Model | None, now: datetime, reason: str, label: str = ""
) -> AuditEvent:
    user = actor if isinstance(actor, AbstractBaseUser) else None
    return AuditEvent(
        at=now,
        actor_id=user.pk if user else None,
        actor_name=user.get_username() if user else "command line",
        action=action,
        object_kind=subject._meta.label if subject else "",  # noqa: SLF001 (Django's public Meta API)
        object_id=str(subject.pk) if subject else "",
        object_label=(label or str(subject or ""))[:255],
        reason=reason,
    )


def _append(events: list[AuditEvent]) -> None:
    """Chain the events behind the last one; their order is the order of their keys."""
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [CHAIN_LOCK])
        previous = AuditEvent.objects.order_by("-pk").values_list("hash", flat=True).first() or GENESIS
        for event in events:
            event.previous_hash = previous
            event.hash = previous = event.computed_hash()
        AuditEvent.objects.bulk_create(events, batch_size=500)


def first_broken() -> AuditEvent | None:
    """The first event whose hash does not follow from the one before it; None when the chain is whole."""
    previous = GENESIS
    for event in AuditEvent.objects.order_by("pk").iterator(chunk_size=1000):
        if event.previous_hash != previous or event.computed_hash() != event.hash:
            return event
        previous = event.hash
    return None
