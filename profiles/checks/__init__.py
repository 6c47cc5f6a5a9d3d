"""Checks of a bundle's draft: one function for the composer's Problems tab, the publish page and publishing itself.

Errors stop a publish, warnings are listed and counted, notes explain. The number of statements does not depend on the
fleet's size: devices are counted in groups and judged per group in Python.
"""

from datetime import datetime

from profiles import catalogue as catalogues
from profiles.checks.bundle import check_bundle as _check
from profiles.checks.findings import Finding, Severity
from profiles.models import Bundle
from protocol.schema import Catalogue

__all__ = ["Finding", "Severity", "check_bundle"]


def check_bundle(bundle: Bundle, *, now: datetime, catalogue: Catalogue | None = None) -> list[Finding]:
    """Everything to know before the draft is published, the gravest first; within that in the payloads' order.

    `now` (aware UTC) judges certificates. Never raises because of what a payload holds.
    """
    return _check(bundle, now=now, catalogue=catalogue or catalogues.current())
