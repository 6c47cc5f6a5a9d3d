"""All checks of one bundle in order. Each kind is a module of this package; here is only which of them are asked."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from profiles.checks import keys, names
from profiles.checks.contents import Item, read
from profiles.checks.findings import Finding, Severity
from profiles.models import Bundle
from protocol.schema import Catalogue

_ORDER = {severity: number for number, severity in enumerate(Severity)}


def check_bundle(bundle: Bundle, *, now: datetime, catalogue: Catalogue) -> list[Finding]:  # noqa: ARG001
    """See `profiles.checks.check_bundle`."""
    items, findings = read(bundle.payloads.all(), catalogue)
    if not items and not findings:
        findings.append(Finding(Severity.ERROR, "The bundle is empty: it has no payloads."))
    findings += _all(items, catalogue)
    # sorted() keeps the payloads' order within each severity.
    return sorted(findings, key=lambda finding: _ORDER[finding.severity])


def _all(items: Sequence[Item], catalogue: Catalogue) -> Iterator[Finding]:
    yield from keys.check_keys(items, catalogue)
    yield from names.check_names(items)
    yield from names.check_variables(items)
