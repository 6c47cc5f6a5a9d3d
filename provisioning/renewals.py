"""Renewals as jobs and people see them: what is due, one step after another, and what somebody decides about them.

The scan is a fixed number of statements. `advance` may be called by any number of workers, as often as they like: the
claim in `provisioning.transitions` lets one of them take each step. What people do leaves an audit event.
"""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any, Final

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import (
    Case,
    CharField,
    DateTimeField,
    Exists,
    F,
    IntegerField,
    JSONField,
    OuterRef,
    Q,
    QuerySet,
    Value,
    When,
)

from operations import audit
from operations.audit import Actor
from protocol.mobileprovision import ProvisioningProfile as ProfileFile
from provisioning import alerts, lineages, rollout, steps, timing, transitions
from provisioning.appstoreconnect import Client
from provisioning.context import Context
from provisioning.errors import ProvisioningRefused
from provisioning.models import (
    FINAL_STATES,
    ROLLING_STATES,
    ApiKey,
    AppBundle,
    Lineage,
    Policy,
    Renewal,
    RenewalEvent,
    RenewalState,
    Source,
)
from provisioning.rehearsal import DryRun, dry_run

__all__ = [
    "DryRun", "advance", "approve", "cancel", "dry_run", "due", "pause", "resume", "retry", "scan", "start", "upload",
]  # fmt: skip

# More than any run has steps without a wait between them.
_MOST_STEPS: Final = 30
_STOPPED: Final = (RenewalState.REJECTED, RenewalState.CANCELLED)
_BEFORE_A_FILE: Final = {RenewalState.DUE, RenewalState.PLANNED, RenewalState.CREATING, RenewalState.BLOCKED}


# --- what is due -----------------------------------------------------------------------------------------------------------


def scan(now: datetime) -> list[int]:
    """Begin the renewals that are due, and those of the same apps; their keys. Four statements, however many.

    What somebody cancelled, or a new profile that was refused, is not tried again by itself.
    """
    with transaction.atomic():
        made = _insert(_to_begin(now), now)
        _insert_events(now)
    return made


def _to_begin(now: datetime) -> QuerySet[Lineage]:
    soon = now + timing.from_settings().lead
    stopped = Renewal.objects.filter(lineage=OuterRef("pk"), old_profile=OuterRef("current"), state__in=_STOPPED)
    running = Renewal.objects.open().filter(lineage=OuterRef("pk"))
    idle = Lineage.objects.active().exclude(current=None).exclude(Exists(stopped)).exclude(Exists(running))
    due = Lineage.objects.due(now).exclude(current=None)
    return idle.filter(Q(renew_at__lte=now) | (Q(renew_at__lte=soon) & ~Q(policy=Policy.MANUAL) & _beside(due)))


def _beside(lineages_begun: "QuerySet[Lineage]") -> Exists:
    """Whose profile lies in one app with those of these lineages: each bundle of an app launches by its own."""
    others = AppBundle.objects.filter(lineage__in=lineages_begun.values("pk")).values("version")
    mine = AppBundle.objects.filter(lineage=OuterRef("pk"), profile=OuterRef("current"), version__in=others)
    return Exists(mine)


def _insert(found: QuerySet[Lineage], now: datetime) -> list[int]:
    """INSERT … SELECT: bulk_create would need a statement for every forty-five rows on SQLite."""
    auto = Case(
        When(policy=Policy.AUTO, then=Value(RenewalState.PLANNED.value)),
        default=Value(RenewalState.DUE.value),
        output_field=CharField(),
    )
    columns = {
        "lineage_id": F("pk"), "state": auto, "old_profile_id": F("current_id"), "started_at": _moment(now),
        "next_at": _moment(now), "findings": Value([], JSONField()),
        **{name: Value("", CharField()) for name in ("planned_name", "apple_id", "blocked_state", "error_kind", "error")},
        **{name: Value(0, IntegerField()) for name in ("empty_looks", "attempts", "wave")},
    }  # fmt: skip
    # The partial unique index closes the race of two scans.
    return [int(pk) for (pk,) in _insert_from(Renewal, found, columns, end="ON CONFLICT DO NOTHING RETURNING id")]


def _insert_events(now: datetime) -> None:
    told = Renewal.objects.filter(started_at=now, events=None)
    columns = {
        "renewal_id": F("pk"), "at": _moment(now), "state": F("state"), "details": Value({}, JSONField()),
        "sentence": Value("The renewal is due", CharField()),
    }  # fmt: skip
    _insert_from(RenewalEvent, told, columns)


def _moment(now: datetime) -> Value:
    return Value(now, DateTimeField())


def _insert_from(
    model: type[Renewal] | type[RenewalEvent], rows: "QuerySet[Any]", columns: dict[str, Any], *, end: str = ""
) -> list[tuple[Any, ...]]:
    """Rows of `model` out of a query; `columns` are expressions by column name."""
    named = {f"new_{name}": expression for name, expression in columns.items()}
    query = rows.order_by().annotate(**named).values_list(*named)
    select, params = query.query.sql_with_params()
    quote = connection.ops.quote_name
    table, names = quote(model._meta.db_table), ", ".join(quote(name) for name in columns)  # noqa: SLF001 (public API)
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({names}) {select} {end}", params)
        return list(cursor.fetchall()) if end else []


def due(now: datetime) -> list[int]:
    """The renewals that have a step to take, the longest waiting first; those of retired lineages rest."""
    waiting = Renewal.objects.due(now).filter(paused_at=None, lineage__retired_at=None).order_by("next_at", "pk")
    return list(waiting.values_list("pk", flat=True))


def advance(renewal_pk: int, now: datetime, *, client_for: Callable[[ApiKey], Client]) -> None:
    """Take as many steps of one renewal as are due; nothing while another worker has it, or while it is paused."""
    pace = timing.from_settings()
    context = Context(now, pace, client_for)
    for _ in range(_MOST_STEPS):
        renewal = transitions.claim(renewal_pk, now, lease=pace.lease)
        if renewal is None:
            return
        steps.take(renewal, context)


# --- what people decide ------------------------------------------------------------------------------------------------------


@transaction.atomic
def start(lineage: Lineage, *, by: Actor, now: datetime, reason: str = "") -> Renewal:
    """Renew now, and with it what lies in the same apps. Raises ProvisioningRefused.

    A lineage whose files are uploaded gets a renewal that waits for one.
    """
    # The lock closes the race of two people, and of a person and the scan.
    lineage = Lineage.objects.select_for_update(of=("self",), no_key=True).get(pk=lineage.pk)
    if lineage.retired_at is not None:
        raise ProvisioningRefused(f"{lineage} is retired.")
    if lineage.renewals.open().exists():
        raise ProvisioningRefused(f"{lineage} is being renewed already.")
    renewal = _begin(lineage, by=by, now=now)
    pace = timing.from_settings()
    siblings = Lineage.objects.active().filter(
        _beside(Lineage.objects.filter(pk=lineage.pk)), renew_at__lte=now + pace.lead
    )
    running = Renewal.objects.open().filter(lineage=OuterRef("pk"))
    for sibling in siblings.exclude(pk=lineage.pk).exclude(policy=Policy.MANUAL).exclude(Exists(running)):
        _begin(sibling, by=by, now=now)
    audit.record(by, "renewal.start", subject=renewal, now=now, reason=reason, label=str(lineage))
    return renewal


def _begin(lineage: Lineage, *, by: Actor, now: datetime) -> Renewal:
    if lineage.current is None:
        raise ProvisioningRefused(f"{lineage} has no profile that could be renewed: upload its first one.")
    is_manual = lineage.policy == Policy.MANUAL
    user = by if isinstance(by, User) else None
    renewal = Renewal.objects.create(
        lineage=lineage,
        old_profile=lineage.current,
        state=RenewalState.DUE if is_manual else RenewalState.PLANNED,
        started_at=now,
        started_by=user,
        approved_by=None if is_manual else user,
        approved_at=None if is_manual else now,
        next_at=now,
    )
    transitions.tell(renewal, "Somebody asked for the renewal", now=now)
    return renewal


def approve(renewal: Renewal, *, by: Actor, now: datetime, reason: str = "") -> None:
    """Let a proposed renewal go on. Raises ProvisioningRefused."""
    user = by if isinstance(by, User) else None
    with transaction.atomic():
        row = _locked(renewal, {RenewalState.DUE}, "It does not wait for approval.")
        _decide(
            row, "Somebody approved it", by=by, now=now, action="renewal.approve", reason=reason,
            state=RenewalState.PLANNED, next_at=now, approved_by=user, approved_at=now,
        )  # fmt: skip


def cancel(renewal: Renewal, *, by: Actor, now: datetime, reason: str = "") -> None:
    """End a renewal; devices keep what they have, and nobody else gets the new profile. Raises ProvisioningRefused."""
    with transaction.atomic():
        row = _locked(renewal, set(RenewalState) - set(FINAL_STATES), "It has ended already.")
        was_rolling, old = row.state in ROLLING_STATES, row.old_profile
        _decide(
            row, "Somebody cancelled it", by=by, now=now, action="renewal.cancel", reason=reason,
            state=RenewalState.CANCELLED, next_at=None, finished_at=now, paused_at=None,
        )  # fmt: skip
        if was_rolling and row.lineage.current_id == row.new_profile_id and old.effective_end > now:
            lineages.set_current(row.lineage, old)
        if was_rolling:
            rollout.replan(row)


def retry(renewal: Renewal, *, by: Actor, now: datetime, reason: str = "") -> None:
    """Try again what was stopped for somebody, or waits for its next try. Raises ProvisioningRefused."""
    with transaction.atomic():
        row = _locked(
            renewal, {RenewalState.BLOCKED, RenewalState.PLANNED, RenewalState.CREATING}, "Nothing stopped it."
        )
        state = row.blocked_state or row.state
        _decide(
            row, "Somebody asked for another try", by=by, now=now, action="renewal.retry", reason=reason,
            state=state, next_at=now, attempts=0, blocked_state="", error="",
        )  # fmt: skip


def pause(renewal: Renewal, *, by: Actor, now: datetime, reason: str = "") -> None:
    """Stop a roll-out: what was not handed out is taken back. Raises ProvisioningRefused."""
    with transaction.atomic():
        row = _locked(renewal, {RenewalState.CANARY, RenewalState.ROLLING_OUT}, "Only a roll-out can be paused.")
        if row.paused_at is not None:
            raise ProvisioningRefused("It is paused already.")
        sentence = "Somebody paused it"
        _decide(
            row, sentence, by=by, now=now, action="renewal.pause", reason=reason, paused_at=now, next_at=None,
            error=sentence,
        )  # fmt: skip
        rollout.replan(row)


def resume(renewal: Renewal, *, by: Actor, now: datetime, reason: str = "") -> None:
    """Go on with a paused roll-out, in spite of the refusals there are. Raises ProvisioningRefused."""
    with transaction.atomic():
        row = _locked(renewal, set(ROLLING_STATES), "It is not paused.")
        if row.paused_at is None:
            raise ProvisioningRefused("It is not paused.")
        accepted = {"accepted_failures": rollout.progress(row).failed}
        _decide(
            row, "Somebody resumed it", by=by, now=now, action="renewal.resume", reason=reason, details=accepted,
            paused_at=None, next_at=now, error="",
        )  # fmt: skip
        rollout.replan(row)
        rollout.open_wave(row, now)


@transaction.atomic
def upload(
    file: ProfileFile, *, by: Actor, now: datetime, source: Source = Source.UPLOAD, reason: str = ""
) -> Renewal | None:
    """Take a new profile in and renew its lineage with it: the waiting renewal, or a new one.

    None when nothing is to be renewed: the lineage's first profile, or its current one. Raises ProvisioningRefused.
    """
    row = lineages.adopt(file, source=source, actor=by, now=now)
    lineage = Lineage.objects.select_for_update(of=("self",), no_key=True).get(pk=row.lineage_id)
    current = lineage.current
    if current is None or row.pk == current.pk:
        return None
    if row.created_at <= current.created_at or row.effective_end <= current.effective_end:
        raise ProvisioningRefused(
            f"{lineage} has a newer profile already (to {current.effective_end:%Y-%m-%d}): this one is older."
        )
    renewal = Renewal.objects.open().filter(lineage=lineage).first() or _begin(lineage, by=by, now=now)
    if renewal.new_profile_id == row.pk:
        return renewal
    kept = _locked(renewal, _BEFORE_A_FILE, f"{lineage} is being renewed with another file: cancel that first.")
    _decide(
        kept, f"Somebody brought the new profile {row.name}", by=by, now=now, action="renewal.upload", reason=reason,
        state=RenewalState.FETCHED, next_at=now, new_profile=row, attempts=0, blocked_state="", error="", error_kind="",
    )  # fmt: skip
    return kept


def _locked(renewal: Renewal, states: Collection[str], refusal: str) -> Renewal:
    row = Renewal.objects.select_for_update(of=("self",), no_key=True).get(pk=renewal.pk)
    if row.state not in states:
        raise ProvisioningRefused(refusal)
    return row


def _decide(
    row: Renewal,
    sentence: str,
    *,
    by: Actor,
    now: datetime,
    action: str,
    reason: str,
    details: dict[str, Any] | None = None,
    **changes: Any,
) -> None:
    """Write a person's decision; a worker in the middle of a step finds that the renewal is no longer its own."""
    for name, value in changes.items():
        setattr(row, name, value)
    row.save(update_fields=list(changes))
    transitions.tell(row, f"{sentence}: {reason}" if reason else sentence, now=now, details=details)
    audit.record(by, action, subject=row, now=now, reason=reason, label=str(row.lineage))
    alerts.follow(row, now)
