"""The overlay for Wi-Fi (com.apple.wifi.managed) with its 802.1X part, which wired networks share."""

from collections.abc import Iterator

from profiles.overlay.facts import (
    Condition,
    Content,
    Group,
    Judged,
    KeyOverlay,
    PayloadOverlay,
    Titles,
    error,
    inner,
    nested,
    shown,
    warning,
    worded,
)

__all__ = ["OVERLAYS", "PROXY_TYPES"]

_TLS, _LEAP, _SIM, _TTLS, _AKA, _PEAP, _FAST = 13, 17, 18, 21, 23, 25, 43
PROXY_TYPES: Titles = {"None": "No proxy", "Manual": "A proxy server", "Auto": "A PAC file or automatic discovery"}
_HOTSPOT = (
    "DisplayedOperatorName", "DomainName", "RoamingConsortiumOIs", "ServiceProviderRoamingEnabled", "HESSID",
    "NAIRealmNames", "MCCAndMNCs",
)  # fmt: skip
_PROXY = ("ProxyServer", "ProxyServerPort", "ProxyUsername", "ProxyPassword")


def a_network_needs_a_name(content: Content) -> Iterator[Judged]:
    """An SSID, or for Hotspot 2.0 a domain."""
    if not content.get("SSID_STR") and not content.get("DomainName"):
        yield error("is required, except for a Hotspot 2.0 network with a domain name.", "SSID_STR")


def an_open_network_has_no_password(content: Content) -> Iterator[Judged]:
    """Whoever set both meant one of them."""
    if content.get("EncryptionType") != "None":
        return
    for key in ("Password", "EAPClientConfiguration"):
        if content.get(key):
            yield error("is set, but the network has no encryption. Choose an encryption or leave this out.", key)


def a_protected_network_needs_a_credential(content: Content) -> Iterator[Judged]:
    """A password or an 802.1X part; without either the user is asked, which a supervised kiosk cannot answer."""
    if content.get("EncryptionType", "Any") in ("WEP", "WPA", "WPA2", "WPA3") and not (
        content.get("Password") or content.get("EAPClientConfiguration")
    ):
        if content.get("PayloadCertificateUUID"):
            yield error("is required: a certificate is used only with 802.1X (EAP-TLS).", "EAPClientConfiguration")
        else:
            yield warning("is not set: the device asks its user for it.", "Password")


def eap_tls_needs_a_certificate(content: Content) -> Iterator[Judged]:
    """EAP-TLS proves the device by an identity and nothing else."""
    methods = _eap_types(content)
    without = inner(content, "EAPClientConfiguration").get("TLSCertificateIsRequired") is False
    if _TLS not in methods or without or content.get("PayloadCertificateUUID"):
        return
    # Where other methods are accepted too, those may do.
    judged = error if methods == {_TLS} else warning
    yield judged("is required for EAP-TLS: choose the identity of this device.", "PayloadCertificateUUID")


def the_server_should_be_known(content: Content) -> Iterator[Judged]:
    """Without trust settings people learn to accept any server, and hand it their password."""
    eap = inner(content, "EAPClientConfiguration")
    trust = ("PayloadCertificateAnchorUUID", "TLSTrustedCertificates", "TLSTrustedServerNames")
    if _eap_types(content) & {_TLS, _TTLS, _PEAP} and not any(eap.get(key) for key in trust):
        yield warning(
            "should name trusted certificates or server names, or users must judge the server's certificate themselves.",
            "EAPClientConfiguration",
        )


def an_outer_identity_is_needed_for_tls_1_3(content: Content) -> Iterator[Judged]:
    """Apple requires it from that version on."""
    eap = inner(content, "EAPClientConfiguration")
    if eap.get("TLSMinimumVersion") == "1.3" and not eap.get("OuterIdentity"):
        yield error("is required when the lowest TLS version is 1.3.", "EAPClientConfiguration", "OuterIdentity")


def a_proxy_needs_its_address(content: Content) -> Iterator[Judged]:
    """A chosen proxy without a server sends traffic nowhere. Shared with the global proxy."""
    if content.get("ProxyType") != "Manual":
        return
    for key in ("ProxyServer", "ProxyServerPort"):
        if not content.get(key):
            yield error("is required for a proxy server.", key)


def _eap_types(content: Content) -> set[int]:
    types = inner(content, "EAPClientConfiguration").get("AcceptEAPTypes")
    return {kind for kind in types if isinstance(kind, int)} if isinstance(types, list) else set()


def _eap() -> dict[str, KeyOverlay]:
    keys = worded({
        "AcceptEAPTypes": ("EAP methods", "How the device proves itself to the network. Most networks use one."),
        "UserName": ("User name", "Left out, the device asks for it. A variable such as {{ user.name }} fills it in."),
        "UserPassword": ("Password", "Left out, the device asks for it."),
        "OneTimeUserPassword": ("Ask for the password at every connection", ""),
        "OuterIdentity": ("Outer identity", "What is seen outside of the encrypted tunnel, for example “anonymous”."),
        "PayloadCertificateAnchorUUID": ("Trusted certificates", "Certificates of this bundle by which the server is trusted."),
        "PayloadCertificateAnchorUUID.CertificateAnchorUUID": "Trusted certificate",
        "TLSTrustedCertificates": ("Further trusted certificates", ""),
        "TLSTrustedServerNames": ("Trusted server names", "Names in the server's certificate. Wildcards as in radius*.example.com."),
        "TLSTrustedServerNames.TLSTrustedServerName": "Server name",
        "TLSAllowTrustExceptions": ("Let users trust other servers", "Old systems only."),
        "TLSCertificateIsRequired": ("Ask for a certificate too", "Two factors for TTLS, PEAP and EAP-FAST."),
        "TLSMinimumVersion": "Lowest TLS version",
        "TLSMaximumVersion": "Highest TLS version",
        "TTLSInnerAuthentication": ("Inner authentication", "What is spoken inside of the TTLS tunnel."),
        "EAPFASTUsePAC": "Use a PAC",
        "EAPFASTProvisionPAC": ("Fetch a PAC", "Without one EAP-FAST cannot use a PAC at all."),
        "EAPFASTProvisionPACAnonymously": ("Fetch a PAC anonymously", "Open to a man in the middle."),
        "EAPSIMNumberOfRANDs": "Challenges demanded from the server",
        "SystemModeCredentialsSource": ("Credentials in system mode", "“ActiveDirectory” uses the Mac's computer account."),
        "SystemModeUseOpenDirectoryCredentials": "Use Open Directory credentials in system mode",
    })  # fmt: skip
    keys["AcceptEAPTypes.EAPType"] = KeyOverlay(
        title="EAP method",
        values={
            _TLS: "TLS (certificate)", _LEAP: "LEAP (old)", _SIM: "EAP-SIM", _TTLS: "TTLS", _AKA: "EAP-AKA",
            _PEAP: "PEAP", _FAST: "EAP-FAST",
        },
    )  # fmt: skip
    for methods, names in (
        ((_TTLS,), ("TTLSInnerAuthentication",)),
        ((_FAST,), ("EAPFASTUsePAC", "EAPFASTProvisionPAC", "EAPFASTProvisionPACAnonymously")),
        ((_SIM,), ("EAPSIMNumberOfRANDs",)),
        ((_TTLS, _PEAP, _FAST), ("OuterIdentity", "TLSCertificateIsRequired")),
        ((_LEAP, _TTLS, _PEAP, _FAST), ("UserPassword", "OneTimeUserPassword")),
    ):
        keys = shown(keys, Condition("AcceptEAPTypes", methods), only=names)
    return keys


def _keys() -> dict[str, KeyOverlay]:
    keys = worded({
        "SSID_STR": ("Network name (SSID)", "Capital and small letters count."),
        "HIDDEN_NETWORK": ("Hidden network", "The network does not announce its name."),
        "AutoJoin": ("Join automatically", "Otherwise the user taps the network."),
        "Password": ("Password", "The network's password, if it has one for everybody."),
        "PayloadCertificateUUID": ("Identity", "The certificate of this bundle by which the device proves itself (EAP-TLS)."),
        "EAPClientConfiguration": ("Enterprise sign-in (802.1X)", "For networks where each user or device signs in."),
        "SetupModes": ("Connect before login (Mac)", "System mode signs the Mac in, login window mode the user."),
        "TLSCertificateRequired": ("Ask for a certificate too", ""),
        "EnableIPv6": "Use IPv6",
        "CaptiveBypass": ("Skip the sign-in page check", "Does not open the page of a captive portal."),
        "DisableAssociationMACRandomization": ("Use the real hardware address", "Otherwise the device shows a private address."),
        "IsHotspot": ("Hotspot 2.0 network", "Also called Passpoint."),
        "ServiceProviderRoamingEnabled": "Roam to partner networks",
        "RoamingConsortiumOIs": "Roaming consortium identifiers",
        "NAIRealmNames": "Realm names",
        "MCCAndMNCs": ("Mobile networks", "Country and network code, six digits each."),
        "QoSMarkingPolicy": ("Fast lane (QoS marking)", "Apps that may have priority in Cisco networks."),
        "QoSMarkingPolicy.QoSMarkingAllowListAppIdentifiers": "Apps with priority",
        "ProxyServer": "Proxy server",
        "ProxyServerPort": "Proxy port",
        "ProxyUsername": "Proxy user name",
        "ProxyPassword": "Proxy password",
        "ProxyPACURL": ("PAC file address", "Left out, the network is asked for one (WPAD)."),
        "ProxyPACFallbackAllowed": "Connect directly when the PAC file cannot be reached",
    })  # fmt: skip
    keys["EncryptionType"] = KeyOverlay(
        title="Encryption",
        help="WPA2 takes WPA2 and WPA3 networks on current systems; WPA3 takes nothing older.",
        values={
            "WEP": "WEP (insecure)", "WPA": "WPA or WPA2", "WPA2": "WPA2 or WPA3", "WPA3": "WPA3 only", "Any": "Any",
            "None": "None (open network)",
        },
    )  # fmt: skip
    keys["ProxyType"] = KeyOverlay(title="Proxy", values=PROXY_TYPES)
    keys["SetupModes.SetupModesItem"] = KeyOverlay(values={"System": "System", "Loginwindow": "Login window"})
    protected = Condition("EncryptionType", ("WEP", "WPA", "WPA2", "WPA3", "Any"), unset=True)
    keys = shown(keys, protected, only=("Password", "EAPClientConfiguration", "PayloadCertificateUUID"))
    keys = shown(keys, Condition("ProxyType", ("Manual",)), only=_PROXY)
    keys = shown(keys, Condition("ProxyType", ("Auto",)), only=("ProxyPACURL", "ProxyPACFallbackAllowed"))
    keys = shown(keys, Condition("IsHotspot", (1,)), only=_HOTSPOT)
    return {**keys, **nested("EAPClientConfiguration", _eap())}


_WIFI = PayloadOverlay(
    groups=(
        Group("Network", ("SSID_STR", "HIDDEN_NETWORK", "AutoJoin", "EncryptionType", "Password")),
        Group(
            "Enterprise",
            ("EAPClientConfiguration", "PayloadCertificateUUID", "TLSCertificateRequired", "SetupModes"),
        ),
        Group("Proxy", ("ProxyType", *_PROXY, "ProxyPACURL", "ProxyPACFallbackAllowed")),
        Group("Hotspot 2.0", ("IsHotspot", *_HOTSPOT)),
        Group("More", ("EnableIPv6", "CaptiveBypass", "DisableAssociationMACRandomization", "QoSMarkingPolicy")),
    ),
    keys=_keys(),
    rules=(
        a_network_needs_a_name,
        an_open_network_has_no_password,
        a_protected_network_needs_a_credential,
        eap_tls_needs_a_certificate,
        the_server_should_be_known,
        an_outer_identity_is_needed_for_tls_1_3,
        a_proxy_needs_its_address,
    ),
)

OVERLAYS = {"com.apple.wifi.managed": _WIFI}
