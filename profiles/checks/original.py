"""A signed file that devices get byte for byte: nothing in it can be mended here, so that most of it is a warning.

Devices install profiles of unknown and of expired signers alike through MDM; who signed is told all the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from profiles.checks.contents import Item, read_foreign
from profiles.checks.findings import Finding, Severity
from profiles.checks.keys import check_keys
from profiles.checks.names import check_enrollments
from profiles.models import Bundle, Profile
from profiles.variables import names_in
from protocol.errors import MobileconfigError
from protocol.mobileconfig import ReadFile, read_file
from protocol.schema import Catalogue


def read_original(bundle: Bundle, catalogue: Catalogue) -> tuple[ReadFile | None, list[Item], list[Finding]]:
    """The file, its payloads, and an error where it cannot be read (any more)."""
    try:
        read = read_file(bytes(bundle.original))
    except MobileconfigError as error:
        return None, [], [Finding(Severity.ERROR, str(error))]
    return read, read_foreign(read.mobileconfig.payloads, catalogue), []


def check_original(
    bundle: Bundle, read: ReadFile, items: Sequence[Item], *, catalogue: Catalogue, now: datetime
) -> Iterator[Finding]:
    """Who signed it, whether its names are free, and what Apple's schema says to its payloads."""
    yield from _signer(read, now)
    yield from check_enrollments(items)
    for finding in check_keys(items, catalogue):
        yield replace(finding, severity=Severity.WARNING) if finding.severity is Severity.ERROR else finding
    if names_in(dict(read.mobileconfig.content)):
        sentence = "The file names variables; it is delivered byte for byte, and nothing is filled in."
        yield Finding(Severity.WARNING, sentence)
    for profile in Profile.objects.filter(uuid__iexact=read.mobileconfig.uuid).only("signed"):
        if bytes(profile.signed) != bytes(bundle.original):
            sentence = (
                "The file's PayloadUUID was delivered with other content: no device could prove which one it has."
            )
            yield Finding(Severity.ERROR, sentence)
            break


def _signer(read: ReadFile, now: datetime) -> Iterator[Finding]:
    if not read.is_deliverable_as_it_is:
        yield Finding(
            Severity.ERROR, "The file is not signed in a form that devices take. Import its payloads instead."
        )
    if read.signer is None:
        return
    who = read.signer.subject[:200] or "somebody without a name"
    if read.signer.is_expired(now):
        sentence = f"The file was signed by {who}, whose certificate is valid until {read.signer.not_after:%Y-%m-%d}."
        yield Finding(Severity.NOTE, sentence)
    how = "a certificate that vouches for itself" if read.signer.self_signed else read.signer.issuer[:200]
    yield Finding(Severity.NOTE, f"The file is signed by {who} ({how}) and delivered byte for byte.")
