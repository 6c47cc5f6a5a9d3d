"""When renewing begins and how fast it goes, for lives of a year and of seconds."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provisioning.timing import Timing, least_gain, renew_at
from tests.protocol.provisioning_files import NOW

TIMING = Timing()
DAY = timedelta(days=1)


def test_a_year_is_renewed_forty_five_days_before_its_end():
    ends = NOW + 365 * DAY
    assert renew_at(created_at=NOW, ends=ends, lead_days=None, timing=TIMING) == ends - 45 * DAY


def test_a_lineage_may_have_a_lead_of_its_own():
    ends = NOW + 365 * DAY
    assert renew_at(created_at=NOW, ends=ends, lead_days=90, timing=TIMING) == ends - 90 * DAY


def test_a_short_life_is_renewed_in_its_last_third():
    ends = NOW + 30 * DAY
    assert renew_at(created_at=NOW, ends=ends, lead_days=90, timing=TIMING) == ends - 10 * DAY


@settings(max_examples=50)
@given(st.integers(1, 40_000_000), st.integers(0, 10_000), st.one_of(st.none(), st.integers(0, 400)))
def test_renewing_begins_within_the_life_and_spreads_by_a_day_at_most(seconds, spread, lead_days):
    ends = NOW + timedelta(seconds=seconds)
    first = renew_at(created_at=NOW, ends=ends, lead_days=lead_days, timing=TIMING)
    moved = renew_at(created_at=NOW, ends=ends, lead_days=lead_days, timing=TIMING, spread=spread)
    assert NOW <= first <= moved <= ends
    assert moved - first <= (ends - first) / 45


def test_tries_back_off_and_never_end():
    waits = [TIMING.retry_after(attempts).total_seconds() for attempts in (0, 1, 2, 3, 4, 5, 1000)]
    assert waits == [30, 30, 120, 600, 3600, 3600, 3600]


@pytest.mark.parametrize(("left", "hours"), [(45 * DAY, 24), (4 * DAY, 12), (timedelta(0), 0), (-DAY, 0)])
def test_the_pace_hurries_when_the_old_one_ends_soon(left, hours):
    assert TIMING.soak(NOW, NOW + left) == TIMING.interval(NOW, NOW + left) == timedelta(hours=hours)


def test_a_new_profile_must_be_worth_it():
    assert least_gain(created_at=NOW, ends=NOW + 365 * DAY) == 30 * DAY
    assert least_gain(created_at=NOW, ends=NOW + timedelta(minutes=12)) == timedelta(minutes=1)
