"""Keeps Django's own request log quiet about what must not be said, or has been said already.

It writes the paths of refused requests, and an enrollment link's path holds the invitation's token. What the door
refuses, it logs itself, with the reason.
"""

import logging
import re

# Loggers that write paths which somebody asked for.
LOGGERS = ("django.request", "django.server", "django.security.csrf")
_TOKEN = re.compile(r"(/enroll/+)[^/\s\"'?]+", re.IGNORECASE)
# A link that was mistyped before its token; nothing else in our addresses is so long.
_LOOKS_LIKE_ONE = re.compile(r"[A-Za-z0-9_-]{32,}")


class CutTokens(logging.Filter):
    """Replaces the token in /enroll/<token>/ wherever a record would show it; drops what the door has logged."""

    def filter(self, record: logging.LogRecord) -> bool:
        """False for a request that a device view answered."""
        match = getattr(getattr(record, "request", None), "resolver_match", None)
        if match is not None and match.func.__module__ == "endpoint.views":
            return False
        message = record.getMessage()
        cut = cut_tokens(message)
        if cut != message:
            record.msg, record.args = cut, ()
        return True


def cut_tokens(text: str) -> str:
    """The text without invitation tokens."""
    return _LOOKS_LIKE_ONE.sub("…", _TOKEN.sub(r"\1…", text))


def install() -> None:
    """Put the filter before the loggers that need it; called once at start."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(CutTokens())
