"""What every test stands on: a fixed clock. The environment is in `tests/settings.py`."""

from datetime import UTC, datetime

import pytest


@pytest.fixture
def now() -> datetime:
    """A moment that every test can count from."""
    return datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
