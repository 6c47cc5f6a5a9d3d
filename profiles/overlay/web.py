"""The overlay for Web Clip, Web Content Filter and Global HTTP Proxy."""

from collections.abc import Iterator

from profiles.overlay.facts import (
    Condition,
    Content,
    Group,
    Judged,
    KeyOverlay,
    PayloadOverlay,
    error,
    is_on,
    shown,
    warning,
    worded,
)

__all__ = ["OVERLAYS"]

_BUILT_IN = ("AutoFilterEnabled", "PermittedURLs", "DenyListURLs", "HideDenyListURLs", "AllowListBookmarks")
_OLD = ("BlacklistedURLs", "WhitelistedBookmarks")
_PLUGIN = (
    "UserDefinedName", "PluginBundleID", "Organization", "ServerAddress", "UserName", "Password",
    "PayloadCertificateUUID", "VendorConfig", "FilterBrowsers", "FilterSockets", "FilterPackets", "FilterGrade",
    "ContentFilterUUID",
)  # fmt: skip
_SOCKETS = ("FilterDataProviderBundleIdentifier", "FilterDataProviderDesignatedRequirement")
_PACKETS = ("FilterPacketProviderBundleIdentifier", "FilterPacketProviderDesignatedRequirement")
_MANUAL = ("ProxyServer", "ProxyServerPort", "ProxyUsername", "ProxyPassword")
_AUTO = ("ProxyPACURL", "ProxyPACFallbackAllowed")


def a_plugin_is_named(content: Content) -> Iterator[Judged]:
    """The filtering app is found by its bundle ID and shown by its name."""
    if content.get("FilterType") == "Plugin":
        for key in ("PluginBundleID", "UserDefinedName"):
            if not content.get(key):
                yield error("is required for a filter of an app.", key)


def a_plugin_filters_something(content: Content) -> Iterator[Judged]:
    """Apple wants at least one kind of traffic."""
    kinds = ("FilterBrowsers", "FilterSockets", "FilterPackets")
    if content.get("FilterType") == "Plugin" and not any(is_on(content, key) for key in kinds):
        yield error("or another kind of traffic must be chosen, or the app filters nothing.", "FilterSockets")


def mac_filters_name_their_extension(content: Content) -> Iterator[Judged]:
    """A Mac needs the system extension's name and code requirement; iPhones do not."""
    for switch, keys in (("FilterSockets", _SOCKETS), ("FilterPackets", _PACKETS)):
        if content.get("FilterType") == "Plugin" and is_on(content, switch):
            for key in keys:
                if not content.get(key):
                    yield warning("is not set: Macs need it for this kind of traffic.", key)


def permitted_addresses_need_the_filter(content: Content) -> Iterator[Judged]:
    """They are exceptions from the automatic filter."""
    if content.get("PermittedURLs") and not is_on(content, "AutoFilterEnabled"):
        yield warning("has no effect while the automatic filter is off.", "PermittedURLs")


def allowed_sites_shut_all_others(content: Content) -> Iterator[Judged]:
    """The whole web but a few sites is seldom what was meant."""
    if content.get("FilterType", "BuiltIn") == "BuiltIn" and content.get("AllowListBookmarks"):
        yield warning("closes every other website.", "AllowListBookmarks")


def the_proxy_has_an_address(content: Content) -> Iterator[Judged]:
    """Without it all web traffic, the portal's too, goes nowhere."""
    if content.get("ProxyType", "Manual") == "Manual":
        for key in ("ProxyServer", "ProxyServerPort"):
            if not content.get(key):
                yield error("is required for a proxy server.", key)


def a_proxy_without_fallback_can_strand_devices(content: Content) -> Iterator[Judged]:
    """When the PAC file's server is down, so is every device."""
    if content.get("ProxyType") == "Auto" and not is_on(content, "ProxyPACFallbackAllowed"):
        yield warning(
            "is off: devices have no network while the PAC file cannot be reached.", "ProxyPACFallbackAllowed"
        )


def a_web_clip_leads_somewhere(content: Content) -> Iterator[Judged]:
    """An address without a scheme opens nothing."""
    url = content.get("URL")
    if isinstance(url, str) and url and ":" not in url and "{{" not in url:
        yield error("must begin with https:// or another scheme.", "URL")


def _filter() -> dict[str, KeyOverlay]:
    keys = worded({
        "AutoFilterEnabled": ("Automatic filter", "Apple's filter for adult websites."),
        "PermittedURLs": ("Always allowed", "Addresses that the automatic filter lets through."),
        "PermittedURLs.PermittedURLItems": "Address",
        "DenyListURLs": ("Never allowed", "Addresses; Apple advises at most 500."),
        "DenyListURLs.DenyListURLItems": "Address",
        "HideDenyListURLs": "Do not show the list on the device",
        "AllowListBookmarks": ("Only these websites", "They become Safari's bookmarks; everything else is closed."),
        "BlacklistedURLs": ("Never allowed (old)", "For systems before iOS 14.5."),
        "WhitelistedBookmarks": ("Only these websites (old)", "For systems before iOS 14.5."),
        "UserDefinedName": ("Name", "What users see in the settings."),
        "PluginBundleID": ("App's bundle ID", "The filtering app."),
        "Organization": "Organization",
        "ServerAddress": "Server",
        "UserName": "User name",
        "Password": "Password",
        "PayloadCertificateUUID": ("Identity", "The certificate of this bundle that signs in to the filter."),
        "VendorConfig": ("Settings for the app", "What the app's maker asks for."),
        "FilterBrowsers": "Filter web pages",
        "FilterSockets": "Filter connections",
        "FilterPackets": "Filter packets",
        "FilterDataProviderBundleIdentifier": "Connection filter's bundle ID",
        "FilterDataProviderDesignatedRequirement": "Connection filter's code requirement",
        "FilterPacketProviderBundleIdentifier": "Packet filter's bundle ID",
        "FilterPacketProviderDesignatedRequirement": "Packet filter's code requirement",
        "ContentFilterUUID": ("Identifier", "Managed apps name this filter by it. Needed on devices that are not supervised."),
    })  # fmt: skip
    keys["FilterType"] = KeyOverlay(
        title="Filter",
        help="Macs know filters of apps only.",
        values={"BuiltIn": "Apple's filter", "Plugin": "An app's filter"},
    )
    keys["FilterGrade"] = KeyOverlay(
        title="Order", values={"firewall": "First (firewall)", "inspector": "After firewalls (inspector)"}
    )
    keys = shown(keys, Condition("FilterType", ("BuiltIn",), unset=True), only=(*_BUILT_IN, *_OLD))
    keys = shown(keys, Condition("FilterType", ("Plugin",)), only=_PLUGIN)
    keys = shown(keys, Condition("FilterSockets", (1,)), only=_SOCKETS)
    return shown(keys, Condition("FilterPackets", (1,)), only=_PACKETS)


def _proxy() -> dict[str, KeyOverlay]:
    keys = worded({
        "ProxyServer": "Proxy server",
        "ProxyServerPort": "Port",
        "ProxyUsername": "User name",
        "ProxyPassword": "Password",
        "ProxyPACURL": ("PAC file address", "Left out, the network is asked for one (WPAD)."),
        "ProxyPACFallbackAllowed": ("Connect directly when the PAC file cannot be reached", ""),
        "ProxyCaptiveLoginAllowed": ("Allow sign-in pages of networks", "Without it devices cannot get online in hotels and trains."),
    })  # fmt: skip
    keys["ProxyType"] = KeyOverlay(
        title="Kind", values={"Manual": "A proxy server", "Auto": "A PAC file or automatic discovery"}
    )
    keys = shown(keys, Condition("ProxyType", ("Manual",), unset=True), only=_MANUAL)
    return shown(keys, Condition("ProxyType", ("Auto",)), only=_AUTO)


_WEB_CLIP = PayloadOverlay(
    groups=(
        Group("Web clip", ("Label", "URL", "Icon")),
        Group("On iPhone and iPad", (
            "IsRemovable", "FullScreen", "IgnoreManifestScope", "Precomposed", "TargetApplicationBundleIdentifier",
        )),
    ),
    keys=shown(
        worded({
            "Label": ("Name", "What stands under the icon."),
            "URL": ("Address", "With https://."),
            "Icon": ("Icon", "A square PNG of up to 400 by 400 points, at most 1 MB."),
            "IsRemovable": ("Users can remove it", ""),
            "FullScreen": ("Open as an app", "Without Safari's bars."),
            "IgnoreManifestScope": ("Stay full screen on other websites", ""),
            "Precomposed": ("Show the icon as it is", "Without added effects."),
            "TargetApplicationBundleIdentifier": ("Open in app", "Bundle ID of the app that opens the address."),
        }),
        Condition("FullScreen", (1,)),
        only=("IgnoreManifestScope",),
    ),
    rules=(a_web_clip_leads_somewhere,),
)  # fmt: skip
_FILTER = PayloadOverlay(
    groups=(
        Group("Filter", ("FilterType", *_BUILT_IN)),
        Group("App", _PLUGIN),
        Group("Extensions on a Mac", (*_SOCKETS, *_PACKETS)),
        Group("Older systems", _OLD),
    ),
    keys=_filter(),
    rules=(
        a_plugin_is_named,
        a_plugin_filters_something,
        mac_filters_name_their_extension,
        permitted_addresses_need_the_filter,
        allowed_sites_shut_all_others,
    ),
)
_PROXY = PayloadOverlay(
    groups=(Group("Proxy", ("ProxyType", *_MANUAL, *_AUTO, "ProxyCaptiveLoginAllowed")),),
    keys=_proxy(),
    rules=(the_proxy_has_an_address, a_proxy_without_fallback_can_strand_devices),
)

OVERLAYS = {
    "com.apple.webClip.managed": _WEB_CLIP,
    "com.apple.webcontent-filter": _FILTER,
    "com.apple.proxy.http.global": _PROXY,
}
