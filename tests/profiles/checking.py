"""What the tests of checks share: one look at a bundle, and findings by words."""

from datetime import datetime

from profiles.checks import Finding, Severity, check_bundle
from profiles.models import Bundle
from tests.profiles.fleet import PASSCODE, VPN, payload


def passcode(**settings: object) -> dict[str, object]:
    return payload(PASSCODE, "passcode", **{"forcePIN": True, "minLength": 6, **settings})


def vpn(name: str = "vpn", **settings: object) -> dict[str, object]:
    """An L2TP VPN that lacks nothing."""
    ppp = {"CommRemoteAddress": "vpn.example.com", "AuthName": "{{ user.name }}"}
    content = {
        "UserDefinedName": "Corporate VPN",
        "VPNType": "L2TP",
        "PPP": ppp,
        "IPSec": {"AuthenticationMethod": "SharedSecret"},
    }
    return payload(VPN, name, **{"PayloadDisplayName": "Corporate VPN", **content, **settings})


def errors(bundle: Bundle, now: datetime) -> list[Finding]:
    return [finding for finding in check_bundle(bundle, now=now) if finding.severity is Severity.ERROR]


def found(bundle: Bundle, words: str, *, now: datetime) -> Finding:
    """The one finding whose sentence holds these words."""
    findings = check_bundle(bundle, now=now)
    matching = [finding for finding in findings if words in finding.sentence]
    assert len(matching) == 1, [str(finding) for finding in findings]
    return matching[0]


def says(bundle: Bundle, words: str, *, now: datetime) -> bool:
    return any(words in finding.sentence for finding in check_bundle(bundle, now=now))
