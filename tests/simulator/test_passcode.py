"""Passcode policies as iOS reads them."""

import pytest

from simulator.passcode import USER_ENROLLMENT_POLICY, PasscodePolicy, combine, is_simple, read_policy


def test_a_minimum_length_alone_requires_no_passcode() -> None:
    policy = read_policy({"minLength": 8})
    assert policy.is_satisfied_by(None)
    assert not policy.is_satisfied_by("1234567")


def test_force_pin_requires_one() -> None:
    policy = read_policy({"forcePIN": True})
    assert not policy.is_satisfied_by(None)
    assert policy.is_satisfied_by("1111")


@pytest.mark.parametrize(
    ("policy", "good", "bad"),
    [
        ({"allowSimple": False}, "1357", "1234"),
        ({"requireAlphanumeric": True}, "abc1", "1357"),
        ({"minComplexChars": 2}, "1#3!", "1#35"),
        ({"minLength": 6}, "135791", "13579"),
    ],
)
def test_each_key_is_checked(policy: dict[str, object], good: str, bad: str) -> None:
    assert read_policy(policy).is_satisfied_by(good)
    assert not read_policy(policy).is_satisfied_by(bad)


def test_the_strictest_of_all_policies_wins() -> None:
    both = combine([PasscodePolicy(min_length=4, force_pin=True), PasscodePolicy(min_length=8, allow_simple=False)])
    assert both == PasscodePolicy(min_length=8, force_pin=True, allow_simple=False)
    assert combine([]) == PasscodePolicy()


@pytest.mark.parametrize("alphanumeric", [True, False])
@pytest.mark.parametrize("length", [0, 4, 16])
@pytest.mark.parametrize("complex_chars", [0, 4])
def test_the_example_satisfies_its_policy(alphanumeric: bool, length: int, complex_chars: int) -> None:
    policy = PasscodePolicy(
        force_pin=True,
        allow_simple=False,
        require_alphanumeric=alphanumeric,
        min_length=length,
        min_complex_chars=complex_chars,
    )
    assert policy.is_satisfied_by(policy.example())
    assert USER_ENROLLMENT_POLICY.is_satisfied_by(policy.example())


def test_values_of_a_wrong_type_count_as_absent() -> None:
    assert read_policy({"forcePIN": "yes", "minLength": True, "allowSimple": 0, "minComplexChars": "2"}) == (
        PasscodePolicy()
    )


@pytest.mark.parametrize(("text", "simple"), [("1111", True), ("1234", True), ("dcba", True), ("1357", False)])
def test_simple_passcodes_repeat_or_count(text: str, simple: bool) -> None:
    assert is_simple(text) is simple
