"""Rules over several keys of a VPN payload: what its kind needs, and what signs in with what."""

from collections.abc import Iterator

from profiles.overlay.facts import Content, Judged, Rule, error, inner, is_on, warning

__all__ = ["RULES"]

# The dictionary of each kind, and whether Apple puts everything the kind needs into it.
_DICTIONARIES = {
    "VPN": ("VPN",), "IKEv2": ("IKEv2",), "IPSec": ("IPSec",), "L2TP": ("PPP", "IPSec"), "AlwaysOn": ("AlwaysOn",),
    "TransparentProxy": ("TransparentProxy",),
}  # fmt: skip
_WEAK = {"EncryptionAlgorithm": ("DES", "3DES"), "DiffieHellmanGroup": (1, 2, 5)}


def a_kind_needs_its_dictionary(content: Content) -> Iterator[Judged]:
    """Without it there is no server to connect to."""
    kind = str(content.get("VPNType", ""))
    for name in _DICTIONARIES.get(kind, ()):
        if not isinstance(content.get(name), dict):
            yield error(f"is required for a VPN of the kind {kind}.", name)


def an_apps_vpn_names_the_app(content: Content) -> Iterator[Judged]:
    """The system finds the VPN's app by its bundle ID."""
    if content.get("VPNType") in ("VPN", "TransparentProxy") and not content.get("VPNSubType"):
        yield error("is required: the bundle ID of the app whose VPN this is.", "VPNSubType")


def a_certificate_is_chosen(content: Content) -> Iterator[Judged]:
    """Whoever signs in by certificate must have one."""
    for name in _used(content):
        settings = inner(content, name)
        method = settings.get("AuthenticationMethod")
        by_certificate = isinstance(method, str) and "Certificate" in method
        if by_certificate and not settings.get("PayloadCertificateUUID"):
            yield error("is required to sign in by certificate: choose an identity.", name, "PayloadCertificateUUID")


def a_shared_secret_is_given(content: Content) -> Iterator[Judged]:
    """IKEv2 and IPsec cannot ask for it well: on most devices the connection just fails."""
    for name in ("IKEv2", "IPSec"):
        settings = inner(content, name)
        if name not in _used(content) or not settings:
            continue
        # IPsec takes the shared secret when nothing is chosen.
        method = settings.get("AuthenticationMethod", "SharedSecret" if name == "IPSec" else None)
        if method == "SharedSecret" and not settings.get("SharedSecret"):
            yield warning("is not set: the VPN cannot connect without the shared secret.", name, "SharedSecret")


def ikev2_needs_eap_or_a_method(content: Content) -> Iterator[Judged]:
    """With the method None only EAP is left."""
    settings = inner(content, "IKEv2")
    if settings.get("AuthenticationMethod") == "None" and not is_on(settings, "ExtendedAuthEnabled"):
        yield error("must be on when the device does not prove itself otherwise.", "IKEv2", "ExtendedAuthEnabled")


def always_on_is_for_supervised_devices(content: Content) -> Iterator[Judged]:
    """Others refuse the profile; and while its server is down, the device has no network."""
    if content.get("VPNType") == "AlwaysOn":
        yield warning(
            "works on supervised iPhones and iPads only, and cuts them off while its server is down.", "VPNType"
        )


def on_demand_needs_rules(content: Content) -> Iterator[Judged]:
    """Switched on without a rule it never connects."""
    old = ("OnDemandMatchDomainsAlways", "OnDemandMatchDomainsNever", "OnDemandMatchDomainsOnRetry")
    for name in _used(content):
        settings = inner(content, name)
        if is_on(settings, "OnDemandEnabled") and not any(settings.get(key) for key in ("OnDemandRules", *old)):
            yield warning("is on, but there is no rule: the VPN will not connect by itself.", name, "OnDemandEnabled")


def encrypted_dns_needs_its_server(content: Content) -> Iterator[Judged]:
    """DNS over HTTPS is found by an address, DNS over TLS by a name."""
    settings = inner(content, "DNS")
    protocol = str(settings.get("DNSProtocol", ""))
    needed = {"HTTPS": "ServerURL", "TLS": "ServerName"}.get(protocol)
    if needed and not settings.get(needed):
        yield error(f"is required for DNS over {protocol}.", "DNS", needed)


def old_ciphers_are_weak(content: Content) -> Iterator[Judged]:
    """Newer systems have dropped them: the VPN stops working with an update."""
    for half in ("IKESecurityAssociationParameters", "ChildSecurityAssociationParameters"):
        settings = inner(inner(content, "IKEv2"), half)
        for key, weak in _WEAK.items():
            if settings.get(key) in weak:
                yield warning("is weak, and newer systems refuse it.", "IKEv2", half, key)


def _used(content: Content) -> tuple[str, ...]:
    """The dictionaries that the chosen kind looks at."""
    kind = str(content.get("VPNType", ""))
    found = _DICTIONARIES.get(kind, ())
    return (*found, "IKEv2") if kind == "AlwaysOn" else found


RULES: tuple[Rule, ...] = (
    a_kind_needs_its_dictionary,
    an_apps_vpn_names_the_app,
    a_certificate_is_chosen,
    a_shared_secret_is_given,
    ikev2_needs_eap_or_a_method,
    always_on_is_for_supervised_devices,
    on_demand_needs_rules,
    encrypted_dns_needs_its_server,
    old_ciphers_are_weak,
)
