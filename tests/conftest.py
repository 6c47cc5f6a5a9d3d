"""What every test stands on: keys of its own, no broker, a fixed clock."""

import os
import tempfile
from datetime import UTC, datetime

# Set before Django's settings are read; a developer's own environment must not reach the tests.
for _name in list(os.environ):
    if _name.startswith(("PORTAL_", "APNS_", "CELERY_")) or _name in {"SECRET_KEY", "DEBUG", "EMAIL_URL"}:
        del os.environ[_name]
os.environ["PORTAL_DATA_DIR"] = tempfile.mkdtemp(prefix="mdmportal-tests-")
os.environ["SECRET_KEY"] = "for tests only: " + "x" * 50
os.environ["PORTAL_ENCRYPTION_KEYS"] = "dGVzdC1rZXktdGVzdC1rZXktdGVzdC1rZXktdGVzdCE="
os.environ["CELERY_BROKER_URL"] = "memory://"

import pytest


@pytest.fixture
def now() -> datetime:
    """A moment that every test can count from."""
    return datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
