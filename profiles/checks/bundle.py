"""All checks of one bundle in order. Each kind is a module of this package; here is only which of them are asked."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import chain

from devices.models import Platform
from profiles.checks import delivery, keys, names, neighbours, platforms, references
from profiles.checks.contents import Item, read
from profiles.checks.findings import Finding, Severity
from profiles.checks.fleet import segments_of, total
from profiles.checks.original import check_original, read_original
from profiles.models import Bundle, Scope
from profiles.pairing import parts, texts
from profiles.scope import devices_in_scope
from protocol.schema import Catalogue

_ORDER = {severity: number for number, severity in enumerate(Severity)}


def check_bundle(bundle: Bundle, *, now: datetime, catalogue: Catalogue) -> list[Finding]:
    """See `profiles.checks.check_bundle`."""
    findings = _file(bundle, now=now, catalogue=catalogue) if bundle.original else _payloads(bundle, catalogue)
    # sorted() keeps the payloads' order within each severity.
    return sorted(findings, key=lambda finding: _ORDER[finding.severity])


def _payloads(bundle: Bundle, catalogue: Catalogue) -> list[Finding]:
    rows = list(bundle.payloads.all())
    items, findings = read(rows, catalogue)
    if not items and not findings:
        return [Finding(Severity.ERROR, "The bundle is empty: it has no payloads.")]
    findings += keys.check_keys(items, catalogue)
    findings += names.check_names(items)
    findings += names.check_variables(items, [*chain(*texts(bundle, rows).values()), bundle.consent_text])
    findings += names.check_clear_secrets(items)
    findings += names.check_shown_secrets(items)
    findings += neighbours.check_single(items)
    findings += references.check_references(parts(bundle.delivery_rule, items), catalogue)
    identifiers = [bundle.identifier, f"{bundle.identifier}.capability"]
    findings += _fleet(bundle, items, identifiers, catalogue=catalogue)
    return findings


def _file(bundle: Bundle, *, now: datetime, catalogue: Catalogue) -> list[Finding]:
    """The same for a file that is delivered as it is, as far as that can be judged."""
    file, items, findings = read_original(bundle, catalogue)
    if file is None:
        return findings
    findings += check_original(bundle, file, items, catalogue=catalogue, now=now)
    findings += _fleet(bundle, items, [file.mobileconfig.identifier], catalogue=catalogue)
    return findings


def _fleet(
    bundle: Bundle, items: Sequence[Item], identifiers: Sequence[str], *, catalogue: Catalogue
) -> Iterator[Finding]:
    """What depends on the devices in scope, and on what other bundles do there."""
    devices = devices_in_scope(bundle)
    segments = segments_of(devices)
    # What a bundle for users means to devices without user channels is one finding, that of check_channel.
    able = [one for one in segments if one.system == Platform.MACOS] if bundle.scope == Scope.USER else segments
    yield from platforms.check_platforms(items, able, catalogue)
    yield from delivery.check_channel(bundle, items, segments)
    if not bundle.original:
        yield from delivery.check_parts(bundle, parts(bundle.delivery_rule, items), segments)
    yield from delivery.check_lifelines(bundle, items, total(segments), catalogue=catalogue)
    yield from neighbours.check_neighbours(bundle, items, devices, identifiers=identifiers, catalogue=catalogue)
