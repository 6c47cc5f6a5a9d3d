"""Cuts invitation tokens from log records: Django's own request log writes the paths of refused requests."""

import logging
import re

# Loggers that write paths which somebody asked for.
LOGGERS = ("django.request", "django.server", "django.security.csrf")
_TOKEN = re.compile(r"(/enroll/)[^/\s\"'?]+")


class CutTokens(logging.Filter):
    """Replaces the token in /enroll/<token>/ wherever a record would show it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Never drops a record."""
        message = record.getMessage()
        cut = cut_tokens(message)
        if cut != message:
            record.msg, record.args = cut, ()
        return True


def cut_tokens(text: str) -> str:
    """The text without invitation tokens."""
    return _TOKEN.sub(r"\1…", text)


def install() -> None:
    """Put the filter before the loggers that need it; called once at start."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(CutTokens())
