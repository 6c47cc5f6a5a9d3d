"""What every test stands on: a fixed clock, patient hypothesis, a browser for those that ask for it. The environment is in `tests/settings.py`."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.mdmportal.browser import ARGUMENTS, CHROMIUM

# On a busy two-core machine, how long an example takes says nothing about the code.
settings.register_profile("portal", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("portal")


@pytest.fixture
def now() -> datetime:
    """A moment that every test can count from."""
    return datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium for the tests of one module. The module is skipped where there is none."""
    from playwright.sync_api import sync_playwright

    with pytest.MonkeyPatch.context() as patch:
        # Playwright's event loop runs in this thread, where Django then suspects a coroutine.
        patch.setitem(os.environ, "DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        with sync_playwright() as playwright:
            one = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            yield one
            one.close()
