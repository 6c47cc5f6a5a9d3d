"""Passcode policies (com.apple.mobiledevice.passwordpolicy) and whether a passcode satisfies them.

All installed policies count together, the strictest wins. Ages, history and Apple's fixed hour of grace are left out:
the device does not report them. User Enrollment ignores every key and demands six characters that are not simple.
"""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

PAYLOAD_TYPE: Final = "com.apple.mobiledevice.passwordpolicy"


@dataclass(frozen=True, slots=True)
class PasscodePolicy:
    """The keys of one policy, with Apple's defaults: nothing is required."""

    force_pin: bool = False
    allow_simple: bool = True
    require_alphanumeric: bool = False
    min_length: int = 0
    min_complex_chars: int = 0

    def is_satisfied_by(self, passcode: str | None) -> bool:
        """Without forcePIN a device without any passcode is compliant, whatever the other keys ask for."""
        if passcode is None:
            return not self.force_pin
        letters_and_digits = any(c.isalpha() for c in passcode) and any(c.isdigit() for c in passcode)
        return (
            len(passcode) >= self.min_length
            and (self.allow_simple or not is_simple(passcode))
            and (not self.require_alphanumeric or letters_and_digits)
            and sum(not c.isalnum() for c in passcode) >= self.min_complex_chars
        )

    def example(self) -> str:
        """A passcode that satisfies the policy: what a patient user types."""
        start = ("a1" if self.require_alphanumeric else "28") + "#?!%"[: self.min_complex_chars]
        filler = "5193746082" * 2
        return start + filler[: max(6, self.min_length) - len(start)]


USER_ENROLLMENT_POLICY: Final = PasscodePolicy(force_pin=True, allow_simple=False, min_length=6)


def is_simple(passcode: str) -> bool:
    """Repeated (1111), ascending or descending (1234, dcba) characters."""
    steps = {ord(b) - ord(a) for a, b in itertools.pairwise(passcode)}
    return len(steps) <= 1 and steps <= {-1, 0, 1}


def read_policy(payload: Mapping[str, object]) -> PasscodePolicy:
    """The policy of one payload; a key of a wrong type counts as absent."""
    return PasscodePolicy(
        force_pin=payload.get("forcePIN") is True,
        allow_simple=payload.get("allowSimple") is not False,
        require_alphanumeric=payload.get("requireAlphanumeric") is True,
        min_length=_count(payload.get("minLength")),
        min_complex_chars=_count(payload.get("minComplexChars")),
    )


def combine(policies: Iterable[PasscodePolicy]) -> PasscodePolicy:
    """The strictest of all: what the device enforces. Nothing installed gives the default policy."""
    all_of_them = list(policies)
    return PasscodePolicy(
        force_pin=any(p.force_pin for p in all_of_them),
        allow_simple=all(p.allow_simple for p in all_of_them),
        require_alphanumeric=any(p.require_alphanumeric for p in all_of_them),
        min_length=max((p.min_length for p in all_of_them), default=0),
        min_complex_chars=max((p.min_complex_chars for p in all_of_them), default=0),
    )


def _count(value: object) -> int:
    return min(max(value, 0), 16) if isinstance(value, int) and not isinstance(value, bool) else 0
