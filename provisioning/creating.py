"""Making the successor of a profile at Apple, so that a crash, a lost answer or two workers make one and not two.

The name is committed before the POST and is what makes it idempotent: under it we look before every POST, and after
one whose answer was lost twice, some time apart, for Apple's lists lag behind. What goes wrong raises
AppStoreConnectError or CannotCreate; which state follows is `provisioning.steps`.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from protocol.errors import MobileprovisionError
from protocol.mobileprovision import Kind, ProvisioningProfile, read_provisioning_profile
from protocol.mobileprovision.reading import plain_udid
from provisioning import lineages, rollout, transitions, validation
from provisioning.appstoreconnect import (
    AppleBundleId,
    AppleCertificate,
    AppleProfile,
    AppStoreConnectError,
    Client,
    ErrorKind,
)
from provisioning.models import Lineage, Renewal
from provisioning.timing import Timing, least_gain

LISTED_KINDS: Final = frozenset({Kind.AD_HOC, Kind.DEVELOPMENT})
_LONGEST_NAME: Final = 50
_PATIENCE: Final = 3
# Between our clock and Apple's, when it is asked whether a profile was there before our POST.
_SKEW: Final = timedelta(minutes=10)
_DIGITS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TYPES: Final = {
    ("iOS", Kind.IN_HOUSE): "IOS_APP_INHOUSE",
    ("iOS", Kind.AD_HOC): "IOS_APP_ADHOC",
    ("iOS", Kind.DEVELOPMENT): "IOS_APP_DEVELOPMENT",
    ("tvOS", Kind.IN_HOUSE): "TVOS_APP_INHOUSE",
    ("tvOS", Kind.AD_HOC): "TVOS_APP_ADHOC",
    ("tvOS", Kind.DEVELOPMENT): "TVOS_APP_DEVELOPMENT",
    ("macOS", Kind.DEVELOPMENT): "MAC_APP_DEVELOPMENT",
    ("macOS", Kind.DEVELOPER_ID): "MAC_APP_DIRECT",
}


class CannotCreate(Exception):  # noqa: N818 (says what happened)
    """Something that somebody has to put right first; `kind` as in ErrorKind, or "content" and "devices"."""

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Later:
    """Nothing went wrong, but it is not time yet."""

    reason: str
    after: timedelta


def create(renewal: Renewal, client: Client, *, now: datetime, timing: Timing) -> AppleProfile | Later:
    """One try: what Apple made or already has, with its content; or when to try again.

    Raises AppStoreConnectError and CannotCreate; UnreadableProfile when the old profile is no longer believed.
    """
    old = lineages.read(renewal.old_profile)
    bundle_id = find_bundle_id(client, old)
    certificates = find_certificates(client, old, now=now, timing=timing)
    listed = client.profiles_of_bundle_id(bundle_id.id)
    wanted_type = profile_type(renewal.lineage)
    if renewal.posted_at is None:
        by_hand = _made_by_hand(listed, old, wanted_type=wanted_type, now=now)
        if by_hand is not None:
            return by_hand
    found = _look(renewal, client, listed)
    if found is not None:
        if found.bundle_id_id in {None, bundle_id.id} and _is_ours(
            renewal, found, wanted_type=wanted_type, certificates=certificates, now=now
        ):
            return _with_content(renewal, client, found, timing=timing)
        return _rename(renewal, "Another profile has this name already; a new name was chosen", now=now)
    if renewal.posted_at is not None:
        not_yet = _count_empty_look(renewal, now=now, timing=timing)
        if not_yet is not None:
            return not_yet
        if renewal.error_kind == ErrorKind.NAME_TAKEN:
            return _rename(renewal, "Something hidden at Apple holds the name; a new name was chosen", now=now)
    device_ids = find_devices(client, renewal.lineage, old)
    return _post(
        renewal, client, bundle_id=bundle_id, certificates=certificates, device_ids=device_ids, now=now, timing=timing
    )


def _post(
    renewal: Renewal,
    client: Client,
    *,
    bundle_id: AppleBundleId,
    certificates: Sequence[AppleCertificate],
    device_ids: Sequence[str],
    now: datetime,
    timing: Timing,
) -> AppleProfile | Later:
    # Written before, and only while the renewal is still ours: whoever takes over sees that a POST may be under way.
    if not transitions.keep(renewal, posted_at=now, empty_looks=0, looked_at=None):
        return Later("Another worker has taken over", timedelta(0))
    made = client.create_profile(
        renewal.planned_name,
        profile_type(renewal.lineage),
        bundle_id=bundle_id.id,
        certificate_ids=[certificate.id for certificate in certificates],
        device_ids=device_ids,
    )
    return made if made.content else _with_content(renewal, client, made, timing=timing)


# --- looking -------------------------------------------------------------------------------------------------------------


def _look(renewal: Renewal, client: Client, listed: Iterable[AppleProfile]) -> AppleProfile | None:
    """What has our name: among all of the App ID, where expired ones show, else among all of the team."""
    named = [profile for profile in listed if profile.name == renewal.planned_name]
    if not named and renewal.posted_at is not None:
        named = client.profiles(name=renewal.planned_name)
    return max(named, key=lambda profile: (profile.created_at is not None, profile.created_at), default=None)


def _is_ours(
    renewal: Renewal,
    found: AppleProfile,
    *,
    wanted_type: str,
    certificates: Sequence[AppleCertificate],
    now: datetime,
) -> bool:
    """Whether a profile with our name is what our own POST made, or as good as that; validation judges it anyway."""
    if found.type != wanted_type or (found.expires_at is not None and found.expires_at <= now):
        return False
    if renewal.posted_at is not None:
        return found.created_at is None or found.created_at >= renewal.posted_at - _SKEW
    wanted = {certificate.id for certificate in certificates}
    return found.certificate_ids is not None and set(found.certificate_ids) == wanted


def _made_by_hand(
    listed: Iterable[AppleProfile], old: ProvisioningProfile, *, wanted_type: str, now: datetime
) -> AppleProfile | None:
    """A newer profile that somebody made in the portal and that replaces the old one without a difference."""
    newest = sorted(
        (one for one in listed if one.type == wanted_type and one.content and one.expires_at and one.created_at),
        key=lambda one: (one.expires_at, one.id),
        reverse=True,
    )
    for candidate in newest:
        if candidate.expires_at is None or candidate.expires_at <= old.effective_end:
            break
        try:
            file = read_provisioning_profile(candidate.content or b"", roots=lineages.roots())
        except MobileprovisionError:
            continue
        if not validation.is_refused(validation.compare(old, file, signing_sha256=frozenset(), now=now)):
            return candidate
    return None


def _with_content(renewal: Renewal, client: Client, found: AppleProfile, *, timing: Timing) -> AppleProfile | Later:
    """Apple lists a profile before its file is ready, or INVALID without one: ask for it a few times."""
    if found.content:
        return found
    whole = client.profile(found.id)
    if whole.content:
        return whole
    if renewal.attempts >= _PATIENCE:
        raise CannotCreate(
            "content",
            f"Apple made the profile {found.id} but gives no file for it (state {whole.state or 'unknown'}): "
            "look at it in Apple's portal.",
        )
    return Later("Apple has not made the profile's file yet", timing.retry_after(renewal.attempts + 1))


def _count_empty_look(renewal: Renewal, *, now: datetime, timing: Timing) -> Later | None:
    """None when two looks some time apart found nothing, so that the POST may be repeated."""
    if renewal.looked_at is not None and renewal.empty_looks >= 1:
        left = renewal.looked_at + timing.look_interval - now
        if left <= timedelta(0):
            return None
        return Later("Looking once more whether Apple made it after all", left)
    if not transitions.keep(renewal, empty_looks=1, looked_at=now):
        return Later("Another worker has taken over", timedelta(0))
    return Later("Looking once more whether Apple made it after all", timing.look_interval)


# --- names -----------------------------------------------------------------------------------------------------------------


def plan_name(renewal: Renewal, *, now: datetime) -> str:
    """A name that no renewal of ours had, in letters that Apple takes: "amdm 0001 com.example.pos 20270105"."""
    old = renewal.old_profile
    identifier = renewal.lineage.application_identifier.partition(".")[2] or old.name
    plain = re.sub(r"[^A-Za-z0-9 .\-_()]", "", identifier.replace("*", "Wildcard"))
    head, tail = f"amdm {_code(renewal.lineage_id)} ", f" {now:%Y%m%d}"
    # Room for a suffix: longer names make Apple fail with HTTP 500.
    name = f"{head}{plain[: _LONGEST_NAME - len(head) - len(tail) - 4].strip()}{tail}"
    used = set(Renewal.objects.filter(lineage=renewal.lineage_id).values_list("planned_name", flat=True))
    return name if name not in used else _with_suffix(name, used)


def _rename(renewal: Renewal, reason: str, *, now: datetime) -> Later:
    used = {renewal.planned_name}
    used |= set(Renewal.objects.filter(lineage=renewal.lineage_id).values_list("planned_name", flat=True))
    stem = re.sub(r"-\d{1,2}$", "", renewal.planned_name)
    fresh = {"planned_name": _with_suffix(stem, used), "posted_at": None, "empty_looks": 0, "looked_at": None}
    if transitions.keep(renewal, **fresh, error_kind=""):
        transitions.tell(renewal, f"{reason}: {renewal.planned_name}", now=now)
    return Later(reason, timedelta(0))


def _with_suffix(name: str, used: Collection[str]) -> str:
    return next(longer for number in range(2, 1000) if (longer := f"{name}-{number}") not in used)


def _code(number: int) -> str:
    digits = ""
    while number or len(digits) < 4:
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits


# --- what Apple knows --------------------------------------------------------------------------------------------------------


def profile_type(lineage: Lineage) -> str:
    """Apple's name for profiles of this kind and platform. Raises CannotCreate for kinds that its API does not make."""
    wanted = _TYPES.get((lineage.platform, Kind(lineage.kind)))
    if wanted is None:
        raise CannotCreate("bug", "Apple's API makes no profiles of this kind for this platform: upload the new file.")
    return wanted


def find_bundle_id(client: Client, old: ProvisioningProfile) -> AppleBundleId:
    """The App ID's resource. Raises CannotCreate when the team has none with this identifier and prefix."""
    found = client.bundle_ids(old.bundle_identifier)
    for candidate in sorted(found, key=lambda one: one.seed_id != old.prefix):
        if candidate.identifier == old.bundle_identifier and candidate.seed_id in {"", old.prefix}:
            return candidate
    raise CannotCreate(
        ErrorKind.APP_ID,
        f"The App ID {old.application_identifier} does not exist on this team: it was deleted or moved to another team.",
    )


def find_certificates(
    client: Client, old: ProvisioningProfile, *, now: datetime, timing: Timing
) -> list[AppleCertificate]:
    """The old profile's certificates that have not ended. Raises CannotCreate when a new profile would not help."""
    digests = {certificate.sha256 for certificate in old.certificates}
    serials = {certificate.serial_number.lstrip("0").upper() for certificate in old.certificates}
    usable = [
        one
        for one in client.certificates()
        if (_digest(one) in digests if one.content else one.serial_number.lstrip("0").upper() in serials)
        and (one.expires_at is None or one.expires_at > now)
    ]
    guide = "Make a new distribution certificate, sign the app again with it, and upload the new app."
    if not usable:
        sentence = f"The certificate that signed the app has expired or was revoked: no new profile helps. {guide}"
        raise CannotCreate(ErrorKind.CERTIFICATE, sentence)
    last = max((one.expires_at for one in usable if one.expires_at is not None), default=now + timing.lifetime)
    end = min(now + timing.lifetime, last)
    if end < old.effective_end + least_gain(created_at=old.created_at, ends=old.expires_at):
        sentence = (
            f"The certificate that signed the app ends on {last:%Y-%m-%d}: a new profile would hardly help. {guide}"
        )
        raise CannotCreate(ErrorKind.CERTIFICATE, sentence)
    return usable


def _digest(certificate: AppleCertificate) -> str:
    return hashlib.sha256(certificate.content).hexdigest()


def find_devices(client: Client, lineage: Lineage, old: ProvisioningProfile) -> list[str]:
    """Resource ids of the devices to list: those of the old profile and those assigned since, if Apple has them enabled."""
    if lineage.kind not in LISTED_KINDS:
        return []
    assigned = rollout.targets(lineage).exclude(device__udid=None).values_list("device__udid", flat=True)
    wanted = {plain_udid(udid) for udid in (*old.devices, *assigned) if udid}
    ids = [one.id for one in client.devices() if one.status == "ENABLED" and plain_udid(one.udid) in wanted]
    if not ids:
        raise CannotCreate("devices", "None of the devices that need the profile is registered and enabled at Apple.")
    return ids


def disabled_devices(client: Client) -> list[str]:
    """UDIDs that the team has disabled, which a new profile need not list."""
    return [one.udid for one in client.devices() if one.status != "ENABLED"]


__all__ = ["AppStoreConnectError", "CannotCreate", "Later", "create", "plan_name"]
