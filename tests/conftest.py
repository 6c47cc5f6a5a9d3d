"""What every test stands on: a fixed clock, patient hypothesis. The environment is in `tests/settings.py`."""

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, settings

# On a busy two-core machine, how long an example takes says nothing about the code.
settings.register_profile("portal", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("portal")


@pytest.fixture
def now() -> datetime:
    """A moment that every test can count from."""
    return datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
