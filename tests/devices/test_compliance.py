"""The judgement over what a device said, with the traps that its answers set."""

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from devices.compliance import (
    PASSCODE_FLAGS,
    Check,
    Facts,
    Judgement,
    ProfileListFact,
    Requirement,
    SecurityFact,
    judge,
    provable,
)
from devices.models import VerdictState

T0 = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
WANTED, OLDER, FOREIGN = "AAAA-1", "AAAA-0", "FFFF-9"
BOTH = frozenset({Check.PROFILE, Check.PASSCODE})
ALL_TRUE: dict[str, Any] = dict.fromkeys(PASSCODE_FLAGS, True)


def requirement(checks: frozenset[Check] = BOTH) -> Requirement:
    return Requirement(
        key="bundle:1",
        profile_identifier="com.example.passcode",
        profile_uuid=WANTED,
        known_uuids=frozenset({OLDER}),
        checks=checks,
    )


def listed(uuid: str | None = WANTED, asked_at: datetime = T0 + MINUTE) -> ProfileListFact:
    profiles = {"com.example.other": "X"} | ({"com.example.passcode": uuid} if uuid else {})
    return ProfileListFact(profiles, asked_at, asked_at + MINUTE)


def security(values: dict[str, Any] | None = None, asked_at: datetime = T0 + 3 * MINUTE) -> SecurityFact:
    return SecurityFact(ALL_TRUE if values is None else values, asked_at, asked_at + MINUTE)


def facts(**values: Any) -> Facts:
    """Installed at T0, proved two minutes later, asked for SecurityInfo after that; everything true."""
    defaults: dict[str, Any] = {
        "platform": "iOS",
        "kind": "device",
        "acknowledged_at": T0,
        "profile_list": listed(),
        "proved_at": T0 + 2 * MINUTE,
        "security": security(),
    }
    return Facts(**{**defaults, **values})


def state(**values: Any) -> VerdictState:
    return judge(requirement(), facts(**values)).state


def test_a_proved_policy_and_three_true_flags_asked_for_afterwards_are_compliant() -> None:
    assert judge(requirement(), facts()) == Judgement(VerdictState.COMPLIANT)


def test_true_flags_without_the_profile_are_not_believed() -> None:
    assert state(profile_list=None, proved_at=None) == VerdictState.UNKNOWN
    assert state(profile_list=listed(None), proved_at=None) == VerdictState.NOT_COMPLIANT
    assert state(profile_list=listed(None), proved_at=None, acknowledged_at=None) == VerdictState.UNKNOWN


def test_no_passcode_is_not_compliant_though_the_compliance_flags_are_true() -> None:
    judgement = judge(requirement(), facts(security=security({**ALL_TRUE, "PasscodePresent": False})))
    assert judgement == Judgement(VerdictState.NOT_COMPLIANT, ("no passcode is set",))


@pytest.mark.parametrize("flags", list(product([True, False], repeat=3)))
def test_every_flag_has_to_be_true(flags: tuple[bool, ...]) -> None:
    values = dict(zip(PASSCODE_FLAGS, flags, strict=True))
    judgement = judge(requirement(), facts(security=security(values)))
    assert (judgement.state == VerdictState.COMPLIANT) == all(flags)
    # "No passcode is set" says it all.
    assert len(judgement.reasons) == (flags.count(False) if flags[0] else 1)


@pytest.mark.parametrize("flag", PASSCODE_FLAGS)
@pytest.mark.parametrize("value", [None, 1, "true", b""])
def test_a_flag_that_is_missing_or_no_boolean_is_neither_yes_nor_no(flag: str, value: object) -> None:
    judgement = judge(requirement(), facts(security=security({**ALL_TRUE, flag: value})))
    assert judgement.state == VerdictState.UNKNOWN
    assert flag in judgement.reasons[0]


def test_an_answer_asked_for_before_the_proof_does_not_count_whatever_it_says() -> None:
    early = T0 + 2 * MINUTE - timedelta(microseconds=1)
    for values in (ALL_TRUE, {**ALL_TRUE, "PasscodePresent": False}):
        assert state(security=security(values, asked_at=early)) == VerdictState.UNKNOWN
    assert state(security=security(asked_at=T0 + 2 * MINUTE)) == VerdictState.COMPLIANT
    assert state(security=None) == VerdictState.UNKNOWN
    assert state(proved_at=None) == VerdictState.UNKNOWN


def test_a_list_asked_for_before_the_install_does_not_say_that_it_is_missing() -> None:
    for uuid in (None, FOREIGN):
        early = listed(uuid, asked_at=T0 - MINUTE)
        assert state(profile_list=early, proved_at=None) == VerdictState.UNKNOWN
        assert state(profile_list=listed(uuid), proved_at=None) == VerdictState.NOT_COMPLIANT


def test_an_older_revision_of_ours_means_that_the_update_is_on_its_way() -> None:
    judgement = judge(requirement(), facts(profile_list=listed(OLDER), proved_at=None))
    assert judgement.state == VerdictState.UNKNOWN
    assert "older revision" in judgement.reasons[0]


def test_the_case_of_a_uuid_does_not_matter() -> None:
    assert state(profile_list=listed(WANTED.lower())) == VerdictState.COMPLIANT


def test_a_requirement_without_passcode_needs_the_profile_only() -> None:
    only_profile = requirement(frozenset({Check.PROFILE}))
    assert judge(only_profile, facts(platform="macOS", security=None)).state == VerdictState.COMPLIANT
    assert judge(only_profile, facts(profile_list=listed(None), proved_at=None)).state == VerdictState.NOT_COMPLIANT


@pytest.mark.parametrize(
    ("platform", "kind"),
    [
        ("macOS", "device"),
        ("tvOS", "device"),
        ("iOS", "user_enrollment"),
        ("macOS", "user"),
        ("iPadOS", "shared_ipad_user"),
        ("", "user_enrollment"),
    ],
)
def test_what_cannot_report_a_passcode_is_unprovable_with_a_reason(platform: str, kind: str) -> None:
    judgement = judge(requirement(), facts(platform=platform, kind=kind))
    assert judgement.state == VerdictState.UNPROVABLE
    assert judgement.reasons == tuple(provable(BOTH, platform, kind)) != ()


@pytest.mark.parametrize("platform", ["iOS", "iPadOS", "watchOS", "visionOS", ""])
def test_what_can_report_a_passcode_or_is_not_known_yet_is_provable(platform: str) -> None:
    assert provable(BOTH, platform, "device") == []
