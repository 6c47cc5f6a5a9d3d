"""How a device proves who it is with each MDM request: Mdm-Signature, or the header a TLS proxy would add.

Mdm-Signature is a detached CMS over the exact body, Base64 on one line (mdm-protocol 3.1). A device whose profile
asks for neither would use a TLS client certificate, which the simulator does not do.
"""

import base64
from typing import Final
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from protocol import cms
from simulator.device import CertificateHeader, Device
from simulator.flows import HttpRequest

CHECK_IN: Final = "application/x-apple-aspen-mdm-checkin"
CONNECT: Final = "application/x-apple-aspen-mdm; charset=UTF-8"
USER_AGENT: Final = "MDM-OSX/1.0 mdmd/1.0"


def mdm_request(device: Device, url: str, body: bytes, *, content_type: str) -> HttpRequest:
    """A PUT to the portal with this device's proof of identity. The device has an enrollment."""
    headers = {"Content-Type": content_type, "User-Agent": USER_AGENT}
    enrollment = device.enrollment
    if enrollment is None:
        return HttpRequest("PUT", url, headers, body)
    if device.certificate_header is not None:
        value = certificate_header(device.certificate_header, enrollment.certificate)
        headers[device.certificate_header.name] = value
    elif enrollment.facts.sign_message:
        headers["Mdm-Signature"] = mdm_signature(body, enrollment.certificate, private_key=enrollment.private_key)
    return HttpRequest("PUT", url, headers, body)


def mdm_signature(body: bytes, certificate: x509.Certificate, *, private_key: RSAPrivateKey) -> str:
    """The value of the Mdm-Signature header over exactly these bytes."""
    return base64.b64encode(cms.sign_detached(body, certificate, private_key=private_key)).decode()


def certificate_header(header: CertificateHeader, certificate: x509.Certificate) -> str:
    """nginx's `$ssl_client_escaped_cert` (percent-encoded PEM) or RFC 9440's `:base64 DER:`."""
    if header.format == "nginx":
        return quote(certificate.public_bytes(Encoding.PEM).decode(), safe="")
    return f":{base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()}:"
