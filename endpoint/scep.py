"""SCEP over HTTP (RFC 8894 section 4), as Apple's clients speak it: one URL, `operation` in the query string.

Liberal about transport: GET and POST, a POST whose query string repeats the message, Base64 whose plus signs came as
spaces. Content types are exact, without a charset. What a message is worth is judged by `certificates.scep`.
"""

import binascii
import logging
from base64 import b64decode
from datetime import datetime
from urllib.parse import unquote

from django.conf import settings
from django.db import transaction

from certificates import scep
from devices.identities import follow_renewal
from endpoint.errors import BadRequest, MethodNotAllowed, NotFound
from endpoint.exchange import DeviceAnswer, DeviceRequest, shown

log = logging.getLogger(__name__)

CA_CERTIFICATE = "application/x-x509-ca-cert"
PKI_MESSAGE = "application/x-pki-message"


def answer(request: DeviceRequest, *, now: datetime) -> DeviceAnswer:
    """Answer one SCEP request; a refused message is HTTP 200 with a CertRep that says so. Raises Refusal."""
    if request.method not in {"GET", "POST"}:
        raise MethodNotAllowed("GET, POST")
    fields = _fields(request.query)
    operation = fields.get("operation", "").lower()
    if operation == "getcacaps":
        return DeviceAnswer(body=scep.get_ca_caps())
    if operation == "getcacert":
        return DeviceAnswer(body=scep.get_ca_cert(now), content_type=CA_CERTIFICATE)
    if operation == "pkioperation":
        return _pki_operation(request, fields.get("message", ""), now)
    if operation == "getnextcacert":
        raise NotFound("there is no next CA certificate")
    raise BadRequest(f"unknown SCEP operation {shown(operation)}")


def _pki_operation(request: DeviceRequest, message: str, now: datetime) -> DeviceAnswer:
    body = request.body if request.method == "POST" and request.body else _from_query(message)
    with transaction.atomic():
        answered = scep.answer(body, now=now, legacy=settings.PORTAL_SCEP_LEGACY)
        if answered.renewed is not None:
            # In the same transaction: a renewed identity must never be one that nobody knows.
            follow_renewal(answered.renewed, now)
    if answered.issued is not None:
        log.info("scep: issued %s to %s", answered.issued, request.remote_addr)
    else:
        log.warning("scep: refused %s: %s", request.remote_addr, answered.refused)
    return DeviceAnswer(body=answered.message, content_type=PKI_MESSAGE)


def _from_query(message: str) -> bytes:
    """The Base64 of a GET. Base64 knows no space: one that is there was a plus before somebody decoded it."""
    text = message.replace(" ", "+").replace("\r", "").replace("\n", "")
    try:
        return b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest("the SCEP message in the query string is no Base64") from None


def _fields(query: str) -> dict[str, str]:
    """The query's fields, percent-decoded, first copy of each; a plus stays a plus."""
    fields: dict[str, str] = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        fields.setdefault(unquote(name), unquote(value, errors="replace"))
    return fields
