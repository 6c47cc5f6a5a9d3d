"""The gate: what devices report becomes verdicts, and devices are asked until they have proved their requirement.

Judging is pure and in `devices.compliance`; what a verdict opens or closes is `profiles.planning`. Polling follows
`devices.schedule`. Statements per call do not depend on the number of enrollments.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet

from devices import compliance, schedule
from devices.commands import enqueue_once
from devices.compliance import Check, Judgement, ProfileListFact, Requirement, SecurityFact
from devices.inventory import latest
from devices.models import Enrollment, InventoryKind, LadderState, Verdict, VerdictState
from operations import alerts
from operations.models import Alert
from profiles.answers import list_fact, security_fact
from profiles.models import Bundle, Installation, Part, Profile
from profiles.planning import WantedBundle, WantedProfile
from profiles.rendering import is_variant
from profiles.wishes import KEY, current_bundles, requirement_key

POLL_PRIORITY = 50
_BATCH = 500
# PostgreSQL takes 65,535 parameters in a statement.
ROWS_PER_STATEMENT = 1000
_JUDGED = ("state", "reasons", "proved_at", "judged_at", "waiting_since", "next_poll_at", "deadline", "alerted_at")


def is_ours(key: str) -> bool:
    """Whether a verdict's requirement key names a bundle."""
    return key.startswith(KEY)


def checks_of(profile: WantedProfile) -> frozenset[Check]:
    """What a device must report for this requirement: that the profile is there, and what its payloads ask for."""
    return frozenset({Check.PROFILE, Check.PASSCODE} if profile.asks_for_passcode else {Check.PROFILE})


def verdicts_of(enrollment_ids: Collection[int]) -> list[Verdict]:
    """The verdicts on bundles' requirements."""
    return list(Verdict.objects.filter(enrollment__in=enrollment_ids, requirement_key__startswith=KEY))


def new_verdict(
    enrollment: Enrollment, bundle: WantedBundle, *, rows: Mapping[str, Installation], now: datetime
) -> Verdict:
    """A verdict for a requirement that has just become wanted; `enrollment.device` is loaded, nothing is saved."""
    verdict = Verdict(enrollment=enrollment, requirement_key=requirement_key(bundle.bundle_id), judged_at=None)
    profile = bundle.requirement
    unprovable = profile and compliance.provable(checks_of(profile), enrollment.device.platform, enrollment.kind)
    if unprovable:
        verdict.state, verdict.reasons = VerdictState.UNPROVABLE, list(unprovable)
        return verdict
    row = rows.get(profile.part) if profile else None
    if row is not None and row.acknowledged_at is not None:
        # The row was there before its verdict: ask at once.
        _wait(verdict, since=row.acknowledged_at, now=now)
        verdict.next_poll_at = now
    return verdict


def close_verdicts(verdicts: Sequence[Verdict], now: datetime) -> None:
    """Nobody wants these requirements any more: no polls, no alerts."""
    if verdicts:
        Verdict.objects.filter(pk__in=[verdict.pk for verdict in verdicts]).delete()
        _resolve_alerts(verdicts, now)


def requirement_acknowledged(row: Installation, now: datetime) -> None:
    """The device acknowledged a requirement: waiting for its proof begins, and so does polling."""
    verdict = Verdict.objects.filter(
        enrollment=row.enrollment_id, requirement_key=requirement_key(row.bundle_id)
    ).first()
    if row.part == Part.CAPABILITY or verdict is None or verdict.state == VerdictState.UNPROVABLE:
        return
    _wait(verdict, since=row.acknowledged_at or now, now=now)
    verdict.save(update_fields=["waiting_since", "next_poll_at", "deadline"])


@transaction.atomic
def judge_enrollments(enrollment_ids: Sequence[int], now: datetime) -> list[Verdict]:
    """Judge every wanted requirement of these enrollments by their last answers; the verdicts that changed state.

    Asks for SecurityInfo at once where the only answer is older than the proof of the requirement.
    """
    # The lock, taken before anything is read: see profiles.assignment.
    locked = Enrollment.objects.enrolled().filter(pk__in=enrollment_ids).order_by("pk").select_related("device")
    enrollments = {row.pk: row for row in locked.select_for_update(of=("self",), no_key=True)}
    verdicts = {(row.enrollment_id, row.requirement_key): row for row in verdicts_of(list(enrollments))}
    cases = _cases(enrollments, verdicts)
    changed = [case.verdict for case in cases if case.judge(now)]
    Verdict.objects.bulk_create(
        [case.verdict for case in cases],
        ROWS_PER_STATEMENT,
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=_JUDGED,
    )
    _resolve_alerts([verdict for verdict in changed if verdict.state == VerdictState.COMPLIANT], now)
    stale = sorted({case.verdict.enrollment_id for case in cases if case.security_is_stale})
    if stale:
        enqueue_once(stale, "SecurityInfo", origin="asking again after the proof", now=now, priority=POLL_PRIORITY)
    return changed


def poll_due(now: datetime) -> list[int]:
    """Ask the devices whose verdict is due, batch by batch; the enrollments asked, for the caller to plan."""
    asked: list[int] = []
    while batch := _poll_batch(now):
        asked += batch
    _alert_overdue(now)
    _alert_silent(now)
    return asked


def _poll_batch(now: datetime) -> list[int]:
    with transaction.atomic():
        due = Verdict.objects.due(now).filter(requirement_key__startswith=KEY)
        ids = sorted(set(due.order_by("next_poll_at").values_list("enrollment_id", flat=True)[:_BATCH]))
        # Locked enrollments are being planned or judged right now; the next sweep finds them still due.
        locked = Enrollment.objects.filter(pk__in=ids).order_by("pk").select_for_update(no_key=True, skip_locked=True)
        channels = list(locked.only("state", "parent"))
        enrolled = {row.pk: row.state == "enrolled" for row in channels}
        verdicts = list(due.filter(enrollment__in=enrolled))
        for verdict in verdicts:
            verdict.next_poll_at = _next_poll(verdict, now) if enrolled[verdict.enrollment_id] else None
        Verdict.objects.bulk_create(
            verdicts, ROWS_PER_STATEMENT, update_conflicts=True, unique_fields=["id"], update_fields=["next_poll_at"]
        )
        asked = [pk for pk, is_enrolled in enrolled.items() if is_enrolled]
        # A Mac's user channel lists its profiles and knows nothing of the device's security.
        devices = [row.pk for row in channels if enrolled[row.pk] and row.parent_id is None]
        for request_type, pks in ((InventoryKind.PROFILE_LIST, asked), (InventoryKind.SECURITY_INFO, devices)):
            enqueue_once(pks, request_type.value, origin="the gate's poll", now=now, priority=POLL_PRIORITY)
    return asked


@dataclass(slots=True)
class _Case:
    """One requirement on one enrollment with everything that is known of it."""

    enrollment: Enrollment
    verdict: Verdict
    row: Installation
    requirement: Requirement
    profile_list: ProfileListFact | None
    security: SecurityFact | None
    security_is_stale: bool = False

    def judge(self, now: datetime) -> bool:
        """Bring the verdict up to date; True when its state changed."""
        facts = compliance.Facts(
            platform=self.enrollment.device.platform,
            kind=self.enrollment.kind,
            profile_list=self.profile_list,
            acknowledged_at=self.row.acknowledged_at,
            proved_at=self._proved_at,
            security=self.security,
        )
        verdict, judgement = self.verdict, compliance.judge(self.requirement, facts)
        # Once per new fact, so that a device that refuses SecurityInfo is not asked for ever.
        self.security_is_stale = self._answered_too_early and self._has_news_since(verdict.judged_at)
        before = verdict.state
        self._apply(judgement, now)
        return verdict.state != before

    @property
    def _proved_at(self) -> datetime | None:
        is_there = self.row.state == LadderState.INSTALLED and self.row.payload_uuid == self.requirement.profile_uuid
        return self.row.proved_at if is_there else None

    @property
    def _answered_too_early(self) -> bool:
        if Check.PASSCODE not in self.requirement.checks or self._proved_at is None:
            return False
        return self.security is None or self.security.asked_at < self._proved_at

    def _has_news_since(self, moment: datetime | None) -> bool:
        news = [self._proved_at, self.security.reported_at if self.security is not None else None]
        return moment is None or any(at is not None and at > moment for at in news)

    def _apply(self, judgement: Judgement, now: datetime) -> None:
        verdict, before = self.verdict, self.verdict.state
        verdict.state, verdict.reasons, verdict.judged_at = judgement.state, list(judgement.reasons), now
        if judgement.state == VerdictState.UNPROVABLE:
            verdict.waiting_since = verdict.next_poll_at = verdict.deadline = None
        elif judgement.state == VerdictState.COMPLIANT:
            verdict.proved_at = self._evidence_at()
            verdict.waiting_since = verdict.deadline = verdict.alerted_at = None
            if before != VerdictState.COMPLIANT or verdict.next_poll_at is None:
                verdict.next_poll_at = _next_poll(verdict, now)
        elif before == VerdictState.COMPLIANT or verdict.next_poll_at is None:
            lost = before == VerdictState.COMPLIANT
            if lost or self.row.acknowledged_at is not None:
                _wait(verdict, since=now if lost else self.row.acknowledged_at or now, now=now)

    def _evidence_at(self) -> datetime | None:
        """When the oldest of the answers behind the verdict came: judging old answers again proves nothing new."""
        facts = [self.profile_list, self.security if Check.PASSCODE in self.requirement.checks else None]
        return min((fact.reported_at for fact in facts if fact is not None), default=None)


def _cases(enrollments: Mapping[int, Enrollment], verdicts: Mapping[tuple[int, str], Verdict]) -> list[_Case]:
    rows = list(Installation.objects.filter(enrollment__in=enrollments, wanted=True).exclude(part=Part.CAPABILITY))
    bundles = current_bundles({row.bundle_id for row in rows})
    known = _known_uuids(bundles.values())
    lists = latest(list(enrollments), InventoryKind.PROFILE_LIST)
    securities = latest(list(enrollments), InventoryKind.SECURITY_INFO)
    cases = []
    for row in rows:
        enrollment, bundle = enrollments[row.enrollment_id], bundles.get(row.bundle_id)
        profile = bundle.on(enrollment).requirement if bundle else None
        verdict = verdicts.get((row.enrollment_id, requirement_key(row.bundle_id)))
        if profile is None or verdict is None or profile.part != row.part:
            continue
        listed = list_fact(lists.get(row.enrollment_id))
        requirement = Requirement(
            key=verdict.requirement_key,
            profile_identifier=profile.identifier,
            profile_uuid=profile.uuid,
            known_uuids=_older(known[profile.identifier], profile, listed=listed),
            checks=checks_of(profile),
        )
        said = security_fact(securities.get(row.enrollment_id))
        cases.append(_Case(enrollment, verdict, row, requirement, listed, said))
    return cases


def _older(known: frozenset[str], profile: WantedProfile, *, listed: ProfileListFact | None) -> frozenset[str]:
    """The UUIDs that mean an older revision on this device, or this one with the values of yesterday."""
    found = listed.profiles.get(profile.identifier) if listed is not None else None
    variants = {found} if found is not None and is_variant(found, known) else set()
    return (known | variants) - {profile.uuid}


def _known_uuids(bundles: Iterable[WantedBundle]) -> dict[str, frozenset[str]]:
    """Every UUID that any of our revisions had under a requirement's identifier."""
    identifiers = {bundle.requirement.identifier for bundle in bundles if bundle.requirement}
    known: dict[str, set[str]] = defaultdict(set)
    for identifier, uuid in Profile.objects.filter(identifier__in=identifiers).values_list("identifier", "uuid"):
        known[identifier].add(uuid)
    return defaultdict(frozenset, {identifier: frozenset(uuids) for identifier, uuids in known.items()})


def _wait(verdict: Verdict, *, since: datetime, now: datetime) -> None:
    verdict.waiting_since, verdict.deadline = since, schedule.deadline(since, schedule.from_settings())
    verdict.next_poll_at = _next_poll(verdict, now)


def _next_poll(verdict: Verdict, now: datetime) -> datetime:
    proved = verdict.state == VerdictState.COMPLIANT
    since = verdict.waiting_since or now
    return schedule.next_poll(since, now=now, proved=proved, intervals=schedule.from_settings())


def _alert_overdue(now: datetime) -> None:
    """Tell IT of devices that have not proved their requirement by the deadline."""
    open_states = [VerdictState.UNKNOWN, VerdictState.NOT_COMPLIANT]
    overdue = Verdict.objects.filter(deadline__lte=now, alerted_at=None, state__in=open_states)
    for verdict in _alertable(overdue):
        bundle = _name(verdict)
        _alert(
            verdict,
            f"{verdict.enrollment.device} has not met the requirement of {bundle}",
            text=f"It was asked since {verdict.waiting_since:%Y-%m-%d %H:%M} UTC. {' '.join(verdict.reasons)}".strip(),
            now=now,
        )


def _alert_silent(now: datetime) -> None:
    """Tell IT of devices that hold a capability and have not proved their compliance for the bundle's silent days."""
    days: dict[int, list[str]] = defaultdict(list)
    published = Bundle.objects.exclude(current_revision=None)
    for bundle_id, silent_days in published.values_list("pk", "current_revision__silent_days"):
        days[silent_days].append(requirement_key(bundle_id))
    for silent_days, keys in days.items():
        before = now - timedelta(days=silent_days)
        silent = Verdict.objects.filter(requirement_key__in=keys, proved_at__lte=before, alerted_at=None)
        still_holding = [VerdictState.COMPLIANT, VerdictState.UNKNOWN]
        for verdict in _alertable(silent.filter(state__in=still_holding)):
            _alert(
                verdict,
                f"{verdict.enrollment.device} is unproved since {verdict.proved_at:%Y-%m-%d}",
                text=f"It keeps what {_name(verdict)} gave it, but has proved nothing for {silent_days} days.",
                now=now,
            )


def _alertable(verdicts: QuerySet[Verdict]) -> QuerySet[Verdict]:
    """A bounded number per sweep; the next sweep takes the next ones."""
    mine = verdicts.filter(requirement_key__startswith=KEY, enrollment__state="enrolled")
    return mine.select_related("enrollment__device").order_by("pk")[:_BATCH]


def _alert(verdict: Verdict, title: str, *, text: str, now: datetime) -> None:
    alerts.raise_alert(_alert_key(verdict), title, text=text, now=now)
    Verdict.objects.filter(pk=verdict.pk).update(alerted_at=now)


def _resolve_alerts(verdicts: Sequence[Verdict], now: datetime) -> None:
    keys = [_alert_key(verdict) for verdict in verdicts]
    if keys:
        Alert.objects.filter(key__in=keys, resolved_at=None).update(resolved_at=now)


def _alert_key(verdict: Verdict) -> str:
    return f"gate:{verdict.enrollment_id}:{verdict.requirement_key}"


def _name(verdict: Verdict) -> str:
    bundle_id = verdict.requirement_key.removeprefix(KEY)
    name = Bundle.objects.filter(pk=bundle_id).values_list("name", flat=True).first()
    return f'"{name}"' if name else "a bundle that is gone"
