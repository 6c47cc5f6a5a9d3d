"""Four hundred days of the renewal engine: a fake Apple that fails by a script, phones with habits, and a clock that
jumps from one due moment to the next.

The jobs of the beat table are called as functions. No message is ever delivered (nothing commits), every job of a
renewal runs twice, and workers are killed: whatever happens is found in the database again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, partial
from random import Random

from django.conf import settings
from django.db.models import Min

from devices.commands import enqueue_once
from devices.models import (
    Command,
    Enrollment,
    EnrollmentState,
    Inventory,
    InventoryKind,
    LadderState,
    PushState,
)
from protocol.mobileprovision import read_provisioning_profile
from protocol.reports import ErrorChainItem, Status
from provisioning import alerts, keys, polling, renewals, rollout
from provisioning.models import (
    ApiKey,
    Lineage,
    ListedProvisioningProfile,
    ProvisioningInstallation,
    ProvisioningProfile,
    Renewal,
)
from simulator.appstoreconnect import AppStoreConnectServer
from tests.protocol.provisioning_files import roots
from tests.provisioning.conftest import Clock
from tests.provisioning.phones import DOMAIN, Phone, enrollments

MORNING, EVENING, NIGHT = timedelta(hours=8), timedelta(hours=20), timedelta(hours=3)


class Killed(Exception):  # noqa: N818 (what happened)
    """The worker was killed here."""


@cache
def parsed(data: bytes):
    """As the phone reads it; verified once, for three hundred phones get the same file."""
    return read_provisioning_profile(data, roots=roots())


# --- phones ----------------------------------------------------------------------------------------------------------


@dataclass
class YearPhone(Phone):
    """A phone with habits: on which days it is there, how long it refuses, how often it loses what it acknowledged."""

    days: frozenset[int] = frozenset()
    habit: str = ""
    refuses_for: timedelta = timedelta(0)
    losses: int = 0
    # When each profile was first offered, and those it refused or lost at least once.
    offered: dict[str, datetime] = field(default_factory=dict)
    lost: Counter[str] = field(default_factory=Counter)
    spoiled: set[str] = field(default_factory=set)
    in_last_list: dict[str, datetime] = field(default_factory=dict)
    online_at: datetime | None = None
    app_ids: dict[str, str] = field(default_factory=dict)
    too_early: list[str] = field(default_factory=list)

    def holds_valid(self, app_id: str, now: datetime) -> bool:
        """Whether an app with this App ID launches."""
        return any(
            end > now and self.app_ids[uuid] == app_id
            for held in (self.held, self.embedded)
            for uuid, end in held.items()
        )

    def _install(self, data, now):
        profile = parsed(data)
        uuid, self.app_ids[profile.uuid] = profile.uuid, profile.application_identifier
        self.refuses = now < self.offered.setdefault(uuid, now) + self.refuses_for
        self.forgets = self.lost[uuid] < self.losses
        if self.refuses or self.forgets:
            self.spoiled.add(uuid)
        self.lost[uuid] += self.forgets
        self.installs += 1
        if self.refuses or profile.expires_at <= now:
            return Status.ERROR, {}, (ErrorChainItem(25001, DOMAIN, "it cannot be installed", None),)
        if not self.forgets:
            self.held[uuid] = profile.expires_at
        return Status.ACKNOWLEDGED, {}, ()

    def _remove(self, uuid):
        ends = {**self.held, **self.embedded}
        newer = [
            other
            for other, end in self.in_last_list.items()
            if uuid in ends and end > ends[uuid] and self.app_ids[other] == self.app_ids[uuid] and other in self.held
        ]
        if uuid in ends and not newer:
            self.too_early.append(uuid)
        return super()._remove(uuid)

    def _do(self, command, now):
        if command.request_type == "ProvisioningProfileList":
            self.in_last_list = {**self.embedded, **self.held}
        return super()._do(command, now)


def habits(number: int, days: int, random: Random) -> list[YearPhone]:
    """Phones without enrollments, in a mixture of habits; the first ones are always there."""
    made = []
    for place in range(number):
        kind = (
            "always" if place < number // 3 else random.choice(["sometimes", "sometimes", "rare", "months", "always"])
        )
        phone = YearPhone(None, days=_days(kind, days, random), habit=kind)
        made.append(phone)
    share = {"refuses for ever": 1, "refuses for a while": 1, "loses": 4, "enrolls again": 5}
    chosen = random.sample(made[number // 6 :], sum(max(number * percent // 100, 1) for percent in share.values()))
    for habit, percent in share.items():
        for phone in (chosen.pop() for _ in range(max(number * percent // 100, 1))):
            phone.habit = f"{phone.habit}, {habit}"
            phone.refuses_for = timedelta(
                **{"refuses for ever": {"days": 999}, "refuses for a while": {"hours": 5}}.get(habit, {})
            )
            phone.losses = random.randint(1, 3) if habit == "loses" else 0
    return made


def _days(kind: str, days: int, random: Random) -> frozenset[int]:
    if kind == "months":
        there, day = set(), 0
        while day < days:
            day += random.randint(30, 140)
            there |= set(range(day, day := day + random.randint(1, 20)))
        return frozenset(there)
    share = {"always": 1.0, "sometimes": 0.3, "rare": 0.03}[kind]
    return frozenset(day for day in range(days) if random.random() < share)


def enroll(phones: Sequence[YearPhone], now: datetime) -> None:
    """Enrollments for phones that have none yet."""
    for phone, enrollment in zip(phones, enrollments(len(phones), now), strict=True):
        phone.enrollment = enrollment


def begin_with(phones: Iterable[YearPhone], profile: ProvisioningProfile, now: datetime) -> None:
    """They have this profile and have proved it."""
    group = list(phones)
    for phone in group:
        phone.held[profile.uuid] = phone.in_last_list[profile.uuid] = profile.expires_at
        phone.app_ids[profile.uuid] = profile.lineage.application_identifier
    ProvisioningInstallation.objects.bulk_create(
        ProvisioningInstallation(
            enrollment=phone.enrollment, lineage=profile.lineage, profile=profile, state=LadderState.INSTALLED,
            created_at=now, changed_at=now, acknowledged_at=now, proved_at=now,
        )
        for phone in group
    )  # fmt: skip
    ListedProvisioningProfile.objects.bulk_create(
        ListedProvisioningProfile(
            enrollment=phone.enrollment, uuid=profile.uuid, uuid_key=profile.uuid_key, expires_at=profile.expires_at,
            asked_at=now, reported_at=now,
        )
        for phone in group
    )  # fmt: skip
    # As if they had been asked on different days.
    Inventory.objects.bulk_create(
        (
            Inventory(
                enrollment=phone.enrollment, kind=InventoryKind.PROVISIONING_PROFILE_LIST, content=b"", asked_at=now,
                reported_at=now - settings.PROVISIONING_LIST_INTERVAL * (place % 10) / 10,
            )
            for place, phone in enumerate(group)
        ),
        ignore_conflicts=True,
    )  # fmt: skip


# --- Apple, as the engine meets it -----------------------------------------------------------------------------------------


class Shaky:
    """A client whose worker dies at the POST, or has company there, as the script says."""

    def __init__(self, client, world: World) -> None:
        self._client, self._world = client, world

    def __enter__(self) -> Shaky:
        self._client.__enter__()
        return self

    def __exit__(self, *error: object) -> object:
        return self._client.__exit__(*error)

    def __getattr__(self, name: str) -> object:
        return getattr(self._client, name)

    def create_profile(self, *arguments, **options):
        fate = self._world.fates.pop(0) if self._world.fates else ""
        if fate == "killed before the POST":
            raise Killed
        if fate == "another worker":
            self._world.advance_all()
        try:
            return self._client.create_profile(*arguments, **options)
        finally:
            if fate == "killed after the POST":
                raise Killed


# --- the world -------------------------------------------------------------------------------------------------------------


@dataclass
class World:
    """Everything, at one moment. `jobs` are those of the beat table by their task's name."""

    clock: Clock
    server: AppStoreConnectServer
    phones: list[YearPhone]
    lineages: list[Lineage]
    random: Random
    begin: datetime
    fates: list[str] = field(default_factory=list)
    killed: int = 0
    pauses: int = 0
    _stood: list[tuple[object, ...]] = field(default_factory=list)

    @property
    def now(self) -> datetime:
        return self.clock.now

    @property
    def day(self) -> int:
        return (self.now - self.begin).days

    def jobs(self) -> dict[str, Callable[[], object]]:
        """What beat starts, without Celery."""
        return {
            "provisioning.tasks.scan_profiles": partial(self.twice, renewals.scan),
            "provisioning.tasks.advance_renewals": self.advance_all,
            "provisioning.tasks.plan_all": lambda: rollout.plan_all(self.now),
            "provisioning.tasks.plan_due": lambda: rollout.plan_due(self.now),
            "provisioning.tasks.poll_lists": lambda: polling.poll_lists(self.now),
            "provisioning.tasks.check_api_keys": lambda: keys.check_keys(self.now),
            "provisioning.tasks.warn": lambda: alerts.warn(self.now),
        }

    def run(self, *names: str) -> None:
        """These jobs, in this order; without names all of them."""
        jobs = self.jobs()
        for name in names or jobs:
            jobs[name if "." in name else f"provisioning.tasks.{name}"]()

    def twice(self, job: Callable[[datetime], list[int]]) -> None:
        """A double beat."""
        job(self.now)
        assert job(self.now) == []

    def advance_all(self) -> None:
        """Two workers get every message, and some are killed."""
        for pk in renewals.due(self.now) * 2:
            try:
                renewals.advance(pk, self.now, client_for=self.client_for)
            except Killed:
                self.killed += 1

    def client_for(self, key: ApiKey) -> Shaky:
        return Shaky(keys.client_for(key, now=self.now), self)

    def has_moved(self) -> bool:
        """Whether any renewal has since the last time this was asked."""
        before, rows = self._stood, Renewal.objects.order_by("pk")
        self._stood = list(rows.values_list("pk", "state", "wave", "paused_at"))
        return self._stood != before

    def next_moment(self) -> datetime:
        """The next one at which anything is due."""
        midnight = self.begin + timedelta(days=self.day)
        known = [
            midnight + days + hour for days in (timedelta(0), timedelta(days=1)) for hour in (NIGHT, MORNING, EVENING)
        ]
        rows = Renewal.objects.open().filter(paused_at=None).aggregate(at=Min("next_at"))["at"]
        due = Lineage.objects.active().filter(renew_at__gt=self.now).aggregate(at=Min("renew_at"))["at"]
        retry = ProvisioningInstallation.objects.filter(next_at__gt=self.now).aggregate(at=Min("next_at"))["at"]
        moments = [moment for moment in (*known, rows, due, retry) if moment is not None]
        return min(
            max(moment, self.now + timedelta(minutes=1)) for moment in moments if moment > self.now or moment is rows
        )

    def visit(self) -> None:
        """Whoever is there and has something waiting works it off."""
        hour = self.now - self.begin - timedelta(days=self.day)
        if not MORNING <= hour <= EVENING:
            return
        open_for = set(Command.objects.open().values_list("enrollment_id", flat=True))
        for phone in self.phones:
            if self.day in phone.days:
                phone.online_at = self.now
                if phone.enrollment.pk in open_for:
                    phone.connect(self.now)

    def enroll_again(self, phone: YearPhone) -> None:
        """A new enrollment of the same phone; what came over MDM went with the old one. As at a TokenUpdate."""
        old = phone.enrollment
        Enrollment.objects.filter(pk=old.pk).update(state=EnrollmentState.ARCHIVED, ended_at=self.now)
        phone.enrollment = Enrollment.objects.create(
            device=old.device, kind=old.kind, enrollment_id=old.enrollment_id, state=EnrollmentState.ENROLLED,
            push_state=PushState.OK, authenticated_at=self.now, enrolled_at=self.now,
        )  # fmt: skip
        phone.held, phone.in_last_list = {}, {}
        pk = phone.enrollment.pk
        enqueue_once([pk], "ProvisioningProfileList", origin="enrollment", now=self.now)
        rollout.plan([pk], self.now)
        phone.online_at = self.now
        phone.connect(self.now)
