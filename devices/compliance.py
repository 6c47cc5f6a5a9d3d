"""Does an enrollment meet a requirement? A pure judgement over the device's last answers (architecture section 7).

After Apple's "Installing Profiles on Devices". No clock, no database: times come with the facts.
An absent answer is never a no, and the compliance flags alone are never a yes: they read true where no policy is installed.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from devices.models.device import Platform
from devices.models.facts import VerdictState
from protocol.identity import EnrollmentKind


class Check(StrEnum):
    """What a requirement can ask for: its profile in the device's list; a passcode that meets all policies."""

    PROFILE = "profile"
    PASSCODE = "passcode"


# SecurityInfo's words for it (mdm/commands/information.security.yaml); all three have to be true.
PASSCODE_FLAGS = ("PasscodePresent", "PasscodeCompliant", "PasscodeCompliantWithProfiles")
_FLAG_SAYS_NO = {
    "PasscodePresent": "no passcode is set",
    "PasscodeCompliant": "the passcode does not meet the policies on the device",
    "PasscodeCompliantWithProfiles": "the passcode does not meet the policies of installed profiles",
}
# tvOS reports the flags but knows no passcode policy; macOS has none of the flags.
_PASSCODE_PLATFORMS = frozenset({Platform.IOS, Platform.IPADOS, Platform.WATCHOS, Platform.VISIONOS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """What must hold. `known_uuids` are the PayloadUUIDs of older revisions of the same profile of ours.

    `checks` always contain PROFILE, said or not: without its profile nothing else means anything.
    """

    key: str
    profile_identifier: str
    profile_uuid: str
    known_uuids: frozenset[str] = frozenset()
    checks: frozenset[Check] = frozenset({Check.PROFILE})


@dataclass(frozen=True, slots=True)
class ProfileListFact:
    """The last ProfileList: PayloadIdentifier to PayloadUUID. `asked_at` is when its command was first handed out."""

    profiles: Mapping[str, str]
    asked_at: datetime
    reported_at: datetime


@dataclass(frozen=True, slots=True)
class SecurityFact:
    """The last SecurityInfo; its values under Apple's keys."""

    values: Mapping[str, object]
    asked_at: datetime
    reported_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of one enrollment. All times are aware UTC.

    `proved_at` is the first sight of the wanted UUID in a ProfileList (None: not seen, or no longer there);
    `acknowledged_at` is when the device acknowledged the install of the wanted profile.
    """

    platform: str
    kind: str
    profile_list: ProfileListFact | None = None
    proved_at: datetime | None = None
    acknowledged_at: datetime | None = None
    security: SecurityFact | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """The answer, and why, in sentences for IT staff."""

    state: VerdictState
    reasons: tuple[str, ...] = ()


def provable(checks: Collection[Check], platform: str, kind: str) -> list[str]:
    """Why a platform or enrollment kind can never prove these checks; empty when it can, or is not known yet."""
    if Check.PASSCODE not in checks:
        return []
    if kind in {EnrollmentKind.USER_ENROLLMENT, EnrollmentKind.USER_ENROLLMENT_USER}:
        return ["User Enrollment does not report whether a passcode is present"]
    if kind == EnrollmentKind.SHARED_IPAD_USER:
        return ["Shared iPad allows no passcode policy"]
    if kind == EnrollmentKind.USER:
        return ["only the device channel reports the passcode"]
    if platform and platform not in _PASSCODE_PLATFORMS:
        return [f"{platform} does not report passcode compliance"]
    return []


def judge(requirement: Requirement, facts: Facts) -> Judgement:
    """Compliant only when every check is proved by answers that were asked for late enough."""
    reasons = provable(requirement.checks, facts.platform, facts.kind)
    if reasons:
        return Judgement(VerdictState.UNPROVABLE, tuple(reasons))
    profile = _judge_profile(requirement, facts)
    if profile.state != VerdictState.COMPLIANT or Check.PASSCODE not in requirement.checks:
        return profile
    return _judge_passcode(facts)


def _judge_profile(requirement: Requirement, facts: Facts) -> Judgement:
    listed = facts.profile_list
    if listed is None:
        return _unknown("the device has not listed its profiles yet")
    found = listed.profiles.get(requirement.profile_identifier)
    if found is not None and _same(found, requirement.profile_uuid):
        return Judgement(VerdictState.COMPLIANT)
    if found is not None and any(_same(found, uuid) for uuid in requirement.known_uuids):
        return _unknown("an older revision of the requirement is installed; the update is on its way")
    return _judge_absence(listed, facts.acknowledged_at, another=found is not None)


def _judge_absence(listed: ProfileListFact, acknowledged_at: datetime | None, *, another: bool) -> Judgement:
    # A list that was asked for before the install says nothing about it: devices deliver old answers days later.
    if acknowledged_at is None:
        return _unknown("the requirement's profile is not installed yet")
    if listed.asked_at < acknowledged_at:
        return _unknown("the device has not listed its profiles since the requirement was installed")
    what = "another profile of the same identifier is" if another else "the requirement's profile is not"
    return Judgement(VerdictState.NOT_COMPLIANT, (f"{what} on the device",))


def _judge_passcode(facts: Facts) -> Judgement:
    security = facts.security
    if security is None:
        return _unknown("the device has not answered SecurityInfo yet")
    if facts.proved_at is None or security.asked_at < facts.proved_at:
        return _unknown("the device has not answered SecurityInfo since the requirement was proved to be installed")
    values = [security.values.get(flag) for flag in PASSCODE_FLAGS]
    # `is`: what is no boolean says nothing, and 1 is not true.
    reasons = [_FLAG_SAYS_NO[flag] for flag, value in zip(PASSCODE_FLAGS, values, strict=True) if value is False]
    if reasons:
        # Without a passcode the other two flags say nothing more to whoever reads why.
        reasons = reasons[:1] if values[0] is False else reasons
        return Judgement(VerdictState.NOT_COMPLIANT, tuple(reasons))
    missing = [flag for flag, value in zip(PASSCODE_FLAGS, values, strict=True) if value is not True]
    if missing:
        return _unknown(f"SecurityInfo did not say {' and '.join(missing)}")
    return Judgement(VerdictState.COMPLIANT)


def _same(one: str, other: str) -> bool:
    return one.upper() == other.upper()


def _unknown(reason: str) -> Judgement:
    return Judgement(VerdictState.UNKNOWN, (reason,))
