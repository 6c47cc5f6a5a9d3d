"""Who sent a request: by Mdm-Signature over the raw body, or by the certificate header of a trusted proxy.

Proves possession of a key, no more: whether the certificate is ours and whose it is, the queue or the check-in
looks up by its fingerprint (mdm-protocol 3.1 to 3.4). No statement is made here.
"""

import binascii
import hashlib
import re
from base64 import b64decode
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import unquote_to_bytes

from django.conf import settings

from endpoint.errors import CertificateHeaderError, NotAuthenticated
from endpoint.exchange import DeviceRequest
from protocol.cms import verify_detached
from protocol.errors import SignatureError

FORMATS = ("rfc9440", "nginx")
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*")


def authenticate(request: DeviceRequest) -> bytes:
    """The SHA-256 of the DER of the certificate whose key made this request; NotAuthenticated otherwise."""
    by_header = _by_header(request)
    by_signature = _by_signature(request)
    if by_header is not None and by_signature is not None and by_header != by_signature:
        raise NotAuthenticated("Mdm-Signature and the certificate header name different certificates")
    proved = by_signature or by_header
    if proved is None:
        raise NotAuthenticated("neither Mdm-Signature nor a certificate header")
    return proved


def _by_signature(request: DeviceRequest) -> bytes | None:
    value = request.header("mdm-signature")
    if not value:
        return None
    try:
        signature = b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        raise NotAuthenticated("Mdm-Signature is no Base64") from None
    try:
        return verify_detached(signature, request.body).sha256
    except SignatureError as error:
        raise NotAuthenticated(f"Mdm-Signature: {error}") from None


def _by_header(request: DeviceRequest) -> bytes | None:
    """None when no header is configured or the trusted proxy says that there was no certificate."""
    name = settings.PORTAL_CERTIFICATE_HEADER
    if not name:
        return None
    wanted = name.lower().replace("_", "-")
    copies = [value for key, value in request.headers.items() if key.lower().replace("_", "-") == wanted]
    if not copies:
        return None
    if not is_trusted(request.remote_addr):
        raise CertificateHeaderError("the certificate header came from an address that is no trusted proxy")
    # WSGI joins copies with a comma, which neither format contains.
    if len(copies) > 1 or "," in copies[0]:
        raise CertificateHeaderError("the certificate header came more than once")
    value = copies[0].strip()
    return hashlib.sha256(_der(value)).digest() if value else None


def _der(value: str) -> bytes:
    encoded = _pem_body(value) if settings.PORTAL_CERTIFICATE_HEADER_FORMAT == "nginx" else _byte_sequence(value)
    try:
        der = b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise CertificateHeaderError("the certificate header is no Base64") from None
    if not der:
        raise CertificateHeaderError("the certificate header holds no certificate")
    return der


def _byte_sequence(value: str) -> bytes:
    """The inside of `:Base64:` (RFC 9440 section 2.1, RFC 8941 section 3.3.5)."""
    if len(value) < 2 or not value.startswith(":") or not value.endswith(":") or not value.isascii():
        raise CertificateHeaderError("the certificate header is not in the format of RFC 9440")
    return value[1:-1].encode("ascii")


def _pem_body(value: str) -> bytes:
    """The Base64 of percent-encoded PEM ($ssl_client_escaped_cert). A plus stays one: it is Base64's, no space."""
    found = _PEM.fullmatch(unquote_to_bytes(value))
    if found is None:
        raise CertificateHeaderError("the certificate header is not percent-encoded PEM")
    return b"".join(found.group(1).split())


def is_trusted(remote_addr: str) -> bool:
    """Whether REMOTE_ADDR is one of PORTAL_TRUSTED_PROXIES; nothing that a header says counts."""
    try:
        address = ip_address(remote_addr)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks(tuple(settings.PORTAL_TRUSTED_PROXIES)))


@lru_cache(maxsize=8)
def networks(proxies: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    """Addresses and CIDRs, read; one that cannot be read trusts nobody (endpoint.E001 reports it)."""
    found = []
    for proxy in proxies:
        try:
            found.append(ip_network(proxy, strict=False))
        except ValueError:
            continue
    return tuple(found)
