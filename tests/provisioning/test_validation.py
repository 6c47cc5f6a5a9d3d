"""What stands against a new profile: everything that would stop an app, in words, without naming devices."""

from datetime import timedelta

import pytest

from provisioning.validation import Severity, compare, is_refused
from tests.protocol.provisioning_files import NOW, developer, in_house
from tests.provisioning.conftest import read

LATER = NOW + timedelta(days=320)
RIGHTS = {"aps-environment": "production", "com.apple.security.application-groups": ["group.a", "group.b"]}
UDIDS = [f"00008030-{number:016X}" for number in range(4)]


def pair(old=None, **new):
    return read(in_house(**(old or {}))), read(in_house(**{"now": LATER, **new}))


def found(old, new, *, signing=frozenset(), **more):
    return {
        finding.key: finding.severity
        for finding in compare(old, new, signing_sha256=frozenset(signing), now=LATER, **more)
    }


def test_a_plain_renewal_has_nothing_against_it():
    assert found(*pair()) == {}


def test_more_entitlements_platforms_and_devices_harm_nothing():
    old = {"platforms": ["iOS"], "entitlements": {}}
    assert found(*pair(old, entitlements=RIGHTS)) == dict.fromkeys(
        ["entitlement:aps-environment", "entitlement:com.apple.security.application-groups"], Severity.NOTE
    )


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"team": "ZZ99ZZ99ZZ", "prefix": "AB12CD34EF"}, "team"),
        ({"prefix": "ZZ99ZZ99ZZ"}, "prefix"),
        ({"bundle_identifier": "com.example.other"}, "application_identifier"),
        ({"bundle_identifier": "com.example.*"}, "application_identifier"),
        ({"kind": "app_store"}, "kind"),
        ({"kind": "ad_hoc", "devices": UDIDS}, "kind"),
        ({"platforms": ["tvOS"]}, "platforms"),
        ({"certificates": [developer("Other Ltd")]}, "certificates"),
        ({"days": 60}, "expires"),
        ({"der_form": False}, "der_form"),
        ({"entitlements": {}}, "entitlement:aps-environment"),
        ({"entitlements": {**RIGHTS, "aps-environment": "development"}}, "entitlement:aps-environment"),
        (
            {"entitlements": {**RIGHTS, "com.apple.security.application-groups": ["group.b", "group.c"]}},
            "entitlement:com.apple.security.application-groups",
        ),
    ],
)
def test_what_would_stop_the_app_is_an_error(change, key):
    old, new = pair({"entitlements": RIGHTS}, **{"entitlements": RIGHTS, **change})
    findings = compare(old, new, signing_sha256=frozenset(), now=LATER)
    assert is_refused(findings)
    assert key in {finding.key for finding in findings if finding.severity is Severity.ERROR}
    assert findings[0].severity is Severity.ERROR, "errors come first"


def test_the_order_of_a_list_means_nothing():
    turned = {**RIGHTS, "com.apple.security.application-groups": ["group.b", "group.a"]}
    assert found(*pair({"entitlements": RIGHTS}, entitlements=turned)) == {}


def test_the_same_file_is_no_renewal():
    old = read(in_house(uuid="ABCDEF"))
    assert found(old, read(in_house(uuid="abcdef", now=LATER)))["uuid"] is Severity.ERROR


def test_the_certificate_that_signed_the_app_decides():
    first, second = developer(), developer("Second Ltd")
    signed_by = {one: read(in_house(certificates=[one])).certificates[0].sha256 for one in (first, second)}
    old, new = pair({"certificates": [first, second]}, certificates=[second])
    assert found(old, new, signing={signed_by[first]})["certificates"] is Severity.ERROR
    assert "certificates" not in found(old, new, signing={signed_by[second]})
    assert found(old, new)["certificates"] is Severity.ERROR, "nobody knows which of them signed"


def test_a_certificate_that_ends_soon_is_told():
    short = developer("Short Ltd", days=340)
    findings = found(*pair({"certificates": [short, developer()]}, certificates=[short, developer()]))
    assert findings == {"certificate_end": Severity.WARNING}


def test_missing_devices_are_an_error_unless_apple_disabled_them_and_are_never_named():
    kind = {"kind": "ad_hoc"}
    old, new = pair({**kind, "devices": UDIDS}, **kind, devices=UDIDS[:3])
    assert found(old, new)["devices"] is Severity.ERROR
    plain = UDIDS[3].replace("-", "").lower()
    assert found(old, new, dismissed=[plain])["devices"] is Severity.WARNING
    for finding in compare(old, new, signing_sha256=frozenset(), now=LATER):
        assert not any(udid in finding.sentence for udid in UDIDS)
