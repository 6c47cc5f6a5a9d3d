"""System checks of the device endpoint's settings: each mistake has an id and a hint."""

from ipaddress import ip_network
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from endpoint.authentication import FORMATS


@register()
def certificate_header_can_be_believed(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """endpoint.E001 to E004: the trusted proxies and their certificate header."""
    return [*_proxies(), *_header()]


def _proxies() -> list[CheckMessage]:
    return [
        Error(
            f"PORTAL_TRUSTED_PROXIES: {proxy!r} is neither an address nor a network.",
            hint="Write addresses or CIDRs, separated by commas: 127.0.0.1, 10.0.0.0/8",
            id="endpoint.E001",
        )
        for proxy in settings.PORTAL_TRUSTED_PROXIES
        if not _is_network(proxy)
    ]


def _header() -> list[CheckMessage]:
    found: list[CheckMessage] = []
    name = settings.PORTAL_CERTIFICATE_HEADER
    if settings.PORTAL_CERTIFICATE_HEADER_FORMAT not in FORMATS:
        found.append(
            Error(
                "PORTAL_CERTIFICATE_HEADER_FORMAT is not known.",
                hint=f"Use one of: {', '.join(FORMATS)}.",
                id="endpoint.E002",
            )
        )
    if name and not settings.PORTAL_TRUSTED_PROXIES:
        found.append(
            Error(
                "PORTAL_CERTIFICATE_HEADER is set, but nobody may send it.",
                hint="Put the proxy's address into PORTAL_TRUSTED_PROXIES, or unset the header.",
                id="endpoint.E003",
            )
        )
    if ("-" in name or "_" in name) and not settings.PORTAL_PROXY_DROPS_UNDERSCORES:
        found.append(
            Error(
                f"{name} and its spelling with underscores are one header to a WSGI server, which keeps the last: a "
                "client that sends the other spelling through the proxy could be any device.",
                hint="Choose a name without hyphens, such as ClientCert. Or, where the proxy drops every header with an "
                "underscore from what clients send (nginx does by default), set PORTAL_PROXY_DROPS_UNDERSCORES=true.",
                id="endpoint.E004",
            )
        )
    return found


def _is_network(proxy: str) -> bool:
    try:
        ip_network(proxy, strict=False)
    except ValueError:
        return False
    return True
