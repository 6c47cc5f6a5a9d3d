"""Rules over several keys: each finds what it is for, leaves a sound payload alone, and survives anything."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiles import overlay
from protocol.schema import packaged

PASSCODE = "com.apple.mobiledevice.passwordpolicy"
WIFI = "com.apple.wifi.managed"
VPN = "com.apple.vpn.managed"
RESTRICTIONS = "com.apple.applicationaccess"
MAIL = "com.apple.mail.managed"
EAS = "com.apple.eas.account"
EWS = "com.apple.ews.account"
SCEP = "com.apple.security.scep"
ACME = "com.apple.security.acme"
PKCS12 = "com.apple.security.pkcs12"
FILTER = "com.apple.webcontent-filter"
PROXY = "com.apple.proxy.http.global"
CLIP = "com.apple.webClip.managed"
SSO = "com.apple.extensiblesso"
KERBEROS = "com.apple.extensiblesso(kerberos)"
ACCOUNT = "com.apple.sso"
FILEVAULT = "com.apple.MCX.FileVault2"
FILEVAULT_OPTIONS = "com.apple.MCX(FileVault2)"
FIREWALL = "com.apple.security.firewall"
LOGIN = "com.apple.loginwindow"
UPDATES = "com.apple.SoftwareUpdate"
TCC = "com.apple.TCC.configuration-profile-policy"
EXTENSIONS = "com.apple.system-extension-policy"

IKEV2 = {"RemoteAddress": "vpn.example.com", "AuthenticationMethod": "SharedSecret", "SharedSecret": "{{ secret.a }}"}
APP = {"Identifier": "com.example.app", "IdentifierType": "bundleID", "CodeRequirement": "anchor apple"}
RECEIVER = {
    "AEReceiverIdentifier": "com.example.other", "AEReceiverIdentifierType": "bundleID",
    "AEReceiverCodeRequirement": "anchor apple",
}  # fmt: skip
EAP_TRUST = {"TLSTrustedServerNames": ["radius.example.com"]}


def _judged(variant: str, content: Mapping[str, Any]) -> dict[str, str]:
    """Where something was found, and how bad it is."""
    return {problem.where: severity for severity, problem in overlay.judge(variant, content)}


def _vpn(kind: str = "IKEv2", **more: Any) -> dict[str, Any]:
    return {"VPNType": kind, "UserDefinedName": "Example", **more}


def _eap(*types: int, **more: Any) -> dict[str, Any]:
    return {"AcceptEAPTypes": list(types), **EAP_TRUST, **more}


def _wifi(**more: Any) -> dict[str, Any]:
    return {"SSID_STR": "Example", **more}


def _tcc(service: str = "Accessibility", **more: Any) -> dict[str, Any]:
    return {"Services": {service: [{**APP, **more}]}}


FOUND: list[tuple[str, dict[str, Any], str, str]] = [
    (PASSCODE, {"minLength": 6}, "minLength", "warning"),
    (PASSCODE, {"requireAlphanumeric": True, "forcePIN": False}, "requireAlphanumeric", "warning"),
    (PASSCODE, {"forcePIN": True, "minLength": 2, "minComplexChars": 4}, "minComplexChars", "warning"),
    (PASSCODE, {"forcePIN": True, "maxFailedAttempts": 3}, "maxFailedAttempts", "warning"),
    (PASSCODE, {"forcePIN": True, "minutesUntilFailedLoginReset": 5}, "minutesUntilFailedLoginReset", "warning"),
    (WIFI, {"EncryptionType": "None"}, "SSID_STR", "error"),
    (WIFI, _wifi(EncryptionType="None", Password="x"), "Password", "error"),
    (WIFI, _wifi(EncryptionType="WPA2"), "Password", "warning"),
    (WIFI, _wifi(EncryptionType="WPA2", PayloadCertificateUUID="u"), "EAPClientConfiguration", "error"),
    (WIFI, _wifi(EAPClientConfiguration=_eap(13)), "PayloadCertificateUUID", "error"),
    (WIFI, _wifi(EAPClientConfiguration=_eap(13, 25)), "PayloadCertificateUUID", "warning"),
    (WIFI, _wifi(EAPClientConfiguration={"AcceptEAPTypes": [25]}), "EAPClientConfiguration", "warning"),
    (WIFI, _wifi(EAPClientConfiguration=_eap(25, TLSMinimumVersion="1.3")), "EAPClientConfiguration.OuterIdentity", "error"),
    (WIFI, _wifi(ProxyType="Manual", ProxyServer="p"), "ProxyServerPort", "error"),
    (VPN, _vpn(), "IKEv2", "error"),
    (VPN, _vpn("L2TP", PPP={}), "IPSec", "error"),
    (VPN, _vpn("VPN", VPN={}), "VPNSubType", "error"),
    (VPN, _vpn(IKEv2={**IKEV2, "AuthenticationMethod": "Certificate"}), "IKEv2.PayloadCertificateUUID", "error"),
    (VPN, _vpn(IKEv2={**IKEV2, "SharedSecret": ""}), "IKEv2.SharedSecret", "warning"),
    (VPN, _vpn("IPSec", IPSec={"RemoteAddress": "a"}), "IPSec.SharedSecret", "warning"),
    (VPN, _vpn(IKEv2={"AuthenticationMethod": "None"}), "IKEv2.ExtendedAuthEnabled", "error"),
    (VPN, _vpn("AlwaysOn", AlwaysOn={}), "VPNType", "warning"),
    (VPN, _vpn(IKEv2={**IKEV2, "OnDemandEnabled": 1}), "IKEv2.OnDemandEnabled", "warning"),
    (VPN, _vpn(IKEv2=IKEV2, DNS={"DNSProtocol": "HTTPS"}), "DNS.ServerURL", "error"),
    (
        VPN,
        _vpn(IKEv2={**IKEV2, "IKESecurityAssociationParameters": {"DiffieHellmanGroup": 2}}),
        "IKEv2.IKESecurityAssociationParameters.DiffieHellmanGroup",
        "warning",
    ),
    (RESTRICTIONS, {"allowListedAppBundleIDs": ["a"], "blockedAppBundleIDs": ["a"]}, "allowListedAppBundleIDs", "error"),
    (RESTRICTIONS, {"enforcedSoftwareUpdateDelay": 30}, "enforcedSoftwareUpdateDelay", "warning"),
    (RESTRICTIONS, {"allowSafari": False, "safariAllowPopups": True}, "safariAllowPopups", "warning"),
    (RESTRICTIONS, {"allowUnmanagedToReadManagedContacts": True}, "allowUnmanagedToReadManagedContacts", "warning"),
    (RESTRICTIONS, {"forceWiFiToAllowedNetworksOnly": True}, "forceWiFiToAllowedNetworksOnly", "warning"),
    (MAIL, {"SMIMESigningEnabled": True}, "SMIMESigningCertificateUUID", "warning"),
    (MAIL, {"IncomingMailServerAuthentication": "EmailAuthPassword"}, "IncomingMailServerUseSSL", "warning"),
    (MAIL, {"OutgoingMailServerAuthentication": "EmailAuthNone", "OutgoingPassword": "x"}, "OutgoingPassword", "warning"),
    (EAS, {}, "SSL", "warning"),
    (EAS, {"SSL": True, "OAuth": True, "Password": "x"}, "Password", "error"),
    (EWS, {"OAuthSignInURL": "https://login.example.com"}, "OAuthSignInURL", "warning"),
    (SCEP, {"PayloadContent": {"Key Type": "EC", "Keysize": 2048}}, "PayloadContent.Key Type", "error"),
    (SCEP, {"PayloadContent": {"Challenge": "x"}}, "PayloadContent.Keysize", "warning"),
    (SCEP, {"PayloadContent": {"URL": "http://scep.example.com"}}, "PayloadContent.CAFingerprint", "warning"),
    (SCEP, {"PayloadContent": {"Keysize": 2048}}, "PayloadContent.Challenge", "warning"),
    (ACME, {"KeyType": "RSA", "HardwareBound": True, "KeySize": 2048}, "KeyType", "error"),
    (ACME, {"KeyType": "ECSECPrimeRandom", "HardwareBound": True, "KeySize": 521}, "KeySize", "error"),
    (ACME, {"KeyType": "RSA", "HardwareBound": False, "KeySize": 512}, "KeySize", "error"),
    (ACME, {"Attest": True, "HardwareBound": False}, "HardwareBound", "error"),
    (ACME, {"DirectoryURL": "http://acme.example.com"}, "DirectoryURL", "error"),
    (PKCS12, {"PayloadContent": b"x"}, "Password", "warning"),
    (FILTER, {"FilterType": "Plugin", "UserDefinedName": "x"}, "PluginBundleID", "error"),
    (FILTER, {"FilterType": "Plugin"}, "FilterSockets", "error"),
    (FILTER, {"FilterType": "Plugin", "FilterSockets": True}, "FilterDataProviderBundleIdentifier", "warning"),
    (FILTER, {"PermittedURLs": ["https://example.com"]}, "PermittedURLs", "warning"),
    (FILTER, {"AllowListBookmarks": [{}]}, "AllowListBookmarks", "warning"),
    (PROXY, {"ProxyServer": "proxy.example.com"}, "ProxyServerPort", "error"),
    (PROXY, {"ProxyType": "Auto"}, "ProxyPACFallbackAllowed", "warning"),
    (CLIP, {"URL": "www.example.com"}, "URL", "error"),
    (SSO, {"Type": "Redirect"}, "URLs", "error"),
    (SSO, {"Type": "Credential"}, "Hosts", "error"),
    (SSO, {"URLs": ["login.example.com"]}, "URLs[0]", "error"),
    (SSO, {"PlatformSSO": {"EnableAuthorization": True}}, "PlatformSSO.EnableAuthorization", "error"),
    (SSO, {"RegistrationToken": "x"}, "RegistrationToken", "error"),
    (KERBEROS, {"Realm": "example.com"}, "Realm", "warning"),
    (ACCOUNT, {"Kerberos": {"Realm": "EXAMPLE.COM"}}, "Kerberos.PrincipalName", "error"),
    (FILEVAULT, {"Enable": "On"}, "Defer", "error"),
    (FILEVAULT, {"Enable": "On", "Defer": True, "UseRecoveryKey": False}, "UseRecoveryKey", "error"),
    (FILEVAULT_OPTIONS, {"dontAllowFDEDisable": True, "dontAllowFDEEnable": True}, "dontAllowFDEEnable", "warning"),
    (FIREWALL, {"EnableFirewall": False, "EnableStealthMode": True}, "EnableStealthMode", "warning"),
    (FIREWALL, {"EnableFirewall": True, "BlockAllIncoming": True, "Applications": [{}]}, "Applications", "warning"),
    (LOGIN, {"AutologinUsername": "guest"}, "AutologinPassword", "error"),
    (LOGIN, {"AutologinUsername": "guest", "AutologinPassword": "x"}, "AutologinUsername", "warning"),
    (LOGIN, {"AllowList": ["a"], "DenyList": ["a"]}, "AllowList", "warning"),
    (UPDATES, {"AutomaticCheckEnabled": False, "AutomaticDownload": True}, "AutomaticDownload", "warning"),
    (UPDATES, {"CriticalUpdateInstall": False}, "CriticalUpdateInstall", "warning"),
    (TCC, _tcc(Allowed=True, Authorization="Allow"), "Services.Accessibility[0].Allowed", "error"),
    (TCC, _tcc("Camera", Allowed=True), "Services.Camera[0].Allowed", "error"),
    (TCC, _tcc("Photos", Authorization="AllowStandardUserToSetSystemService"), "Services.Photos[0].Authorization", "error"),
    (TCC, _tcc("AppleEvents", Allowed=True), "Services.AppleEvents[0].AEReceiverIdentifier", "error"),
    (TCC, _tcc(Allowed=True, **RECEIVER), "Services.Accessibility[0].AEReceiverIdentifier", "warning"),
    (EXTENSIONS, {"AllowedTeamIdentifiers": ["T"], "AllowedSystemExtensions": {"T": ["a"]}}, "AllowedSystemExtensions.T", "error"),
    (EXTENSIONS, {"AllowedSystemExtensionTypes": {"T": ["Driver"]}}, "AllowedSystemExtensionTypes.T[0]", "error"),
    (
        EXTENSIONS,
        {"RemovableSystemExtensions": {"T": ["a"]}, "NonRemovableSystemExtensions": {"T": ["a"]}},
        "RemovableSystemExtensions.T",
        "error",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("variant", "content", "where", "severity"), FOUND)
def test_a_rule_finds_what_it_is_for(variant: str, content: dict[str, Any], where: str, severity: str) -> None:
    assert _judged(variant, content).get(where) == severity


SOUND: list[tuple[str, dict[str, Any]]] = [
    (PASSCODE, {"forcePIN": True, "minLength": 6, "minComplexChars": 1, "maxFailedAttempts": 10}),
    (PASSCODE, {}),
    (WIFI, _wifi(EncryptionType="WPA2", Password="{{ secret.wifi }}")),
    (WIFI, _wifi(EncryptionType="None")),
    (WIFI, {"DomainName": "example.com", "IsHotspot": True}),
    (WIFI, _wifi(EncryptionType="WPA2", PayloadCertificateUUID="u", EAPClientConfiguration=_eap(13))),
    (WIFI, _wifi(EAPClientConfiguration=_eap(13, TLSCertificateIsRequired=False))),
    (WIFI, _wifi(ProxyType="Manual", ProxyServer="proxy.example.com", ProxyServerPort=8080)),
    (VPN, _vpn(IKEv2=IKEV2)),
    (VPN, _vpn(IKEv2={**IKEV2, "AuthenticationMethod": "Certificate", "PayloadCertificateUUID": "u"})),
    (VPN, _vpn(IKEv2={**IKEV2, "OnDemandEnabled": 1, "OnDemandRules": [{"Action": "Connect"}]})),
    (VPN, _vpn("VPN", VPNSubType="com.example.vpn", VPN={"AuthenticationMethod": "Password"})),
    (RESTRICTIONS, {"allowCamera": False, "allowSafari": True, "safariAllowPopups": True}),
    (RESTRICTIONS, {"forceDelayedSoftwareUpdates": True, "enforcedSoftwareUpdateDelay": 30}),
    (RESTRICTIONS, {"allowOpenFromManagedToUnmanaged": False, "allowUnmanagedToReadManagedContacts": True}),
    (MAIL, {"IncomingMailServerAuthentication": "EmailAuthPassword", "IncomingMailServerUseSSL": True}),
    (EAS, {"SSL": True, "OAuth": True, "OAuthSignInURL": "https://login.example.com"}),
    (EWS, {"UserName": "x", "Password": "{{ secret.x }}"}),
    (SCEP, {"PayloadContent": {"URL": "https://scep.example.com", "Keysize": 2048, "Challenge": "{{ secret.x }}"}}),
    (ACME, {"KeyType": "ECSECPrimeRandom", "KeySize": 384, "HardwareBound": True, "Attest": True}),
    (ACME, {"KeyType": "RSA", "KeySize": 2048, "HardwareBound": False}),
    (PKCS12, {"PayloadContent": b"x", "Password": "{{ secret.x }}"}),
    (FILTER, {"FilterType": "BuiltIn", "AutoFilterEnabled": True, "PermittedURLs": ["https://example.com"]}),
    (FILTER, {"FilterType": "Plugin", "UserDefinedName": "x", "PluginBundleID": "com.example.f", "FilterBrowsers": True}),
    (PROXY, {"ProxyServer": "proxy.example.com", "ProxyServerPort": 8080}),
    (CLIP, {"URL": "https://www.example.com", "Label": "x"}),
    (CLIP, {"URL": "{{ secret.address }}", "Label": "x"}),
    (SSO, {"Type": "Redirect", "URLs": ["https://login.example.com"]}),
    (SSO, {"Type": "Credential", "Hosts": [".example.com"]}),
    (KERBEROS, {"Realm": "EXAMPLE.COM"}),
    (FILEVAULT, {"Enable": "On", "Defer": True}),
    (FILEVAULT, {"Enable": "Off"}),
    (FILEVAULT, {"Enable": "On", "Username": "x", "Password": "{{ secret.x }}"}),
    (FIREWALL, {"EnableFirewall": True, "Applications": [{"BundleID": "com.example.app", "Allowed": True}]}),
    (FIREWALL, {"EnableFirewall": False}),
    (UPDATES, {"AutomaticCheckEnabled": True, "CriticalUpdateInstall": True}),
    (TCC, _tcc(Allowed=True)),
    (TCC, _tcc("Camera", Allowed=False)),
    (TCC, _tcc("ScreenCapture", Authorization="AllowStandardUserToSetSystemService")),
    (TCC, _tcc("AppleEvents", Allowed=True, **RECEIVER)),
    (EXTENSIONS, {"AllowedTeamIdentifiers": ["T"], "AllowedSystemExtensions": {"U": ["a"]}}),
    (EXTENSIONS, {"AllowedSystemExtensionTypes": {"T": ["NetworkExtension"]}}),
]  # fmt: skip


@pytest.mark.parametrize(("variant", "content"), SOUND)
def test_a_sound_payload_is_left_alone(variant: str, content: dict[str, Any]) -> None:
    assert _judged(variant, content) == {}


def test_every_rule_has_a_payload_in_which_it_finds_something() -> None:
    contents = [content for _, content, _, _ in FOUND]
    for variant in packaged().payloads:
        for rule in overlay.of(variant).rules:
            assert any(list(rule(content)) for content in contents), rule


def test_a_finding_never_quotes_a_value_of_the_payload() -> None:
    secret = "correct horse battery staple"
    content = _wifi(EncryptionType="None", Password=secret)
    assert all(secret not in problem.sentence for _, problem in overlay.judge(WIFI, content))


_LEAF = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_content_makes_a_rule_or_a_condition_raise(data: st.DataObject) -> None:
    variants = [variant for variant in packaged().payloads if overlay.of(variant).rules]
    variant = data.draw(st.sampled_from(variants))
    names = st.sampled_from(sorted({step for path in overlay.of(variant).keys for step in path.split(".")}))
    listed = sorted({str(value) for key in packaged().payloads[variant].keys for value in key.values})
    leaf = _LEAF | st.sampled_from(listed) if listed else _LEAF
    tree = st.recursive(
        leaf, lambda inside: st.lists(inside, max_size=3) | st.dictionaries(names, inside, max_size=5), max_leaves=25
    )
    content = data.draw(st.dictionaries(names, tree, max_size=8))
    for severity, problem in overlay.judge(variant, content):
        assert severity in ("error", "warning")
        assert problem.where
        assert problem.sentence.endswith(".")
    visible = overlay.visible(variant, content)
    for name in content:
        visible.hides((name,))
        visible.hides((name, 0, name))
