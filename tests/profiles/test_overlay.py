"""What we say about payloads, held against the packaged catalogue: nothing may speak of a key that is not there."""

import re
from collections.abc import Iterator, Sequence

import pytest

from profiles import overlay
from profiles.overlay.marks import REFERENCES, SECRETS
from profiles.overlay.names import derived
from profiles.overlay.payloads import NETWORK, SUMMARIES, TOPICS
from protocol.schema import Catalogue, KeyFacts, packaged

VARIANTS = sorted(packaged().payloads)


def _walk(keys: Sequence[KeyFacts], path: tuple[str, ...] = ()) -> Iterator[tuple[str, KeyFacts]]:
    for key in keys:
        # Two of Apple's files contain themselves; a second turn says nothing new.
        if key.name in path and key.type in ("array", "dictionary"):
            continue
        yield ".".join((*path, key.name)), key
        yield from _walk(key.subkeys, (*path, key.name))


def _paths(variant: str) -> dict[str, KeyFacts]:
    return dict(_walk(packaged().payloads[variant].keys))


def test_every_payload_has_a_title_a_summary_and_a_known_section() -> None:
    assert set(SUMMARIES) == set(VARIANTS)
    for variant, (topic, title, summary) in SUMMARIES.items():
        assert topic in TOPICS, variant
        assert title, variant
        assert summary.endswith("."), variant
    titles = [title for _, title, _ in SUMMARIES.values()]
    assert len(set(titles)) == len(titles)


def test_payloads_that_can_cut_a_device_off_exist() -> None:
    assert set(VARIANTS) >= NETWORK
    assert overlay.of("com.apple.wifi.managed").network
    assert not overlay.of("com.apple.dock").network


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("allowAirDrop", "Allow AirDrop"),
        ("SSID_STR", "SSID"),
        ("PayloadCertificateUUID", "Certificate"),
        ("allowiPhoneMirroring", "Allow iPhone mirroring"),
        ("SMIMESigningCertificateUUID", "S/MIME signing certificate"),
        ("DeviceCACertificateUUIDsItem", "Device CA certificate"),
        ("com.apple.autologout.AutoLogOutDelay", "Auto log out delay"),
        ("DisableAssociationMACRandomization", "Disable association MAC randomization"),
        ("iChat.menu", "iChat menu"),
        ("Key Type", "Key type"),
        ("VPNUUID", "VPN"),
        ("ANY", "Any key"),
        ("", ""),
        ("_", "_"),
    ],
)
def test_a_label_is_made_from_a_keys_name(name: str, expected: str) -> None:
    assert derived(name) == expected


def test_every_key_of_every_payload_has_a_label() -> None:
    for variant in VARIANTS:
        for path in _paths(variant):
            assert overlay.label(variant, path, packaged()).strip(), (variant, path)


def test_apples_title_stands_before_a_made_one_and_after_ours() -> None:
    texts = {
        "com.apple.font:Name": ("Typeface", "Apple's words."),
        "com.apple.font:Font": ("Font", ""),
        "com.apple.dock:tilesize": ("tilesize", ""),
    }
    catalogue = Catalogue(_content(), texts=texts)
    assert overlay.label("com.apple.font", "Name", catalogue) == "Typeface"
    assert overlay.help_of("com.apple.font", "Name", catalogue) == "Apple's words."
    assert overlay.label("com.apple.font", "Name", packaged()) == "Name"
    assert overlay.help_of("com.apple.font", "Name", packaged()) == ""


def _content() -> dict[str, object]:
    return {"payloads": {}, "declarations": {}, "commands": {}, "checkins": {}, "common": {"platforms": {}}}


def test_an_unknown_payload_type_has_no_overlay_and_its_own_name() -> None:
    assert overlay.title_of("com.example.unknown") == "com.example.unknown"
    assert overlay.of("com.example.unknown").topic == "Other"
    assert overlay.label("com.example.unknown", "someKey", packaged()) == "Some key"
    assert not overlay.visible("com.example.unknown", {}).hides(("a", 0, "b"))
    assert overlay.judge("com.example.unknown", {}) == []


# Names that look like secrets and are none: switches, rules about passwords, and identifiers.
HARMLESS = {
    "com.apple.domains": {"SafariPasswordAutoFillDomains.SafariPasswordAutoFillDomainsItem"},
    "com.apple.eas.account": {"OAuthTokenRequestURL"},
    "com.apple.extensiblesso(kerberos)": {
        "ExtensionData.pwReqText", "ExtensionData.pwReqRTFData", "ExtensionData.pwChangeURL",
    },
    "com.apple.mobiledevice.passwordpolicy": {
        "customRegex.passwordContentRegex", "customRegex.passwordContentDescription.ANY",
    },
    # A name people look the escrowed key up by.
    "com.apple.security.FDERecoveryKeyEscrow": {"DeviceKey"},
    # "Prompt": a word for how the password is asked for.
    "com.apple.vpn.managed": {"IPSec.XAuthPasswordEncryption", "IKEv2.PPKIdentifier"},
    # RSA or not.
    "com.apple.security.scep": {"PayloadContent.Key Type"},
    "com.apple.security.acme": {"KeyType"},
    # The public keys of relays.
    "com.apple.relay.managed": {"Relays.Relay.RawPublicKeys.RawPublicKeysElement"},
}  # fmt: skip
_LOOKS_SECRET = re.compile(
    r"passw|secret|passphrase|challenge|token|psk|ppk|credential(?!s?Source|UseMode|BundleId)|^pw|key", re.I
)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_key_that_looks_like_a_secret_is_marked_or_known_to_be_harmless(variant: str) -> None:
    suspects = {
        path
        for path, key in _paths(variant).items()
        if key.type in ("string", "data") and _LOOKS_SECRET.search(path.removesuffix(".ANY").rsplit(".", 1)[-1])
    }
    assert suspects - HARMLESS.get(variant, set()) <= overlay.secret_paths(variant)


def test_no_harmless_key_is_marked_as_a_secret() -> None:
    for variant, paths in HARMLESS.items():
        assert not paths & overlay.secret_paths(variant)


@pytest.mark.parametrize("variant", sorted(SECRETS))
def test_secret_marks_stand_at_text_or_data(variant: str) -> None:
    known = _paths(variant)
    for path in overlay.secret_paths(variant):
        assert known[path].type in ("string", "data"), path
        assert overlay.of(variant).keys[path].secret


# Identifiers of their own, which apps or servers repeat; no payload is named by them.
NO_REFERENCE = {
    "com.apple.dnsProxy.managed": {"DNSProxyUUID"},
    "com.apple.education": {"OrganizationUUID"},
    "com.apple.relay.managed": {"RelayUUID"},
    "com.apple.vpn.managed.applayer": {"VPNUUID", "CellularSliceUUID"},
    "com.apple.webcontent-filter": {"ContentFilterUUID"},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_key_that_names_a_uuid_is_a_reference_or_known_to_be_none(variant: str) -> None:
    suspects = {
        path
        for path, key in _paths(variant).items()
        if key.type == "string" and re.search(r"UUID|Anchor|TrustedCertificates", path.rsplit(".", 1)[-1])
    }
    assert suspects - NO_REFERENCE.get(variant, set()) <= set(overlay.references(variant))


@pytest.mark.parametrize("variant", sorted(REFERENCES))
def test_references_stand_at_text_and_name_known_payload_types(variant: str) -> None:
    types = {facts.payload_type for facts in packaged().payloads.values()}
    for path, named in overlay.references(variant).items():
        assert _paths(variant)[path].type == "string", path
        assert named, path
        assert set(named) <= types, path


def test_accounts_name_a_per_app_vpn_by_its_own_identifier() -> None:
    assert overlay.of("com.apple.mail.managed").keys["VPNUUID"].reference_key == "VPNUUID"
    assert overlay.of("com.apple.wifi.managed").keys["PayloadCertificateUUID"].reference_key == "PayloadUUID"


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_overlay_speaks_of_keys_and_values_that_exist(variant: str) -> None:
    known = _paths(variant)
    for path, key in overlay.of(variant).keys.items():
        assert path in known, path
        listed = set(known[path].values)
        assert set(key.values) <= listed, path
        # A value without a title is shown as it is: fine for a few, an oversight for most of a list.
        assert all(title.strip() for title in key.values.values()), path


@pytest.mark.parametrize("variant", VARIANTS)
def test_groups_name_existing_keys_once(variant: str) -> None:
    named = [name for group in overlay.of(variant).groups for name in group.keys]
    assert len(set(named)) == len(named)
    assert set(named) <= {key.name for key in packaged().payloads[variant].keys}


def _controlling_key(path: str, key: str, *, known: dict[str, KeyFacts]) -> KeyFacts:
    parent = path.rpartition(".")[0]
    return known[key[1:] if key.startswith("/") else f"{parent}.{key}" if parent else key]


@pytest.mark.parametrize("variant", VARIANTS)
def test_conditions_name_keys_and_values_that_exist(variant: str) -> None:
    known = _paths(variant)
    for path, key in overlay.of(variant).keys.items():
        if key.shown_when is None:
            continue
        controlling = _controlling_key(path, key.shown_when.key, known=known)
        listed = controlling.item.values if controlling.item is not None else controlling.values
        if controlling.type == "boolean":
            listed = (0, 1)
        if listed:
            assert set(key.shown_when.values) <= set(listed), path
        # What holds while the key is not set follows from what the system then takes.
        if key.shown_when.values:
            assert key.shown_when.unset == (controlling.default in key.shown_when.values), path


def test_every_restriction_is_in_exactly_one_group() -> None:
    named = [name for group in overlay.of("com.apple.applicationaccess").groups for name in group.keys]
    assert sorted(named) == sorted(key.name for key in packaged().payloads["com.apple.applicationaccess"].keys)


@pytest.mark.parametrize("variant", [variant for variant in VARIANTS if overlay.of(variant).groups])
def test_where_there_are_groups_every_key_is_in_one(variant: str) -> None:
    named = {name for group in overlay.of(variant).groups for name in group.keys}
    assert {key.name for key in packaged().payloads[variant].keys} <= named


def test_a_vpn_shows_only_what_its_kind_looks_at() -> None:
    visible = overlay.visible("com.apple.vpn.managed", {"VPNType": "IPSec", "IPSec": {"XAuthEnabled": 1}})
    assert not visible.hides(("IPSec",))
    assert not visible.hides(("IPSec", "SharedSecret"))
    assert visible.hides(("IPSec", "PayloadCertificateUUID"))
    assert visible.hides(("IKEv2",))
    assert visible.hides(("IKEv2", "RemoteAddress"))
    assert not visible.hides(("UserDefinedName",))
    assert not visible.hides(("of a newer release",))


def test_a_condition_looks_at_the_item_it_stands_in() -> None:
    rules = [
        {"Action": "Connect"},
        {"Action": "EvaluateConnection", "ActionParameters": [{"DomainAction": "NeverConnect"}]},
    ]
    content = {"VPNType": "IKEv2", "IKEv2": {"OnDemandEnabled": 1, "OnDemandRules": rules}}
    visible = overlay.visible("com.apple.vpn.managed", content)
    path = ("IKEv2", "OnDemandRules")
    assert visible.hides((*path, 0, "ActionParameters"))
    assert not visible.hides((*path, 1, "ActionParameters", 0, "Domains"))
    assert visible.hides((*path, 1, "ActionParameters", 0, "RequiredDNSServers"))
    assert visible.hides((*path, 7, "ActionParameters"))


def test_a_list_of_methods_shows_the_keys_of_each() -> None:
    content = {"EAPClientConfiguration": {"AcceptEAPTypes": [13, 21]}}
    visible = overlay.visible("com.apple.wifi.managed", content)
    assert not visible.hides(("EAPClientConfiguration", "TTLSInnerAuthentication"))
    assert visible.hides(("EAPClientConfiguration", "EAPFASTUsePAC"))
    assert visible.hides(("ProxyServer",))


def test_a_value_known_only_on_the_device_hides_nothing() -> None:
    visible = overlay.visible("com.apple.vpn.managed", {"VPNType": "{{ device.model }}"})
    assert not visible.hides(("IKEv2",))


def test_a_condition_can_look_at_the_payloads_top() -> None:
    condition = overlay.Condition("/IKEv2.AuthenticationMethod", ("Certificate",))
    assert condition.holds({}, {"IKEv2": {"AuthenticationMethod": "Certificate"}})
    assert not condition.holds({"AuthenticationMethod": "Certificate"}, {"IKEv2": {}})


def test_either_of_two_forms_of_a_permission_makes_the_other_needless() -> None:
    content = {"Services": {"Photos": [{"Authorization": "Allow"}, {}]}}
    visible = overlay.visible("com.apple.TCC.configuration-profile-policy", content)
    assert visible.hides(("Services", "Photos", 0, "Allowed"))
    assert not visible.hides(("Services", "Photos", 1, "Allowed"))


def test_values_are_shown_by_our_titles_else_as_they_are() -> None:
    eap = overlay.value_titles("com.apple.wifi.managed", "EAPClientConfiguration.AcceptEAPTypes.EAPType", (13, 25))
    assert eap == {13: "TLS (certificate)", 25: "PEAP"}
    assert overlay.value_titles("com.apple.vpn.managed", "IKEv2.EnablePFS", (0, 1)) == {0: "No", 1: "Yes"}
    assert overlay.value_titles("com.apple.dock", "orientation", ("left",)) == {"left": "left"}


def test_our_title_stands_before_apples() -> None:
    catalogue = Catalogue(_content(), texts={"com.apple.mobiledevice.passwordpolicy:forcePIN": ("Other", "Other.")})
    assert overlay.label("com.apple.mobiledevice.passwordpolicy", "forcePIN", catalogue) == "Require a passcode"
    assert overlay.help_of("com.apple.mobiledevice.passwordpolicy", "forcePIN", catalogue) != "Other."


@pytest.mark.parametrize("variant", [variant for variant in VARIANTS if overlay.of(variant).groups])
def test_titles_tell_the_keys_beside_each_other_apart(variant: str) -> None:
    """Within one group or one dictionary no two keys are called the same."""
    groups = {name: group.title for group in overlay.of(variant).groups for name in group.keys}
    seen: dict[tuple[str, str], str] = {}
    for path in _paths(variant):
        parent, _, name = path.rpartition(".")
        place = (parent or groups.get(name, ""), overlay.label(variant, path, packaged()))
        assert place not in seen, (path, seen[place])
        seen[place] = path
