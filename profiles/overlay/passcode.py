"""The overlay for the passcode policy (com.apple.mobiledevice.passwordpolicy)."""

from collections.abc import Iterator

from profiles.overlay.facts import Content, Group, Judged, PayloadOverlay, is_on, warning, worded

__all__ = ["OVERLAYS"]

_DEMANDS = ("minLength", "minComplexChars", "requireAlphanumeric", "allowSimple", "pinHistory", "maxPINAgeInDays")
_NEED_PASSCODE = ("minLength", "minComplexChars", "requireAlphanumeric")


def demands_need_a_passcode(content: Content) -> Iterator[Judged]:
    """A policy about the form of a passcode does not make anybody have one."""
    if is_on(content, "forcePIN"):
        return
    for key in _NEED_PASSCODE:
        if content.get(key):
            yield warning("is not enforced while nobody has to have a passcode: turn “Require a passcode” on.", key)


def complex_characters_fit_the_length(content: Content) -> Iterator[Judged]:
    """More complex characters than the whole passcode must have make it longer than it says."""
    length, special = content.get("minLength"), content.get("minComplexChars")
    if isinstance(length, int) and isinstance(special, int) and 0 < length < special:
        yield warning(
            f"asks for more characters ({special}) than the shortest passcode has ({length}).", "minComplexChars"
        )


def wiping_after_few_attempts(content: Content) -> Iterator[Judged]:
    """A child who plays with the device wipes it."""
    attempts = content.get("maxFailedAttempts")
    if isinstance(attempts, int) and not isinstance(attempts, bool) and 2 <= attempts < 4:
        yield warning(f"erases an iPhone or iPad after only {attempts} wrong passcodes.", "maxFailedAttempts")


def reset_needs_a_limit(content: Content) -> Iterator[Judged]:
    """Apple ties the pause to the number of attempts."""
    if "minutesUntilFailedLoginReset" in content and "maxFailedAttempts" not in content:
        yield warning("has an effect only together with a number of failed attempts.", "minutesUntilFailedLoginReset")


_POLICY = PayloadOverlay(
    groups=(
        Group("Passcode", ("forcePIN", *_DEMANDS, "customRegex")),
        Group("Locking", ("maxInactivity", "maxGracePeriod")),
        Group("Wrong passcodes", ("maxFailedAttempts", "minutesUntilFailedLoginReset", "changeAtNextAuth")),
    ),
    keys=worded({
        "forcePIN": ("Require a passcode", "Without this, the demands below count only once somebody sets a passcode."),
        "allowSimple": ("Allow simple passcodes", "Simple means repeated, rising or falling characters such as 1111 or 1234."),
        "requireAlphanumeric": ("Require a letter", "At least one letter, not digits alone."),
        "minLength": ("Minimum length", "Number of characters. Six digits is what iPhones ask for by themselves."),
        "minComplexChars": ("Minimum special characters", "Characters that are neither letters nor digits, such as & or %."),
        "maxPINAgeInDays": ("Must be changed after", "Days until a new passcode is demanded."),
        "pinHistory": ("Passcodes not to be used again", "How many earlier passcodes a new one must differ from."),
        "maxInactivity": ("Lock after", "Minutes without use until the device locks. Users can choose a shorter time."),
        "maxGracePeriod": ("Unlock without passcode within", "Minutes after locking in which no passcode is asked. 0 asks at once."),
        "maxFailedAttempts": ("Wrong passcodes allowed", "After that an iPhone or iPad erases itself, and a Mac locks the account."),
        "minutesUntilFailedLoginReset": ("Minutes until a locked account opens again", "For Macs; needs a number of wrong passcodes."),
        "changeAtNextAuth": ("Change the password at the next login", "For Macs. In a device profile it meets every user, also administrators."),
        "customRegex": ("Custom pattern", "For Macs from version 14: a pattern that the password must match. A wrong one locks people out."),
        "customRegex.passwordContentRegex": ("Pattern", "A regular expression in ICU syntax, at most 2,048 characters."),
        "customRegex.passwordContentDescription": ("What the pattern asks for", "A sentence per language (en, de ...); “default” for all others."),
    }),
    rules=(
        demands_need_a_passcode,
        complex_characters_fit_the_length,
        wiping_after_few_attempts,
        reset_needs_a_limit,
    ),
)  # fmt: skip

OVERLAYS = {"com.apple.mobiledevice.passwordpolicy": _POLICY}
