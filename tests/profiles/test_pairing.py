"""What users read about a requirement and its capability, and which platforms can prove it."""

from dataclasses import dataclass, field
from datetime import datetime

import pytest

from profiles import pairing
from profiles.models import Bundle, DeliveryRule, Part, Role
from protocol.plist import PlistValue, dumps
from tests.profiles.fleet import PASSCODE, VPN, WIFI


@dataclass
class Row:
    payload_type: str
    role: str
    name: str = ""
    variant: str = ""
    content: dict[str, PlistValue] | bytes = field(default_factory=dict)


@dataclass
class Draft:
    settings: dict[str, str | int | bool]
    payloads: list[Row]


def passcode(**content: PlistValue) -> Row:
    return Row(PASSCODE, Role.REQUIREMENT, "Passcode", content={"forcePIN": True, "minLength": 6, **content})


def vpn(name: str = "Corporate VPN") -> Row:
    return Row(VPN, Role.CAPABILITY, name, VPN)


def bundle(now: datetime, **columns: object) -> Bundle:
    return Bundle(name="VPN after passcode", identifier="com.example.b", created_at=now, **columns)


def test_the_requirement_says_what_follows(now: datetime) -> None:
    name, description = pairing.texts(bundle(now), [passcode(), vpn()])[Part.REQUIREMENT]
    assert name == "Set a passcode of at least 6 characters to get Corporate VPN"
    assert description.startswith("Set a passcode of at least 6 characters to get Corporate VPN. ")


def test_the_capability_says_what_it_needs(now: datetime) -> None:
    name, description = pairing.texts(bundle(now), [passcode(), vpn()])[Part.CAPABILITY]
    assert name == "Corporate VPN"
    assert "set a passcode of at least 6 characters" in description
    assert "goes away" in description
    kept = pairing.texts(bundle(now, withdraw_on_regression=False), [passcode(), vpn()])[Part.CAPABILITY][1]
    assert "goes away" not in kept


def test_one_profile_says_both(now: datetime) -> None:
    written = pairing.texts(bundle(now, delivery_rule=DeliveryRule.TOGETHER), [passcode(), vpn()])
    assert list(written) == [Part.WHOLE]
    assert "Set a passcode of at least 6 characters" in written[Part.WHOLE][1]
    assert "Corporate VPN" in written[Part.WHOLE][1]


def test_what_people_wrote_wins(now: datetime) -> None:
    own = bundle(now, requirement_name="First this", capability_description="Then that")
    written = pairing.texts(own, [passcode(), vpn()])
    assert written[Part.REQUIREMENT][0] == "First this"
    assert written[Part.CAPABILITY][1] == "Then that"


def test_rows_are_read_like_values(now: datetime) -> None:
    stored = Row(PASSCODE, Role.REQUIREMENT, content=dumps({"forcePIN": True, "minLength": 8}))
    assert "8 characters" in pairing.texts(bundle(now), [stored, vpn()])[Part.REQUIREMENT][1]


@pytest.mark.parametrize(
    ("content", "demand"),
    [
        ({"requireAlphanumeric": True}, "set a passcode of at least 6 characters with a letter"),
        ({"minComplexChars": 1}, "with 1 special character"),
        ({"maxPINAgeInDays": 90}, "change it every 90 days"),
        ({"maxInactivity": 5}, "let the screen lock after 5 minutes"),
        ({"forcePIN": False}, "set a passcode, if any, of at least 6 characters"),
        ({"minLength": "{{ x }}"}, "set a passcode"),
        ({"minLength": 2**63}, "set a passcode"),
    ],
)
def test_a_passcode_policy_is_told_in_plain_words(content: dict[str, PlistValue], demand: str) -> None:
    assert demand in "; ".join(pairing.asked([passcode(**content)]))


def test_certificates_are_not_what_somebody_gets() -> None:
    certificate = Row("com.apple.security.root", Role.CAPABILITY, "Root CA")
    assert pairing.given([certificate, vpn()]) == "Corporate VPN"
    assert pairing.given([certificate]) == "Root CA"


def test_a_capability_without_a_name_is_called_by_its_kind() -> None:
    assert pairing.given([Row(WIFI, Role.CAPABILITY, WIFI, WIFI)]) == "Wi-Fi"


def test_names_and_descriptions_are_bounded(now: datetime) -> None:
    rows = [*(Row(f"com.example.{n}", Role.REQUIREMENT, "n" * 255) for n in range(30)), vpn("v" * 255)]
    for name, description in pairing.texts(bundle(now), rows).values():
        assert 0 < len(name) <= pairing.NAME_LENGTH
        assert 0 < len(description) <= pairing.DESCRIPTION_LENGTH


def test_macs_and_user_enrollment_cannot_prove_a_passcode() -> None:
    rule: dict[str, str | int | bool] = {"delivery_rule": DeliveryRule.AFTER_COMPLIANCE}
    said = dict(pairing.provability(Draft(rule, [passcode(), vpn()])))
    assert said["iPhone and iPad"].startswith("Reports")
    assert said["Mac"].startswith("Cannot prove it")
    assert said["User Enrollment"].startswith("Cannot prove it")
    restrictions = Row("com.apple.applicationaccess", Role.REQUIREMENT)
    assert dict(pairing.provability(Draft(rule, [restrictions, vpn()])))["Mac"].startswith("Reports")


def test_nothing_is_to_be_proved_when_nothing_waits() -> None:
    together: dict[str, str | int | bool] = {"delivery_rule": DeliveryRule.TOGETHER}
    assert pairing.provability(Draft(together, [passcode(), vpn()])) == []
    assert pairing.provability(Draft({"delivery_rule": DeliveryRule.AFTER_COMPLIANCE}, [vpn()])) == []
