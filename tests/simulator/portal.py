"""A tiny MDM portal for the simulator's own tests: profile, SCEP, check-in, connect; everything it hears is kept.

It checks what a real one would: the challenge, the signature over the exact body, the identity behind it.
"""

import base64
import json
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from protocol import cms, mobileconfig, plist, scep
from protocol.checkin import CheckinMessage, TokenUpdate, parse_checkin
from protocol.commands import Command, render_command
from protocol.reports import Report, Status, parse_report
from simulator.transport import generate_key

TOPIC = "com.apple.mgmt.External.00000000-0000-0000-0000-000000000001"
IDENTIFIER = "com.example.mdm.enrollment"


class Keys:
    """Ready RSA keys, because making them is what takes the time."""

    def __init__(self, count: int = 4) -> None:
        self._keys = [generate_key(2048) for _ in range(count)]
        self._next = 0

    def __call__(self, size: int) -> RSAPrivateKey:
        assert size == 2048
        self._next += 1
        return self._keys[self._next % len(self._keys)]


@dataclass
class Portal:
    """`handle` is the whole server; `faults` are answered first, in order (a status, or a ready answer)."""

    ca_key: RSAPrivateKey
    base_url: str = "http://portal.example.com"
    topic: str = TOPIC
    sign_message: bool = True
    sign_profile: bool = False
    header: str = ""
    challenges: set[str] = field(default_factory=set)
    checkins: list[CheckinMessage] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    queue: dict[str, deque[tuple[str, Command | bytes]]] = field(default_factory=dict)
    fingerprints: dict[bytes, str] = field(default_factory=dict)
    faults: deque[int | httpx.Response | Exception] = field(default_factory=deque)
    down: bool = False
    while_answering: Callable[[Report], object] = id

    def __post_init__(self) -> None:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Example Device CA")])
        self.ca = self._issue(name, self.ca_key.public_key(), is_ca=True)

    def client(self) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(self.handle))

    @property
    def profile_url(self) -> str:
        return f"{self.base_url}/profile"

    def profile(self, **changes: object) -> bytes:
        """An enrollment profile with a new challenge."""
        challenge = uuid.uuid4().hex
        self.challenges.add(challenge)
        facts = {
            "identifier": IDENTIFIER,
            "organization": "Example Ltd",
            "topic": self.topic,
            "server_url": f"{self.base_url}/connect",
            "check_in_url": f"{self.base_url}/checkin",
            "scep_url": f"{self.base_url}/scep",
            "scep_name": "example",
            "challenge": challenge,
            "subject": [[["O", "Example Ltd"]], [["CN", "device identity"]]],
            "ca_fingerprint": self.ca.fingerprint(hashes.SHA256()),
            "root_certificates": (self.ca.public_bytes(Encoding.DER),),
            "sign_message": self.sign_message,
            **changes,
        }
        content = plist.dumps(mobileconfig.EnrollmentProfile(**facts).build())
        return cms.sign_attached(content, self.ca, private_key=self.ca_key) if self.sign_profile else content

    def push(self, enrollment_id: str, command: Command | bytes, command_uuid: str = "") -> str:
        """Queue a command; bytes are sent as they are."""
        command_uuid = command_uuid or str(uuid.uuid4()).upper()
        self.queue.setdefault(enrollment_id, deque()).append((command_uuid, command))
        return command_uuid

    def results(self, command_uuid: str) -> list[Report]:
        return [report for report in self.reports if report.command_uuid == command_uuid]

    def last(self) -> Report:
        return self.reports[-1]

    def handle(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            raise httpx.ConnectError("down")
        if self.faults and request.method == "PUT":
            fault = self.faults.popleft()
            if isinstance(fault, Exception):
                raise fault
            if fault != 200:
                return fault if isinstance(fault, httpx.Response) else httpx.Response(fault)
        answer = {"/profile": self._profile, "/scep": self._scep, "/checkin": self._checkin, "/connect": self._connect}
        return answer[request.url.path](request)

    def _profile(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Type": "application/x-apple-aspen-config"}, content=self.profile())

    def _scep(self, request: httpx.Request) -> httpx.Response:
        operation = request.url.params["operation"]
        if operation == "GetCACaps":
            return httpx.Response(200, text=scep.capabilities(legacy=False).decode())
        if operation == "GetCACert":
            der = self.ca.public_bytes(Encoding.DER)
            return httpx.Response(200, headers={"Content-Type": "application/x-x509-ca-cert"}, content=der)
        message = scep.parse_request(request.content, self.ca, private_key=self.ca_key)
        nonce = uuid.uuid4().bytes
        if message.challenge_password in self.challenges:
            self.challenges.discard(message.challenge_password)
            issued = self._issue(message.csr.subject, message.csr.public_key(), is_ca=False)
            reply = scep.success(message, issued, ca=self.ca, private_key=self.ca_key, nonce=nonce)
        else:
            head = scep.read_envelope(request.content)
            fail = scep.FailInfo.BAD_REQUEST
            reply = scep.failure(head, fail, ca=self.ca, private_key=self.ca_key, nonce=nonce, text="challenge")
        return httpx.Response(200, headers={"Content-Type": "application/x-pki-message"}, content=reply)

    def _issue(self, subject: x509.Name, key: object, *, is_ca: bool) -> x509.Certificate:
        issuer = subject if is_ca else self.ca.subject
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(minutes=10)).not_valid_after(now + timedelta(days=365))
        builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        return builder.sign(self.ca_key, hashes.SHA256())

    def _fingerprint(self, request: httpx.Request) -> bytes:
        """Who signed this body; an assertion fails where a real portal would answer 400."""
        if self.header:
            value = request.headers[self.header]
            assert "Mdm-Signature" not in request.headers
            if value.startswith(":"):
                certificate = x509.load_der_x509_certificate(base64.b64decode(value.strip(":"), validate=True))
            else:
                certificate = x509.load_pem_x509_certificate(unquote(value).encode())
        else:
            signature = base64.b64decode(request.headers["Mdm-Signature"], validate=True)
            certificate = cms.verify_detached(signature, request.content).certificate
        certificate.verify_directly_issued_by(self.ca)
        return certificate.fingerprint(hashes.SHA256())

    def _checkin(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["Content-Type"] == "application/x-apple-aspen-mdm-checkin"
        message = parse_checkin(request.content)
        fingerprint = self._fingerprint(request)
        self.fingerprints.setdefault(fingerprint, message.identity.device_id)
        assert self.fingerprints[fingerprint] == message.identity.device_id
        self.checkins.append(message)
        return httpx.Response(200)

    def _connect(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["Content-Type"].startswith("application/x-apple-aspen-mdm;")
        report = parse_report(request.content)
        assert self.fingerprints[self._fingerprint(request)] == report.identity.device_id
        self.reports.append(report)
        self.while_answering(report)
        queue = self.queue.setdefault(report.identity.enrollment_id, deque())
        if report.status not in {Status.IDLE, Status.NOT_NOW} and queue and queue[0][0] == report.command_uuid:
            queue.popleft()
        if report.status is Status.NOT_NOW or not queue:
            return httpx.Response(200)
        command_uuid, command = queue[0]
        body = command if isinstance(command, bytes) else render_command(command_uuid, command)
        if isinstance(command, bytes):
            queue.popleft()
        return httpx.Response(200, headers={"Content-Type": "application/xml"}, content=body)

    def token_updates(self) -> list[TokenUpdate]:
        return [message for message in self.checkins if isinstance(message, TokenUpdate)]


def unrecognized() -> httpx.Response:
    body = json.dumps({"code": "com.apple.unrecognized.device"})
    return httpx.Response(403, headers={"Content-Type": "application/json"}, content=body)


def profile_with(
    *payloads: dict[str, object], identifier: str = "com.example.profile", profile_uuid: str = ""
) -> bytes:
    """A configuration profile around these payloads, whose common keys are filled in."""
    complete = [
        {"PayloadVersion": 1, "PayloadIdentifier": f"{identifier}.{n}", "PayloadUUID": f"{identifier}-{n}", **payload}
        for n, payload in enumerate(payloads)
    ]
    profile_uuid = profile_uuid or str(uuid.uuid4()).upper()
    return plist.dumps(
        mobileconfig.build_mobileconfig(complete, identifier=identifier, uuid=profile_uuid, display_name="Example")
    )


PASSCODE = {"PayloadType": "com.apple.mobiledevice.passwordpolicy", "forcePIN": True, "minLength": 6}
VPN = {"PayloadType": "com.apple.vpn.managed", "VPNType": "IKEv2"}
