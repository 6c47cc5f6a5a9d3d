"""The promise of the renewal engine, for 400 days: whoever was there in time and did not refuse has a valid profile."""

import os
from collections import Counter
from datetime import timedelta
from random import Random

import pytest
from django.conf import settings as live_settings

from devices.groups import add_devices, ensure_all_group
from devices.models import DeviceGroup
from provisioning import lineages, renewals, rollout
from provisioning.models import ApiKey, Lineage, LineageAssignment, Policy, Program, Renewal, RenewalState, Source
from simulator.appstoreconnect import AppStoreConnectServer
from simulator.appstoreconnect_team import Certificate, new_id
from tests.protocol.provisioning_files import NOW, TEAM, apple, developer
from tests.provisioning.conftest import Clock
from tests.provisioning.year import EVENING, MORNING, NIGHT, World, begin_with, enroll, habits, parsed

pytestmark = [pytest.mark.django_db, pytest.mark.long]

DAYS = 400
# The seed and the number are for longer runs.
PHONES = int(os.environ.get("TEST_YEAR_PHONES", "120"))
BEGIN = NOW.replace(hour=0) + timedelta(days=270)
LONG, SHORT = "com.example.pos", "com.example.till"
# How one POST after the other ends; "" is well.
ANSWERS = (
    "server_error_after", "drop_after", "server_error", "rate_limit", "duplicate", "unavailable", "", "drop", "bad_gateway",
    "foreign_name", "no_json", "server_error_after",
)  # fmt: skip
FATES = (
    "killed after the POST",
    "killed before the POST",
    "another worker",
    "",
    "another worker",
    "killed after the POST",
)
# What goes wrong before a POST, renewal by renewal.
BEFORE = (
    (("/bundleIds", "unauthorized", 1),),
    (("/certificates", "unavailable", 2), ("/bundleIds", "rate_limit", 1)),
    (("/bundleIds", "agreement", 5),),
    (("/certificates", "membership", 2),),
    (("/bundleIds", "no_json", 1), ("/bundleIds", "proxy_page", 1)),
)


@pytest.fixture(params=[int(os.environ.get("TEST_YEAR_SEED", "1"))])
def random(request) -> Random:
    return Random(request.param)


@pytest.fixture
def clock() -> Clock:
    return Clock(BEGIN)


@pytest.fixture
def server(clock, settings, fake_roots):
    with AppStoreConnectServer(clock, authority=apple()) as running:
        settings.APPSTORECONNECT_ENTERPRISE_URL = running.url()
        yield running


def app(server, identifier, *, team, lifetime, age) -> Lineage:
    """A lineage with a key, renewed by itself, and its present profile at Apple."""
    there = server.api.add_team(team, lifetime=timedelta(days=lifetime))
    key = there.add_key()
    certificate = Certificate(new_id(), developer(), "Example Ltd", "IOS_DISTRIBUTION")
    there.certificates[certificate.id] = certificate
    bundle_id = there.add_bundle_id(identifier)
    old = there.create_profile(
        f"{identifier} first", bundle_id=bundle_id.id, certificates=(certificate.id,), now=BEGIN - timedelta(days=age)
    )
    lineage = lineages.adopt(parsed(old.content), source=Source.UPLOAD, actor=None, now=BEGIN).lineage
    lineage.policy = Policy.AUTO
    lineage.save()
    ApiKey.objects.create(
        team=lineage.team, program=Program.ENTERPRISE, key_id=key.key_id, issuer_id=key.issuer_id, private_key=key.pem,
        added_at=BEGIN,
    )  # fmt: skip
    return lineage


def group(name, phones) -> DeviceGroup:
    made = DeviceGroup.objects.create(name=name, created_at=BEGIN)
    add_devices(made, [phone.enrollment.device for phone in phones], now=BEGIN)
    return made


@pytest.fixture
def world(settings, clock, server, random) -> World:
    # A list a day and a look every five minutes would only take longer to compute.
    settings.PROVISIONING_LIST_INTERVAL = timedelta(days=60)
    settings.PROVISIONING_ADVANCE_INTERVAL = timedelta(hours=24)
    phones = habits(PHONES, DAYS, random)
    enroll(phones, BEGIN)
    long = app(server, LONG, team=TEAM, lifetime=365, age=268)
    short = app(server, SHORT, team="SH0RT12345", lifetime=90, age=20)
    canaries = group("it staff", phones[:4])
    some = random.sample(phones[6:], len(phones) // 8)
    LineageAssignment.objects.create(lineage=long, group=ensure_all_group(BEGIN), created_at=BEGIN)
    LineageAssignment.objects.create(lineage=short, group=group("tills", [*phones[:6], *some]), created_at=BEGIN)
    for lineage, holders in ((long, phones), (short, [*phones[:6], *some])):
        lineage.canary_group, lineage.delete_at_apple = canaries, lineage is short
        lineage.save()
        begin_with(holders, lineage.current, BEGIN)
    for phone in random.sample(phones, 5):
        phone.embedded = {long.current.uuid: phone.held.pop(long.current.uuid)}
    for answer in ANSWERS:
        server.fail_next("POST", "/profiles", answer or "slow", seconds=0)
    return World(clock, server, phones, [long, short], random, BEGIN, fates=list(FATES))


class Watch:
    """What must hold, kept up to date by looking from outside."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.stragglers: dict[int, set[int]] = {}
        self.known: set[int] = set()
        self.before = list(BEFORE)
        self.excused: Counter[str] = Counter()

    def new_renewals(self) -> None:
        """Whatever goes wrong before the next POST begins with the renewal."""
        for renewal in Renewal.objects.exclude(pk__in=self.known):
            self.known.add(renewal.pk)
            for path, fault, times in self.before.pop(0) if self.before else ():
                self.world.server.fail_next("GET", path, fault, times=times)

    def ends(self) -> None:
        """Who is on the list of stragglers before the old profile ends."""
        tomorrow = self.world.now + timedelta(days=1)
        ending = Renewal.objects.filter(old_profile__effective_end__lte=tomorrow).exclude(pk__in=self.stragglers)
        for renewal in ending.exclude(new_profile=None):
            self.stragglers[renewal.pk] = set(rollout.stragglers(renewal.lineage).values_list("pk", flat=True))

    def phones(self) -> None:
        """Nobody without a valid profile who could have had one."""
        now = self.world.now
        for lineage in self.world.lineages:
            app_id = lineage.application_identifier
            without = {one.enrollment.pk: one for one in self.world.phones if not one.holds_valid(app_id, now)}
            if not without:
                continue
            newest = lineage.profiles.order_by("-created_at").defer("data").first()
            fetched = newest.added_at
            ended = Renewal.objects.filter(lineage=lineage, old_profile__effective_end__lte=now)
            last = ended.order_by("-old_profile__effective_end").first()
            for target in rollout.targets(lineage).filter(pk__in=without).values_list("pk", flat=True):
                phone = without[target]
                was_there = phone.online_at is not None and phone.online_at >= fetched
                who = f"day {self.world.day}: {phone.habit} under {lineage}"
                assert not was_there or newest.uuid in phone.spoiled, f"{who} was there and has no valid profile"
                assert last is not None, who
                assert phone.enrollment.pk in self.stragglers[last.pk], f"{who} was never on the list"
                self.excused["refused or lost it" if was_there else "away"] += 1


def operator(world: World) -> None:
    """Somebody looks at what is paused, once a day, and goes on."""
    for renewal in Renewal.objects.open().exclude(paused_at=None):
        world.pauses += 1
        renewals.resume(renewal, by=None, now=world.now)


def test_nobody_who_was_there_in_time_is_ever_without_a_valid_profile(world, clock):
    watch = Watch(world)
    assert set(world.jobs()) == {
        str(entry["task"])
        for entry in live_settings.CELERY_BEAT_SCHEDULE.values()
        if str(entry["task"]).startswith("provisioning.")
    }
    changes = {world.random.randrange(20, DAYS - 20): phone for phone in world.phones if "again" in phone.habit}
    while world.day < DAYS:
        hour = world.now - BEGIN - timedelta(days=world.day)
        if hour == NIGHT:
            world.run("poll_lists", *(["warn", "check_api_keys", "plan_all"] if world.day % 5 == 0 else []))
            operator(world)
            watch.ends()
        if hour not in {NIGHT, MORNING, EVENING} or (hour == MORNING and world.day % 3 == 0):
            world.run("scan_profiles")
            watch.new_renewals()
        world.run("advance_renewals", *(["plan_all"] if world.has_moved() else []), "plan_due")
        if hour == MORNING and world.day in changes:
            phone = changes[world.day]
            phone.days |= {world.day}
            world.enroll_again(phone)
        world.visit()
        if hour == EVENING:
            watch.phones()
        clock.now = world.next_moment()
    assert_it_went_as_scripted(world, watch)


def assert_it_went_as_scripted(world: World, watch: Watch) -> None:
    rows = Renewal.objects.exclude(new_profile=None)
    created = Counter(profile.name for profile in world.server.api.created)
    assert created == Counter(rows.values_list("planned_name", flat=True)), "one profile for each renewal"
    assert rows.count() == Renewal.objects.count()
    assert {lineage.renewals.count() for lineage in world.lineages} == {2, 6}
    assert set(
        rows.filter(old_profile__effective_end__lt=world.now - timedelta(days=9)).values_list("state", flat=True)
    ) == {RenewalState.DONE}
    assert [phone.too_early for phone in world.phones if phone.too_early] == []
    assert world.fates == []
    assert [fault.name for fault in world.server.api.faults.lines if fault.times] == []
    assert (world.killed, world.pauses) == (3, 0)
    assert min(watch.excused.values()) > 0, watch.excused
    assert len(watch.excused) == 2
