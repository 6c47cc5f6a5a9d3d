"""System checks: each mistake in the environment gets an id and a hint, never a stack trace.

They run before every management command that starts or changes something, so `up` does not start on a mistake. What
concerns proxies and their certificate header is in `endpoint.checks`.
"""

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from mdmportal.demo_data import is_demo_folder


@register()
def configuration_is_sound(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001 (Django's contract)
    """portal.E001 to portal.E008, in the order of `.env.example`."""
    return [
        *_environment(),
        *_data_folder(),
        *_encryption_keys(),
        *_address(),
        *_tls(),
        *_push(),
        *_webhook(),
        *_provisioning(),
    ]


def _environment() -> Iterator[CheckMessage]:
    for mistake in settings.ENVIRONMENT.mistakes:
        hint = f"Correct {mistake.name}; .env.example describes it."
        yield Error(f"{mistake.name}: {mistake.reason}.", hint=hint, id="portal.E001")


def _data_folder() -> Iterator[CheckMessage]:
    if is_demo_folder(settings.DATA_DIR) and not settings.DEMO:
        yield Error(
            "PORTAL_DATA_DIR is the data folder of a demo, which trusts a fake Apple.",
            hint="Use another folder; to look into the demo's own, set PORTAL_DEMO=1.",
            id="portal.E002",
        )


def _encryption_keys() -> Iterator[CheckMessage]:
    hint = "Unset it to use the key made at first start, or give comma separated keys of 32 bytes in URL-safe Base64."
    if not settings.PORTAL_ENCRYPTION_KEYS:
        yield Error("PORTAL_ENCRYPTION_KEYS: there is no key.", hint=hint, id="portal.E003")
    for number, key in enumerate(settings.PORTAL_ENCRYPTION_KEYS, start=1):
        try:
            Fernet(key)
        except ValueError:
            yield Error(f"PORTAL_ENCRYPTION_KEYS: key {number} cannot be used.", hint=hint, id="portal.E003")


def _address() -> Iterator[CheckMessage]:
    parts = urlsplit(settings.PORTAL_URL)
    if parts.scheme != "https" and not _is_loopback(parts.hostname or ""):
        yield Error(
            "PORTAL_URL is not https, and devices speak MDM over HTTPS only.",
            hint="Set PORTAL_URL=https://HOST; plain http is for 127.0.0.1 and localhost.",
            id="portal.E004",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tls() -> Iterator[CheckMessage]:
    given = {name: getattr(settings, name) for name in ("PORTAL_TLS_CERT", "PORTAL_TLS_KEY")}
    hint = "Set both to PEM files that the portal may read, or neither."
    if len([path for path in given.values() if path]) == 1:
        yield Error("Only one of PORTAL_TLS_CERT and PORTAL_TLS_KEY is set.", hint=hint, id="portal.E005")
    for name, path in given.items():
        if path and not Path(path).is_file():
            yield Error(f"{name}: there is no such file.", hint=hint, id="portal.E005")


def _push() -> Iterator[CheckMessage]:
    if settings.APNS_CA_FILE and not Path(settings.APNS_CA_FILE).is_file():
        yield Error("APNS_CA_FILE: there is no such file.", hint="Unset it for Apple's own APNs.", id="portal.E006")


def _provisioning() -> Iterator[CheckMessage]:
    if settings.PROVISIONING_EXTRA_ROOTS and not Path(settings.PROVISIONING_EXTRA_ROOTS).is_file():
        yield Error(
            "PORTAL_PROVISIONING_EXTRA_ROOTS: there is no such file.",
            hint="Unset it to trust Apple's own roots only.",
            id="portal.E008",
        )


def _webhook() -> Iterator[CheckMessage]:
    if settings.ALERT_WEBHOOK_URL and not settings.ALERT_WEBHOOK_SECRET:
        yield Error(
            "PORTAL_ALERT_WEBHOOK_URL is set without PORTAL_ALERT_WEBHOOK_SECRET.",
            hint="Set a secret: the receiver needs it to know that an alert is ours.",
            id="portal.E007",
        )
