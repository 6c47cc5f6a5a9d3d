"""The overlay for VPN (com.apple.vpn.managed) and per-app VPN, with its kinds, sign-in and on-demand rules."""

from profiles.overlay.facts import Condition, Group, KeyOverlay, PayloadOverlay, Titles, nested, shown, worded
from profiles.overlay.vpn_rules import RULES

__all__ = ["OVERLAYS"]

_KINDS: Titles = {
    "VPN": "An app's VPN", "IKEv2": "IKEv2", "IPSec": "IPsec (Cisco)", "L2TP": "L2TP", "AlwaysOn": "Always on (IKEv2)",
    "TransparentProxy": "Transparent proxy (Mac)",
}  # fmt: skip
_PROVIDER_TYPES: Titles = {"packet-tunnel": "Packet tunnel", "app-proxy": "App proxy"}
_TLS_VERSIONS: Titles = {"1.0": "TLS 1.0 (old)", "1.1": "TLS 1.1 (old)", "1.2": "TLS 1.2"}
_ON = (1,)


def _on_demand() -> dict[str, KeyOverlay]:
    """Rules by which a VPN connects by itself; four kinds of VPN have the same ones."""
    rule = worded({
        "Action": ("Do", "What happens while everything below matches. The first rule that matches counts."),
        "ActionParameters": ("For these domains", "Asked for each connection."),
        "DNSDomainMatch": ("When the search domain is", "* stands for any part."),
        "DNSServerAddressMatch": "When the DNS servers are",
        "InterfaceTypeMatch": "When connected by",
        "SSIDMatch": "When the Wi-Fi network is",
        "URLStringProbe": ("When this address answers", "An HTTPS address that answers 200 without a redirect."),
    })  # fmt: skip
    rule["Action"] = KeyOverlay(
        title="Do",
        help=rule["Action"].help,
        values={
            "Allow": "Leave it to the user", "Connect": "Connect", "Disconnect": "Disconnect",
            "EvaluateConnection": "Decide by domain", "Ignore": "Leave as it is",
        },
    )  # fmt: skip
    rule["InterfaceTypeMatch"] = KeyOverlay(
        title="When connected by", values={"Ethernet": "Ethernet", "WiFi": "Wi-Fi", "Cellular": "Mobile data"}
    )
    rule = shown(rule, Condition("Action", ("EvaluateConnection",)), only=("ActionParameters",))
    domains = worded(
        {
            "Domains": "Domains",
            "DomainAction": "Do",
            "RequiredDNSServers": ("DNS servers to ask", "When one of them does not answer, the VPN connects."),
            "RequiredURLStringProbe": ("Address to try", "When it does not answer 200, the VPN connects."),
        }
    )
    domains["DomainAction"] = KeyOverlay(
        title="Do",
        values={"ConnectIfNeeded": "Connect when the domain cannot be reached", "NeverConnect": "Never connect"},
    )
    needed = Condition("DomainAction", ("ConnectIfNeeded",))
    domains = shown(domains, needed, only=("RequiredDNSServers", "RequiredURLStringProbe"))
    return {**rule, **nested("ActionParameters.ActionParameter", domains)}


def _sharing(*, old_domains: bool = False, override: bool = False) -> dict[str, KeyOverlay]:
    """What the kinds of VPN have in common: on demand, idle time."""
    keys = worded(
        {
            "OnDemandEnabled": ("Connect on demand", "The VPN connects by itself, by the rules below."),
            "OnDemandRules": ("On-demand rules", ""),
            "DisconnectOnIdle": "Disconnect when idle",
            "DisconnectOnIdleTimer": ("Idle seconds", ""),
        }
    )
    if override:
        keys["OnDemandUserOverrideDisabled"] = KeyOverlay(title="Keep users from turning on demand off")
    if old_domains:
        keys |= worded(
            {
                "OnDemandMatchDomainsAlways": ("Always for these domains (old)", "Rules replace this."),
                "OnDemandMatchDomainsNever": ("Never for these domains (old)", "Rules replace this."),
                "OnDemandMatchDomainsOnRetry": ("When these domains fail (old)", "Rules replace this."),
            }
        )
    keys = shown(keys, Condition("OnDemandEnabled", _ON), only=("OnDemandRules",))
    keys = shown(keys, Condition("DisconnectOnIdle", _ON), only=("DisconnectOnIdleTimer",))
    return {**keys, **nested("OnDemandRules.OnDemandRulesElement", _on_demand())}


def _routing() -> dict[str, KeyOverlay]:
    keys = worded(
        {
            "IncludeAllNetworks": ("Send everything through the VPN", "When the VPN is down, nothing goes out at all."),
            "EnforceRoutes": ("The VPN's routes come first", ""),
            "ExcludeLocalNetworks": "Except local networks",
            "ExcludeCellularServices": "Except calls, messages and voicemail",
            "ExcludeAPNs": (
                "Except push notifications",
                "When not, the portal reaches the device only while the VPN is up.",
            ),
            "ExcludeDeviceCommunication": "Except nearby devices",
        }
    )
    keys = shown(
        keys,
        Condition("IncludeAllNetworks", _ON),
        only=("ExcludeCellularServices", "ExcludeAPNs", "ExcludeDeviceCommunication"),
    )
    return shown(keys, Condition("IncludeAllNetworks", (0,), unset=True), only=("EnforceRoutes",))


def _provider() -> dict[str, KeyOverlay]:
    """A VPN of an app: how its extension is found and how people sign in."""
    keys = worded(
        {
            "Password": "Password",
            "PayloadCertificateUUID": ("Identity", "The certificate of this bundle that signs in to the VPN."),
            "ProviderBundleIdentifier": ("Extension's bundle ID", "Needed when the app has several VPN extensions."),
            "ProviderDesignatedRequirement": ("Extension's code requirement", "For a system extension on a Mac."),
        }
    )
    keys["AuthenticationMethod"] = KeyOverlay(
        title="Sign in with",
        values={
            "Password": "Password", "Certificate": "Certificate", "Password+Certificate": "Password and certificate",
        },
    )  # fmt: skip
    keys["ProviderType"] = KeyOverlay(title="Extension's kind", values=_PROVIDER_TYPES)
    certificate = Condition("AuthenticationMethod", ("Certificate", "Password+Certificate"))
    password = Condition("AuthenticationMethod", ("Password", "Password+Certificate"), unset=True)
    keys = shown(keys, certificate, only=("PayloadCertificateUUID",))
    return shown(keys, password, only=("Password",))


def _ikev2() -> dict[str, KeyOverlay]:
    keys = worded({
        "RemoteAddress": ("Server", "Host name or address of the VPN server."),
        "RemoteIdentifier": ("Remote identifier", "What the server calls itself: most often its host name."),
        "LocalIdentifier": ("Local identifier", "What the device calls itself, for example the name in its certificate."),
        "SharedSecret": "Shared secret",
        "PayloadCertificateUUID": ("Identity", "The certificate of this bundle by which the device proves itself."),
        "CertificateType": ("Kind of the identity's key", "Tells which signature is used; also needed for EAP-TLS."),
        "ExtendedAuthEnabled": ("Also sign in with EAP", "User name and password, or EAP-TLS."),
        "AuthName": "EAP user name",
        "AuthPassword": "EAP password",
        "ServerCertificateIssuerCommonName": ("Issuer of the server's certificate", "Asks the server for a certificate."),
        "ServerCertificateCommonName": ("Name in the server's certificate", "Checked instead of the remote identifier."),
        "TLSMinimumVersion": "Lowest TLS version",
        "TLSMaximumVersion": "Highest TLS version",
        "UseConfigurationAttributeInternalIPSubnet": "Ask the server for its internal subnet",
        "DisableMOBIKE": "Do not move between networks (no MOBIKE)",
        "DisableRedirect": "Do not follow redirects",
        "NATKeepAliveOffloadEnable": "Keep NAT open while asleep",
        "NATKeepAliveInterval": "Seconds between NAT keep-alives",
        "EnablePFS": ("Perfect forward secrecy", "Fresh keys for each child connection."),
        "EnableCertificateRevocationCheck": "Check whether the server's certificate was revoked",
        "EnableFallback": ("Fall back to mobile data", "When the Wi-Fi network is bad."),
        "MTU": ("Largest packet (MTU)", "1280 to 1400."),
        "PPK": ("Post-quantum pre-shared key", "As bytes, with its identifier."),
        "PPKIdentifier": "Identifier of the post-quantum key",
        "PPKMandatory": "Refuse servers without the post-quantum key",
        "IKESecurityAssociationParameters": "Encryption of the connection (IKE SA)",
        "ChildSecurityAssociationParameters": "Encryption of the traffic (child SA)",
        "Password": ("Password", "For an app's VPN extension."),
        "ProviderBundleIdentifier": ("Extension's bundle ID", "For an app's VPN extension."),
        "ProviderDesignatedRequirement": "Extension's code requirement",
    })  # fmt: skip
    keys["AuthenticationMethod"] = KeyOverlay(
        title="Device proves itself by",
        values={"None": "Only EAP", "SharedSecret": "Shared secret", "Certificate": "Certificate"},
    )
    keys["ProviderType"] = KeyOverlay(title="Extension's kind", values=_PROVIDER_TYPES)
    keys["DeadPeerDetectionRate"] = KeyOverlay(
        title="Look for a dead server",
        values={"None": "Never", "Low": "Every 30 minutes", "Medium": "Every 10 minutes", "High": "Every minute"},
    )
    for name in ("TLSMinimumVersion", "TLSMaximumVersion"):
        keys[name] = KeyOverlay(title=keys[name].title, values=_TLS_VERSIONS)
    keys = shown(keys, Condition("AuthenticationMethod", ("SharedSecret",)), only=("SharedSecret",))
    keys = shown(
        keys,
        Condition("ExtendedAuthEnabled", _ON),
        only=("AuthName", "AuthPassword", "TLSMinimumVersion", "TLSMaximumVersion"),
    )
    for half in ("IKESecurityAssociationParameters", "ChildSecurityAssociationParameters"):
        keys |= nested(half, _association())
    return {**keys, **_routing(), **_sharing(override=True)}


def _association() -> dict[str, KeyOverlay]:
    groups: Titles = {
        1: "1 (768 bits, broken)", 2: "2 (1024 bits, weak)", 5: "5 (1536 bits, weak)", 14: "14 (2048 bits)",
        15: "15 (3072 bits)", 16: "16 (4096 bits)", 17: "17 (6144 bits)", 18: "18 (8192 bits)", 19: "19 (P-256)",
        20: "20 (P-384)", 21: "21 (P-521)", 31: "31 (Curve25519)", 32: "32 (Curve448)",
    }  # fmt: skip
    return {
        "EncryptionAlgorithm": KeyOverlay(title="Encryption", values={"DES": "DES (broken)", "3DES": "3DES (weak)"}),
        "IntegrityAlgorithm": KeyOverlay(
            title="Integrity", values={"SHA1-96": "SHA1-96 (old)", "SHA1-160": "SHA1-160 (old)"}
        ),
        "DiffieHellmanGroup": KeyOverlay(title="Diffie-Hellman group", values=groups),
        "LifeTimeInMinutes": KeyOverlay(title="New keys after", help="Minutes, 10 to 1440."),
    }


def _ipsec() -> dict[str, KeyOverlay]:
    keys = worded(
        {
            "RemoteAddress": ("Server", "Host name or address of the VPN server."),
            "XAuthEnabled": ("Also sign in as a user (XAuth)", ""),
            "XAuthName": "User name",
            "XAuthPassword": ("Password", "Left out, the device asks for it."),
            "XAuthPasswordEncryption": "How the password is kept",
            "LocalIdentifier": ("Group name", "Ends in “[hybrid]” for hybrid sign-in."),
            "LocalIdentifierType": "Kind of the group name",
            "SharedSecret": "Shared secret",
            "PayloadCertificateUUID": ("Identity", "The certificate of this bundle by which the device proves itself."),
            "PromptForVPNPIN": "Ask for a PIN when connecting",
        }
    )
    keys["AuthenticationMethod"] = KeyOverlay(
        title="Device proves itself by", values={"SharedSecret": "Shared secret", "Certificate": "Certificate"}
    )
    keys["XAuthPasswordEncryption"] = KeyOverlay(title="How the password is kept", values={"Prompt": "Asked each time"})
    secret = Condition("AuthenticationMethod", ("SharedSecret",), unset=True)
    certificate = Condition("AuthenticationMethod", ("Certificate",))
    keys = shown(keys, secret, only=("SharedSecret", "LocalIdentifier", "LocalIdentifierType"))
    keys = shown(keys, certificate, only=("PayloadCertificateUUID", "PromptForVPNPIN"))
    return {**keys, **_sharing(old_domains=True)}


def _ppp() -> dict[str, KeyOverlay]:
    keys = worded(
        {
            "CommRemoteAddress": ("Server", "Host name or address of the VPN server."),
            "AuthName": "User name",
            "AuthPassword": ("Password", "Left out, the device asks for it."),
            "TokenCard": "Sign in with a token card",
            "AuthEAPPlugins": "EAP methods",
            "AuthProtocol": "Authentication protocols",
            "CCPEnabled": "Encrypt",
            "CCPMPPE40Enabled": "Encrypt with 40 bits (weak)",
            "CCPMPPE128Enabled": "Encrypt with 128 bits",
            "DisconnectOnIdle": "Disconnect when idle",
            "DisconnectOnIdleTimer": "Idle seconds",
        }
    )
    return shown(keys, Condition("DisconnectOnIdle", _ON), only=("DisconnectOnIdleTimer",))


def _dns() -> dict[str, KeyOverlay]:
    keys = worded(
        {
            "ServerURL": ("Server's address", "An https address of DNS over HTTPS."),
            "ServerName": ("Server's name", "The host name of DNS over TLS."),
            "ServerAddresses": "DNS servers",
            "SearchDomains": "Search domains",
            "DomainName": "Domain",
            "SupplementalMatchDomains": ("Only for these domains", "Other names are looked up outside of the VPN."),
            "SupplementalMatchDomainsNoSearch": "Do not add these domains to short names",
            "PayloadCertificateUUID": ("Identity", "The certificate of this bundle that signs in to the DNS server."),
        }
    )
    keys["DNSProtocol"] = KeyOverlay(
        title="Protocol", values={"Cleartext": "Plain", "HTTPS": "DNS over HTTPS", "TLS": "DNS over TLS"}
    )
    keys = shown(keys, Condition("DNSProtocol", ("HTTPS",)), only=("ServerURL",))
    return shown(keys, Condition("DNSProtocol", ("TLS",)), only=("ServerName",))


def _proxies() -> dict[str, KeyOverlay]:
    keys = worded(
        {
            "ProxyAutoConfigEnable": "Use a PAC file",
            "ProxyAutoConfigURLString": "PAC file address",
            "ProxyAutoDiscoveryEnable": "Look for a proxy automatically",
            "SupplementalMatchDomains": "Only for these domains",
            "HTTPEnable": "Proxy for HTTP",
            "HTTPProxy": "HTTP proxy",
            "HTTPPort": "HTTP port",
            "HTTPProxyUsername": "HTTP user name",
            "HTTPProxyPassword": "HTTP password",
            "HTTPSEnable": "Proxy for HTTPS",
            "HTTPSProxy": "HTTPS proxy",
            "HTTPSPort": "HTTPS port",
        }
    )
    keys = shown(keys, Condition("ProxyAutoConfigEnable", _ON), only=("ProxyAutoConfigURLString",))
    http = ("HTTPProxy", "HTTPPort", "HTTPProxyUsername", "HTTPProxyPassword")
    keys = shown(keys, Condition("HTTPEnable", _ON), only=http)
    return shown(keys, Condition("HTTPSEnable", _ON), only=("HTTPSProxy", "HTTPSPort"))


def _keys() -> dict[str, KeyOverlay]:
    keys = worded(
        {
            "UserDefinedName": ("Name", "What users see in the VPN settings."),
            "VPNSubType": ("App's identifier", "Bundle ID of the app whose VPN this is."),
            "VendorConfig": ("Settings for the app", "What the app's maker asks for."),
            "VPN": "App's VPN",
            "PPP": "L2TP sign-in (PPP)",
            "IPSec": "IPsec",
            "IPv4": "IPv4",
            "IPv4.OverridePrimary": ("Send everything through the VPN", ""),
            "DNS": ("DNS inside of the VPN", ""),
            "Proxies": ("Proxy inside of the VPN", ""),
            "AlwaysOn": ("Always on", "For supervised devices only."),
            "AlwaysOn.UIToggleEnabled": "Let users switch it off",
            "AlwaysOn.TunnelConfigurations": ("Tunnels", "One for mobile data and Wi-Fi each, or one for both."),
            "AlwaysOn.ServiceExceptions": "Exceptions for services",
            "AlwaysOn.ApplicationExceptions": "Exceptions for apps",
            "AlwaysOn.AllowCaptiveWebSheet": "Allow sign-in pages of networks",
            "AlwaysOn.AllowAllCaptiveNetworkPlugins": "Allow all apps that sign in to networks",
            "AlwaysOn.AllowedCaptiveNetworkPlugins": "Allowed apps that sign in to networks",
            "TransparentProxy.Order": ("Order", "Lower numbers come first."),
        }
    )
    keys["VPNType"] = KeyOverlay(title="Kind of VPN", values=_KINDS)
    for kinds, names in (
        (("VPN", "TransparentProxy"), ("VPNSubType", "VendorConfig")),
        (("VPN",), ("VPN",)),
        (("L2TP",), ("PPP",)),
        (("L2TP", "IPSec"), ("IPSec",)),
        (("VPN", "L2TP", "IPSec"), ("IPv4",)),
        (("IKEv2", "AlwaysOn"), ("IKEv2",)),
        (("AlwaysOn",), ("AlwaysOn",)),
        (("TransparentProxy",), ("TransparentProxy",)),
    ):
        keys = shown(keys, Condition("VPNType", kinds), only=names)
    plugins = Condition("AllowAllCaptiveNetworkPlugins", (0,), unset=True)
    keys = shown(keys, plugins, only=("AlwaysOn.AllowedCaptiveNetworkPlugins",))
    vpn = _provider() | _routing() | _sharing(old_domains=True, override=True)
    transparent = _provider() | _sharing()
    keys |= nested("VPN", vpn) | nested("IPSec", _ipsec()) | nested("IKEv2", _ikev2()) | nested("PPP", _ppp())
    return keys | nested("DNS", _dns()) | nested("Proxies", _proxies()) | nested("TransparentProxy", transparent)


_VPN = PayloadOverlay(
    groups=(
        Group("VPN", ("UserDefinedName", "VPNType", "VPNSubType")),
        Group("Connection", ("IKEv2", "IPSec", "PPP", "VPN", "TransparentProxy", "AlwaysOn", "VendorConfig")),
        Group("Network inside of the VPN", ("DNS", "Proxies", "IPv4")),
    ),
    keys=_keys(),
    rules=RULES,
)
_PER_APP = PayloadOverlay(
    groups=(
        Group("Per-app VPN", ("VPNUUID", "OnDemandMatchAppEnabled", "CellularSliceUUID")),
        Group(
            "Domains",
            (
                "SafariDomains", "MailDomains", "CalendarDomains", "ContactsDomains", "SMBDomains", "AssociatedDomains",
                "ExcludedDomains",
            ),
        ),
    ),
    keys=worded({
        "VPNUUID": ("Identifier (VPNUUID)", "Apps and accounts name this VPN by it. Any UUID; never change it later."),
        "CellularSliceUUID": ("Network slice or DNN", "For apps that use a part of a private mobile network."),
        "OnDemandMatchAppEnabled": "Connect when one of its apps starts",
        "SafariDomains": ("Websites in Safari", "Domains that Safari opens through this VPN."),
        "MailDomains": "Domains in Mail",
        "CalendarDomains": "Domains in Calendar",
        "ContactsDomains": "Domains in Contacts",
        "SMBDomains": "File servers (SMB)",
        "AssociatedDomains": "Domains tied to apps",
        "ExcludedDomains": "Domains outside of this VPN",
    }),
)  # fmt: skip

OVERLAYS = {"com.apple.vpn.managed": _VPN, "com.apple.vpn.managed.applayer": _PER_APP}
