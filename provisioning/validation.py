"""What a new profile changes for the apps that run under the old one: the comparison before anything is rolled out.

Pure. A profile is made from the App ID's present capabilities: one that lost an entitlement or lists another
certificate stops the installed app, so it is refused with the difference in words. Devices are counted, never named.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from protocol.mobileprovision import Kind, ProvisioningProfile
from protocol.mobileprovision.reading import plain_udid
from protocol.plist import PlistValue
from provisioning.timing import least_gain

_SOON = timedelta(days=30)
_SHOWN = 200


class Severity(StrEnum):
    """An error stops the renewal; a warning is shown; a note explains."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference. `key` names what differs: "uuid", "certificates", "entitlement:aps-environment" ..."""

    severity: Severity
    key: str
    sentence: str

    def as_json(self) -> dict[str, str]:
        """As it is kept in Renewal.findings."""
        return {"severity": self.severity.value, "key": self.key, "sentence": self.sentence}


def compare(
    old: ProvisioningProfile,
    new: ProvisioningProfile,
    *,
    signing_sha256: frozenset[str],
    now: datetime,
    dismissed: Collection[str] = (),
) -> list[Finding]:
    """What stands against replacing `old` by `new` (an error), and what should be known, errors first.

    `signing_sha256`: fingerprints of the certificates that really signed the installed app, empty when nobody knows.
    `dismissed`: UDIDs that the team has disabled at Apple, which the new profile need not list.
    """
    findings = [
        *_identity(old, new),
        *_certificates(old, new, signing_sha256=signing_sha256, now=now),
        *_entitlements(old.entitlements, new.entitlements),
        *_dates(old, new, now=now),
        *_devices(old, new, dismissed=dismissed),
        *_form(old, new),
    ]
    order = list(Severity)
    return sorted(findings, key=lambda finding: order.index(finding.severity))


def is_refused(findings: Collection[Finding]) -> bool:
    """Whether one of them is an error."""
    return any(finding.severity is Severity.ERROR for finding in findings)


def _error(key: str, sentence: str) -> Finding:
    return Finding(Severity.ERROR, key, sentence)


def _warning(key: str, sentence: str) -> Finding:
    return Finding(Severity.WARNING, key, sentence)


def _identity(old: ProvisioningProfile, new: ProvisioningProfile) -> Iterator[Finding]:
    if old.uuid.casefold() == new.uuid.casefold():
        yield _error("uuid", "It is the same profile: its UUID is the old one's.")
    for key, label, before, after in (
        ("team", "team", old.team_identifier, new.team_identifier),
        ("prefix", "App ID prefix", old.prefix, new.prefix),
        ("application_identifier", "App ID", old.application_identifier, new.application_identifier),
        ("kind", "kind", old.kind.value.replace("_", " "), new.kind.value.replace("_", " ")),
    ):
        if before != after:
            yield _error(key, f"The {label} is {_short(after)} instead of {_short(before)}.")
    lost = sorted(set(old.platforms) - set(new.platforms))
    if lost:
        yield _error("platforms", f"It is no longer for {', '.join(lost)}.")
    if new.kind is Kind.APP_STORE or new.is_free_team:
        yield _error("kind", "Devices do not run apps with a profile of this kind.")


def _certificates(
    old: ProvisioningProfile, new: ProvisioningProfile, *, signing_sha256: frozenset[str], now: datetime
) -> Iterator[Finding]:
    listed = {certificate.sha256: certificate for certificate in new.certificates}
    # Nobody knows who signed: an app may run under any certificate of the old profile that has not ended.
    before = {certificate.sha256: certificate for certificate in old.certificates}
    if signing_sha256:
        if not signing_sha256 <= listed.keys():
            yield _error(
                "certificates",
                "It does not list the certificate that signed the installed app: the app must be signed again and "
                "updated, the profile alone does not help.",
            )
    elif before and not before.keys() & listed.keys():
        yield _error(
            "certificates",
            "It lists none of the old profile's certificates: the installed app must be signed again with the new one.",
        )
    else:
        for lost in sorted(before.keys() - listed.keys()):
            gone = before[lost]
            if gone.not_after > now:
                # An app signed with it would run until the old profile is removed, and then stop on every device.
                sentence = (
                    f"It no longer lists {gone.common_name} ({gone.serial_number}): apps signed with it would stop."
                )
                yield _error("certificates", sentence)
    for certificate in new.certificates:
        if now < certificate.not_after <= now + _SOON:
            sentence = (
                f"{certificate.common_name} ends on {certificate.not_after:%Y-%m-%d}: sign the app again by then."
            )
            yield _warning("certificate_end", sentence)


def _entitlements(old: Mapping[str, PlistValue], new: Mapping[str, PlistValue]) -> Iterator[Finding]:
    """Per key; lists count as sets, and what the old one did not have harms nothing."""
    for key in sorted(old.keys() | new.keys()):
        if key in {"application-identifier", "com.apple.application-identifier"}:
            continue
        if key not in new:
            yield _error(f"entitlement:{key}", f"The entitlement {key} is missing.")
        elif key not in old:
            yield Finding(Severity.NOTE, f"entitlement:{key}", f"The entitlement {key} is new.")
        elif not _covers(new[key], old[key]):
            before, after = _short(old[key]), _short(new[key])
            yield _error(f"entitlement:{key}", f"The entitlement {key} is {after} instead of {before}.")


def _covers(new: PlistValue, old: PlistValue) -> bool:
    if isinstance(old, list) and isinstance(new, list):
        return all(value in new for value in old)
    return type(new) is type(old) and new == old


def _short(value: PlistValue) -> str:
    text = ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _dates(old: ProvisioningProfile, new: ProvisioningProfile, *, now: datetime) -> Iterator[Finding]:
    if new.effective_end <= now:
        yield _error("expires", f"It ended on {new.effective_end:%Y-%m-%d}.")
        return
    # What counts is how long the app runs: a profile may outlive its certificate.
    if new.effective_end < old.effective_end + least_gain(created_at=old.created_at, ends=old.expires_at):
        yield _error(
            "expires",
            f"It ends on {new.effective_end:%Y-%m-%d}, hardly later than the old one ({old.effective_end:%Y-%m-%d}).",
        )
    elif new.effective_end < new.expires_at:
        yield _warning(
            "expires",
            f"Its certificate ends on {new.effective_end:%Y-%m-%d}, before the profile does: sign the app again by then.",
        )


def _devices(old: ProvisioningProfile, new: ProvisioningProfile, *, dismissed: Collection[str]) -> Iterator[Finding]:
    before, after = ({plain_udid(udid) for udid in profile.devices} for profile in (old, new))
    lost = before - after
    unexpected = lost - {plain_udid(udid) for udid in dismissed}
    if unexpected:
        yield _error("devices", f"{len(unexpected)} of {len(before)} devices are no longer listed.")
    elif lost:
        yield _warning("devices", f"{len(lost)} devices are no longer listed: they are disabled at Apple.")
    if after - before:
        yield Finding(Severity.NOTE, "devices", f"{len(after - before)} more devices are listed.")


def _form(old: ProvisioningProfile, new: ProvisioningProfile) -> Iterator[Finding]:
    if not new.has_der_form:
        sentence = "It has no DER form: on iOS 15 and later apps with entitlements of their own do not start with it."
        yield (_error if old.has_der_form else _warning)("der_form", sentence)
    if new.is_xcode_managed:
        yield _warning("xcode", "Xcode manages it and may replace it at any time.")
