"""What payloads are called and what they name: identifiers, UUIDs, variables and secrets.

Devices refuse a profile whose payloads share an identifier or a UUID (MCProfileErrorDomain 1007 and 1008).
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from profiles import overlay, secrets, variables
from profiles.checks.contents import Item, walk
from profiles.checks.findings import Finding, Severity
from profiles.importing import ENROLLMENT_TYPES


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
    yield from check_enrollments(items)


def check_enrollments(items: Sequence[Item]) -> Iterator[Finding]:
    """Payloads that no bundle may hold."""
    for item in items:
        if item.payload_type in ENROLLMENT_TYPES:
            yield item.finding(Severity.ERROR, "is an enrollment; devices get that by an invitation only.")


def check_clear_secrets(items: Sequence[Item]) -> Iterator[Finding]:
    """Passwords and keys that stand in the payload itself, where history and exports show them."""
    for item in items:
        secret = overlay.secret_paths(item.variant)
        for spot in walk(item):
            held = spot.value if isinstance(spot.value, str | bytes) else b""
            if held and spot.schema_path in secret and not variables.names_in(held):
                sentence = "holds a secret in clear. Kept as a stored secret it would not be in revisions and exports."
                yield item.finding(Severity.NOTE, sentence, path=spot.where)


def check_shown_secrets(items: Sequence[Item]) -> Iterator[Finding]:
    """Stored secrets that are filled into keys which are none: devices and people show those as they are.

    Of keys that Apple does not describe, such as a vendor's own, nobody knows whether they are shown.
    """
    for item in items:
        secret = overlay.secret_paths(item.variant)
        for spot in walk(item):
            if not isinstance(spot.value, str | bytes) or "ANY" in spot.schema_path.split("."):
                continue
            for name in variables.secret_names(variables.names_in(spot.value)):
                if not any(spot.schema_path == path or spot.schema_path.startswith(f"{path}.") for path in secret):
                    sentence = (
                        f"fills the secret {name} into a key that is shown as it is, to whoever holds the device."
                    )
                    yield item.finding(Severity.WARNING, sentence, path=spot.where)


def check_variables(items: Sequence[Item], texts: Sequence[str]) -> Iterator[Finding]:
    """Variables that nothing is filled in for, and secrets that nobody stored, or that somebody would read.

    `texts` are the bundle's own: names, descriptions, consent. One statement.
    """
    own = [variables.names_in(dict(item.content)) for item in items]
    read = [variables.names_in(dict(item.common)) for item in items]
    whole = variables.names_in(list(texts))
    absent = set(secrets.missing(variables.secret_names(frozenset().union(*own, *read, whole))))
    for number, item in enumerate(items):
        for sentence in (*_wrong(own[number] | read[number], absent), *_shown(read[number])):
            yield item.finding(Severity.ERROR, sentence)
    for sentence in (*_wrong(whole, absent), *_shown(whole)):
        yield Finding(Severity.ERROR, f"What the user reads {sentence}")


def _wrong(names: frozenset[str], absent: Collection[str]) -> Iterator[str]:
    for name in variables.unknown(names):
        yield f"names a variable that does not exist: {name[:100]}."
    for name in variables.secret_names(names):
        if name in absent:
            yield f"names a secret that is not stored: {name}."


def _shown(names: frozenset[str]) -> Iterator[str]:
    """Settings shows names and descriptions to whoever holds the device."""
    for name in variables.secret_names(names):
        yield f"would show a secret to the device's user: {name}."
