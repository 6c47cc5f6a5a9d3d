"""Any file that somebody uploads for provisioning: a profile, or an .ipa with one in each of its bundles.

`read_upload` says what a file is and what taking it would do; nothing is written before `take_upload`. Wrong files are
named in words. Storing an app's own file is `provisioning.enterprise_apps`.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import IO

from django.db import transaction

from operations import audit
from operations.audit import Actor
from protocol import mobileprovision
from protocol.errors import MobileprovisionError
from protocol.mobileprovision import Ipa, read_ipa, read_provisioning_profile
from provisioning import assignment, lineages, renewals
from provisioning.errors import ProvisioningRefused
from provisioning.models import Lineage, ProvisioningProfile, Renewal, Source

# The largest honest profiles have 40 KB; the reader refuses far larger ones in words.
_LARGEST_PROFILE = 4 * 1024 * 1024
_ZIP = b"PK\x03\x04"


class Outcome(StrEnum):
    """What becomes of a profile that is taken in."""

    FIRST = "first"
    KNOWN = "known"
    SUCCESSOR = "successor"
    OLDER = "older"
    REFUSED = "refused"


OUTCOME_WORDS = {
    Outcome.FIRST: "Begins a new lineage and becomes its current profile. Assign it to a group to put it on devices.",
    Outcome.KNOWN: "Known already: nothing changes.",
    Outcome.SUCCESSOR: "Renews its lineage: it is compared with the current profile, then rolled out.",
    Outcome.OLDER: "Older than the lineage's current profile.",
    Outcome.REFUSED: "Cannot be delivered.",
}


@dataclass(frozen=True, slots=True)
class FoundProfile:
    """One profile of an upload. `path` and `bundle_identifier` say where in an .ipa it lies; empty for a file alone."""

    file: mobileprovision.ProvisioningProfile = field(repr=False)
    outcome: Outcome
    lineage: Lineage | None = None
    refusal: str = ""
    warnings: tuple[str, ...] = ()
    path: str = ""
    bundle_identifier: str = ""

    @property
    def words(self) -> str:
        """What taking it in does."""
        return self.refusal or OUTCOME_WORDS[self.outcome]


@dataclass(frozen=True, slots=True)
class ReadUpload:
    """What a file holds; `ipa` is None for a profile alone."""

    profiles: tuple[FoundProfile, ...]
    ipa: Ipa | None = None

    @property
    def refusals(self) -> list[str]:
        """Why it cannot be taken at all."""
        return [found.refusal for found in self.profiles if found.outcome is Outcome.REFUSED]

    @property
    def needs_force(self) -> bool:
        """Whether a profile alone is older than the one in use, so that taking it would be a step back."""
        return self.ipa is None and any(found.outcome is Outcome.OLDER for found in self.profiles)


@dataclass(frozen=True, slots=True)
class TakenUpload:
    """What was written: the rows of the profiles, in the order of the file, and the renewals they brought on."""

    profiles: tuple[ProvisioningProfile, ...]
    renewals: tuple[Renewal, ...]


def read_upload(file: IO[bytes], now: datetime) -> ReadUpload:
    """Say what a file is; nothing is written. Raises ProvisioningRefused with a sentence that names a wrong file."""
    file.seek(0)
    opening = file.read(len(_ZIP))
    file.seek(0)
    try:
        if opening == _ZIP:
            return _read_app(read_ipa(file), now)
        profile = read_provisioning_profile(file.read(_LARGEST_PROFILE + 1), roots=lineages.roots())
    except MobileprovisionError as error:
        raise ProvisioningRefused(str(error)) from None
    return ReadUpload((_judge(profile, now),))


def _read_app(ipa: Ipa, now: datetime) -> ReadUpload:
    found = []
    for bundle in ipa.bundles:
        try:
            profile = read_provisioning_profile(bundle.profile, roots=lineages.roots())
        except MobileprovisionError as error:
            raise ProvisioningRefused(f"{bundle.path}: {error}") from None
        found.append(_judge(profile, now, path=bundle.path, bundle_identifier=bundle.bundle_identifier))
    return ReadUpload(tuple(found), ipa)


def _judge(
    profile: mobileprovision.ProvisioningProfile, now: datetime, *, path: str = "", bundle_identifier: str = ""
) -> FoundProfile:
    lineage = _lineage_of(profile)
    warnings = _warnings(profile, bundle_identifier)
    outcome, refusal = _outcome(profile, lineage, now)
    return FoundProfile(profile, outcome, lineage, refusal, warnings, path, bundle_identifier)


def _outcome(
    profile: mobileprovision.ProvisioningProfile, lineage: Lineage | None, now: datetime
) -> tuple[Outcome, str]:
    is_known = ProvisioningProfile.objects.filter(sha256=profile.sha256).exists()
    try:
        if not is_known:
            lineages.refuse_undeliverable(profile, now)
    except ProvisioningRefused as error:
        return Outcome.REFUSED, error.reason
    current = lineage.current if lineage is not None else None
    if current is None:
        return Outcome.FIRST, ""
    # A file that is known and newer was brought before, and its renewal ended without it.
    if profile.created_at > current.created_at and profile.effective_end > current.effective_end:
        return Outcome.SUCCESSOR, ""
    return (Outcome.KNOWN if is_known else Outcome.OLDER), ""


def _lineage_of(profile: mobileprovision.ProvisioningProfile) -> Lineage | None:
    rows = Lineage.objects.select_related("team", "current").defer("current__data")
    return rows.filter(
        team__identifier=profile.team_identifier,
        application_identifier=profile.application_identifier,
        kind=profile.kind.value,
        platform=lineages.platform_of(profile),
    ).first()


def _warnings(profile: mobileprovision.ProvisioningProfile, bundle_identifier: str) -> tuple[str, ...]:
    said = []
    if not profile.has_der_form:
        said.append("It has no DER form: on iOS 15 and later apps with entitlements of their own do not start with it.")
    if profile.is_xcode_managed:
        said.append("Xcode manages it and may replace it at any time.")
    if profile.effective_end < profile.expires_at:
        said.append(f"Its certificate ends on {profile.effective_end:%Y-%m-%d}, before the profile does.")
    if bundle_identifier and not profile.runs(bundle_identifier):
        said.append(f"It is not for {bundle_identifier}, the bundle that it lies in.")
    return tuple(said)


def take_upload(
    upload: ReadUpload, *, actor: Actor, now: datetime, forced: bool = False, reason: str = ""
) -> TakenUpload:
    """Take every profile of a file in, and renew the lineages it brings something newer for.

    Raises ProvisioningRefused, and then nothing was written. `forced` makes an older profile the current one.
    """
    if upload.refusals:
        raise ProvisioningRefused(" ".join(upload.refusals))
    if upload.needs_force and not forced:
        raise ProvisioningRefused(f"{OUTCOME_WORDS[Outcome.OLDER]} Nothing was taken.")
    rows, begun = [], []
    with transaction.atomic():
        for found in upload.profiles:
            row, renewal = _take(found, is_app=upload.ipa is not None, actor=actor, now=now)
            rows.append(row)
            begun += [renewal] if renewal is not None else []
            if upload.needs_force:
                _step_back(row, actor=actor, now=now, reason=reason)
    return TakenUpload(tuple(rows), tuple(begun))


def _take(
    found: FoundProfile, *, is_app: bool, actor: Actor, now: datetime
) -> tuple[ProvisioningProfile, Renewal | None]:
    source = Source.IPA if is_app else Source.UPLOAD
    if found.outcome is not Outcome.SUCCESSOR:
        return lineages.adopt(found.file, source=source, actor=actor, now=now), None
    renewal = renewals.upload(found.file, source=source, by=actor, now=now)
    return ProvisioningProfile.objects.get(sha256=found.file.sha256), renewal


def _step_back(profile: ProvisioningProfile, *, actor: Actor, now: datetime, reason: str) -> None:
    """Make an older profile the current one again; the newer stays on the devices that have it."""
    lineage = profile.lineage
    if Renewal.objects.open().filter(lineage=lineage).exists():
        raise ProvisioningRefused(f"{lineage} is being renewed: cancel that first.")
    lineages.set_current(lineage, profile)
    audit.record(actor, "lineage.step_back", subject=lineage, now=now, reason=reason, details={"profile": profile.uuid})
    assignment.plan_soon(lineage)
