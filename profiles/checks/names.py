"""What payloads are called and what they name: identifiers, UUIDs, variables and secrets.

Devices refuse a profile whose payloads share an identifier or a UUID (MCProfileErrorDomain 1007 and 1008).
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from profiles import secrets, variables
from profiles.checks.contents import Item
from profiles.checks.findings import Finding, Severity

# The enrollment itself: a second copy would replace or break the device's MDM profile.
REFUSED_TYPES = frozenset({"com.apple.mdm"})


def check_names(items: Sequence[Item]) -> Iterator[Finding]:
    """Identifiers and UUIDs that come twice, and payloads that no bundle may hold."""
    for key, values in (
        ("PayloadIdentifier", [item.identifier for item in items]),
        # Devices compare UUIDs as such, whatever their case.
        ("PayloadUUID", [item.uuid.upper() for item in items]),
    ):
        for value, count in Counter(values).items():
            if count > 1:
                last = max(number for number, other in enumerate(values) if other == value)
                yield items[last].finding(Severity.ERROR, f"shares the {key} {value[:100]} with another payload.")
    for item in items:
        if item.payload_type in REFUSED_TYPES:
            yield item.finding(Severity.ERROR, "is an enrollment; devices get that by an invitation only.")


def check_variables(items: Sequence[Item]) -> Iterator[Finding]:
    """Variables that nothing is filled in for, and secrets that nobody stored. One statement."""
    named = {number: variables.names_in(dict(item.content)) for number, item in enumerate(items)}
    absent = set(secrets.missing(variables.secret_names(frozenset().union(*named.values()))))
    for number, item in enumerate(items):
        for name in variables.unknown(named[number]):
            yield item.finding(Severity.ERROR, f"names a variable that does not exist: {name[:100]}.")
        for name in variables.secret_names(named[number]):
            if name in absent:
                yield item.finding(Severity.ERROR, f"names a secret that is not stored: {name}.")
