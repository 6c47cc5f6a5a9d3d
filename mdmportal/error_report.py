"""What Django's error report may show of the settings: not the addresses that hold passwords.

Django hides names such as KEY and PASSWORD; a broker's URL or a webhook's address is a secret too.
"""

import logging
import re
from collections.abc import ItemsView
from types import FrameType
from typing import Any

from django.http import HttpRequest
from django.views.debug import SafeExceptionReporterFilter


class ReportFilter(SafeExceptionReporterFilter):
    """Hides every setting that may hold a credential; see DEFAULT_EXCEPTION_REPORTER_FILTER."""

    hidden_settings = re.compile(
        f"{SafeExceptionReporterFilter.hidden_settings.pattern}|BROKER|WEBHOOK|DATABASE|EMAIL|ENVIRONMENT",
        re.IGNORECASE,
    )

    def get_traceback_frame_variables(self, request: HttpRequest | None, tb_frame: FrameType) -> ItemsView[str, Any]:
        """None at all: a failed connection's frames hold the database's password, whatever DEBUG is."""
        return {}.items()


class WithoutTraceback(logging.Filter):
    """One line is enough for what any stranger can cause: a request for a host name that is not ours."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = record.exc_text = None
        return True
