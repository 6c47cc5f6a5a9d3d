"""The pairing of a restriction with a capability: which payload stands in which profile, and what users read about it.

After Apple's "Installing Profiles on Devices": the requirement says what follows, the capability what it needs. Whether
a platform can prove a requirement is judged by `devices.compliance`; nothing is read from the database here.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from devices.compliance import Check, provable
from devices.models import Platform
from profiles import overlay
from profiles.models import Bundle, DeliveryRule, Part, Role
from profiles.planning import PASSCODE_TYPE
from protocol.errors import PlistError
from protocol.identity import EnrollmentKind
from protocol.plist import PlistValue, loads_dict

__all__ = ["Described", "Drafted", "asked", "given", "listed", "parts", "provability", "texts"]

NAME_LENGTH = 100
DESCRIPTION_LENGTH = 1000
# A requirement's own sentence is its name as long as a settings app shows it whole.
_SHORT = 60
_MOST_GIVEN = 3
_MOST_ASKED = 4
# They carry what another payload uses; nobody gets anything from them alone.
_SUPPORTING = (
    "com.apple.security.root", "com.apple.security.pem", "com.apple.security.pkcs", "com.apple.security.scep",
    "com.apple.security.acme", "com.apple.ADCertificate.",
)  # fmt: skip
_PLATFORMS: tuple[tuple[str, Platform, EnrollmentKind], ...] = (
    ("iPhone and iPad", Platform.IOS, EnrollmentKind.DEVICE),
    ("Mac", Platform.MACOS, EnrollmentKind.DEVICE),
    ("Apple Vision Pro", Platform.VISIONOS, EnrollmentKind.DEVICE),
    ("Apple Watch", Platform.WATCHOS, EnrollmentKind.DEVICE),
    ("Apple TV", Platform.TVOS, EnrollmentKind.DEVICE),
    ("User Enrollment", Platform.IOS, EnrollmentKind.USER_ENROLLMENT),
)


class HasRole(Protocol):
    """Anything that stands in a bundle with a role."""

    @property
    def role(self) -> str: ...


class Described(HasRole, Protocol):
    """A payload as a row or as a draft's value: the content is a plist, or the bytes of one."""

    @property
    def name(self) -> str: ...
    @property
    def payload_type(self) -> str: ...
    @property
    def variant(self) -> str: ...
    @property
    def content(self) -> bytes | Mapping[str, PlistValue]: ...


class Drafted(Protocol):
    """A draft as a value (`profiles.drafts.Draft`)."""

    @property
    def settings(self) -> Mapping[str, str | int | bool]: ...
    @property
    def payloads(self) -> Sequence[Described]: ...


_Row = TypeVar("_Row", bound=HasRole)


def parts(rule: str, payloads: Sequence[_Row]) -> dict[Part, list[_Row]]:
    """Which payloads stand in which profile. A bundle that lacks requirements or capabilities makes one profile."""
    capabilities = [payload for payload in payloads if payload.role == Role.CAPABILITY]
    has_requirement = any(payload.role == Role.REQUIREMENT for payload in payloads)
    if rule == DeliveryRule.TOGETHER or not capabilities or not has_requirement:
        return {Part.WHOLE: list(payloads)}
    first = [payload for payload in payloads if payload.role != Role.CAPABILITY]
    return {Part.REQUIREMENT: first, Part.CAPABILITY: capabilities}


def texts(bundle: Bundle, payloads: Sequence[Described]) -> dict[Part, tuple[str, str]]:
    """Name and description of each profile of these payloads, for the device's user; what people wrote wins."""
    chosen = parts(bundle.delivery_rule, payloads)
    asks, gives = asked(payloads), given(payloads)
    if Part.WHOLE in chosen:
        return {Part.WHOLE: _bounded(bundle.name, bundle.description or _whole(asks, gives))}
    return {
        Part.REQUIREMENT: _bounded(
            bundle.requirement_name or _requirement_name(bundle.name, asks, gives),
            bundle.requirement_description or _requirement(asks, gives),
        ),
        Part.CAPABILITY: _bounded(
            bundle.capability_name or (gives if len(gives) <= _SHORT else bundle.name),
            bundle.capability_description or _capability(asks, withdraws=bundle.withdraw_on_regression),
        ),
    }


def asked(payloads: Iterable[Described]) -> list[str]:
    """What the requirements ask of the user, each as a demand: "set a passcode of at least 6 characters"."""
    demands: list[str] = []
    for payload in payloads:
        if payload.role == Role.REQUIREMENT:
            demands += [demand for demand in _demands(payload) if demand not in demands]
    return demands


def given(payloads: Iterable[Described]) -> str:
    """What the capabilities give, by name: "Corporate VPN and Office Wi-Fi"; empty when there are none."""
    capabilities = [payload for payload in payloads if payload.role == Role.CAPABILITY]
    main = [payload for payload in capabilities if not payload.payload_type.startswith(_SUPPORTING)]
    names = list(dict.fromkeys(_title(payload) for payload in main or capabilities))
    return listed(names, most=_MOST_GIVEN)


def provability(draft: Drafted) -> list[tuple[str, str]]:
    """For each platform whether devices can prove the requirement; empty when nothing waits for a proof."""
    if Part.CAPABILITY not in parts(str(draft.settings.get("delivery_rule", "")), draft.payloads):
        return []
    types = {payload.payload_type for payload in draft.payloads if payload.role == Role.REQUIREMENT}
    checks = {Check.PROFILE, Check.PASSCODE} if PASSCODE_TYPE in types else {Check.PROFILE}
    found = []
    for word, platform, kind in _PLATFORMS:
        reasons = provable(checks, platform, kind)
        how = "the installed profile and the passcode" if Check.PASSCODE in checks else "the installed profile"
        sentence = (
            f"Cannot prove it: {'; '.join(reasons)}. The capability stays away." if reasons else f"Reports {how}."
        )
        found.append((word, sentence))
    return found


def _demands(payload: Described) -> list[str]:
    content = _content(payload)
    if payload.payload_type == PASSCODE_TYPE:
        return _passcode(content)
    if payload.payload_type == "com.apple.MCX.FileVault2":
        return ["turn on FileVault disk encryption"] if content.get("Enable") != "Off" else []
    if payload.payload_type == "com.apple.security.firewall":
        return ["keep the firewall on"] if content.get("EnableFirewall") is True else ["accept firewall settings"]
    if payload.payload_type.startswith("com.apple.applicationaccess"):
        return ["accept the restrictions"]
    return [f"accept {_title(payload)}"]


def _passcode(content: Mapping[str, PlistValue]) -> list[str]:
    length, special = _number(content, "minLength"), _number(content, "minComplexChars")
    details = []
    if length > 1:
        details.append(f"of at least {length} characters")
    kinds = ["a letter"] if content.get("requireAlphanumeric") is True else []
    kinds += [f"{special} special character{'' if special == 1 else 's'}"] if special else []
    if kinds:
        details.append(f"with {listed(kinds, most=2)}")
    verb = "set a passcode" if content.get("forcePIN") is True else "set a passcode, if any,"
    demands = [" ".join([verb, *details]).rstrip(",")] if details or content.get("forcePIN") is True else []
    days, minutes = _number(content, "maxPINAgeInDays"), _number(content, "maxInactivity")
    if days:
        demands.append("change it every day" if days == 1 else f"change it every {days} days")
    if minutes:
        demands.append(f"let the screen lock after {minutes} minute{'' if minutes == 1 else 's'}")
    return demands or ["accept the passcode policy"]


def _requirement_name(bundle_name: str, asks: Sequence[str], gives: str) -> str:
    for sentence in (f"{_sentence(asks[:1])} to get {gives}", _sentence(asks[:1])):
        if asks and len(sentence) <= _SHORT:
            return sentence
    return f"{bundle_name[: NAME_LENGTH - 14]} (requirement)"


def _requirement(asks: Sequence[str], gives: str) -> str:
    if not asks:
        return f"Once this is installed you get {gives}."
    return f"{_sentence(asks)} to get {gives}. It arrives by itself once your device has confirmed this."


def _capability(asks: Sequence[str], *, withdraws: bool) -> str:
    needs = f"You have this because your device meets what was asked: {_sentence(asks, lower=True)}." if asks else ""
    lost = "It goes away while your device does not meet that, and comes back afterwards." if withdraws and asks else ""
    return " ".join(filter(None, [needs, lost])) or "You have this because your device is managed."


def _whole(asks: Sequence[str], gives: str) -> str:
    if asks and gives:
        return f"{_sentence(asks)}: it comes with {gives}."
    return f"{_sentence(asks)}." if asks else f"Gives you {gives}." if gives else ""


def _sentence(asks: Sequence[str], *, lower: bool = False) -> str:
    text = listed(asks, most=_MOST_ASKED)
    return text if lower else text[:1].upper() + text[1:]


def _title(payload: Described) -> str:
    name = payload.name.strip()
    return name if name and name != payload.payload_type else overlay.title_of(payload.variant or payload.payload_type)


def _content(payload: Described) -> Mapping[str, PlistValue]:
    if isinstance(payload.content, Mapping):
        return payload.content
    try:
        return loads_dict(bytes(payload.content))
    except PlistError:
        return {}


def _number(content: Mapping[str, PlistValue], key: str) -> int:
    """A positive number of at most four digits; 0 for anything else."""
    value = content.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10_000 else 0


def listed(names: Sequence[str], *, most: int = 4) -> str:
    """ "A", "A and B", "A, B and 5 more"."""
    shown = list(names) if len(names) <= most else [*names[: most - 1], f"{len(names) - most + 1} more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _bounded(name: str, description: str) -> tuple[str, str]:
    return _cut(name, NAME_LENGTH), _cut(description, DESCRIPTION_LENGTH)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"
