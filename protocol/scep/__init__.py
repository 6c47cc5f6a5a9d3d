"""SCEP messages, both ways (RFC 8894): PKCSReq, RenewalReq and CertRep.

Bytes in, values out. HTTP is in `endpoint` and `simulator`, challenges and
issuance are in `certificates`; GetCert, GetCRL and CertPoll are not served.
"""

from protocol.errors import FailInfo, ScepError
from protocol.scep.client import build_csr, build_request, parse_response, self_signed
from protocol.scep.messages import MessageType, PkiStatus, RequestHead, ScepRequest
from protocol.scep.server import capabilities, failure, parse_request, read_envelope, success

__all__ = [
    "FailInfo",
    "MessageType",
    "PkiStatus",
    "RequestHead",
    "ScepError",
    "ScepRequest",
    "build_csr",
    "build_request",
    "capabilities",
    "failure",
    "parse_request",
    "parse_response",
    "read_envelope",
    "self_signed",
    "success",
]
