"""Two beats never tick at once, and a new one catches up at its first tick."""

from datetime import timedelta

import pytest
from celery import Celery

from mdmportal.beat import LEASE, LIFETIME, RENEWAL, LeaseScheduler
from operations.models import Lease

pytestmark = pytest.mark.django_db


class Recorder(LeaseScheduler):
    """Notes what would be published."""

    def apply_async(self, entry, producer=None, advance=True, **kwargs):
        self.sent = [*getattr(self, "sent", []), entry.name]


@pytest.fixture
def beats(monkeypatch):
    monkeypatch.delenv("PORTAL_BEAT_HOLDER", raising=False)
    app = Celery("beats", broker="memory://", set_as_current=False)
    app.conf.beat_schedule = {
        "often": {"task": "often", "schedule": 15.0},
        "rarely": {"task": "rarely", "schedule": 30 * 24 * 3600.0},
    }
    return [Recorder(app), Recorder(app)]


def test_only_one_of_two_beats_holds_the_lease(beats, now):
    first, second = beats
    assert first.hold(now)
    assert not second.hold(now)
    assert not second.hold(now + LIFETIME - timedelta(seconds=1))


def test_a_lease_is_prolonged_in_time(beats, now):
    first, second = beats
    assert first.hold(now)
    assert first.hold(now + RENEWAL)
    assert not second.hold(now + LIFETIME)


def test_a_dead_beats_lease_ends(beats, now):
    first, second = beats
    assert first.hold(now)
    assert second.hold(now + LIFETIME)
    assert not first.hold(now + LIFETIME)


def test_everything_runs_at_the_first_tick_and_only_then(beats):
    first, second = beats
    while first.tick() == 0:
        pass
    assert sorted(first.sent) == ["often", "rarely"]
    second.tick()
    assert not hasattr(second, "sent")


def test_a_beat_that_slept_over_its_lease_asks_again_before_it_ticks(beats, now):
    first, second = beats
    assert first.hold(now)
    assert second.hold(now + 2 * LIFETIME)
    assert not first.hold(now + 2 * LIFETIME + timedelta(seconds=1))


def test_a_beat_that_ends_gives_the_lease_back(beats):
    first, second = beats
    first.tick()
    first.close()
    assert Lease.objects.filter(name=LEASE).exists()
    second.tick()
    assert second.sent


def test_a_restarted_beat_of_the_same_supervisor_does_not_wait(beats, now, monkeypatch):
    first, second = beats
    first.holder = second.holder = "supervisor"
    assert first.hold(now)
    assert second.hold(now + timedelta(seconds=1))
