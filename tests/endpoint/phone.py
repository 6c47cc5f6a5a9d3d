"""A device made of a key and Django's test client: every byte it sends is written here."""

import base64
import hashlib
import plistlib
from dataclasses import dataclass, field
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from django.test import Client
from django.utils import timezone

from certificates import scep
from certificates.models import PushCertificate
from devices import invitations
from devices.models import Command, Enrollment
from protocol.cms import sign_detached
from tests.certificates.requests import device_key, pkcs_request

TOPIC = "com.apple.mgmt.External.example"


def push_certificate() -> PushCertificate:
    now = timezone.now()
    return PushCertificate.objects.get_or_create(
        topic=TOPIC,
        defaults={
            "subject": "UID=" + TOPIC,
            "sha256": hashlib.sha256(b"push").digest(),
            "certificate_pem": "",
            "private_key_pem": b"x",
            "not_before": now,
            "not_after": now + timedelta(days=365),
            "uploaded_at": now,
        },
    )[0]


def invite(**more):
    options = {"groups": [], "uses": 1, "lifetime": timedelta(hours=1), "now": timezone.now(), **more}
    return invitations.invite(**options)


@dataclass
class Phone:
    """Speaks for one UDID with one identity."""

    udid: str = "00008020-000915083C80012E"
    key: RSAPrivateKey = field(default_factory=device_key)
    certificate: x509.Certificate | None = None
    client: Client = field(default_factory=Client)
    user_id: str = ""

    def get_identity(self, invitation=None):
        """An identity by SCEP, as an enrollment profile of the invitation leads to it."""
        invitation = invitation or invite()[0]
        now = timezone.now()
        secret = invitations.download(invitation, now)
        exchange = pkcs_request(secret, now=now, key=self.key)
        self.certificate = exchange.read(scep.answer(exchange.message, now=now, legacy=False).message)
        return self

    def enroll(self, **more):
        """Identity, Authenticate, TokenUpdate; the inventory commands it leads to are taken out of the way."""
        push_certificate()
        self.get_identity(**more)
        assert self.authenticate().status_code == 200
        assert self.token_update().status_code == 200
        Command.objects.all().delete()
        return self

    @property
    def enrollment(self) -> Enrollment:
        return Enrollment.objects.get(enrollment_id=self.udid, state="enrolled")

    def signature(self, body: bytes) -> str:
        return base64.b64encode(sign_detached(body, self.certificate, private_key=self.key)).decode()

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    def put(self, path: str, message, **headers):
        body = message if isinstance(message, bytes) else plistlib.dumps(message)
        if not headers:
            headers = {"HTTP_MDM_SIGNATURE": self.signature(body)}
        return self.client.generic("PUT", path, body, content_type="", **headers)

    def identity_keys(self):
        return {"UDID": self.udid, **({"UserID": self.user_id} if self.user_id else {})}

    def check_in(self, message_type: str, message=None, **headers):
        return self.put(
            "/mdm/checkin", {"MessageType": message_type, **self.identity_keys(), **(message or {})}, **headers
        )

    def authenticate(self, **more):
        return self.check_in("Authenticate", {"Topic": TOPIC, "SerialNumber": "C02EXAMPLE1", **more})

    def token_update(self, **more):
        message = {"Topic": TOPIC, "PushMagic": "magic", "Token": b"\x01" * 32, **more}
        return self.check_in("TokenUpdate", {key: value for key, value in message.items() if value is not None})

    def report(self, status: str, command_uuid=None, message=None, **headers):
        uuid = {} if command_uuid is None else {"CommandUUID": command_uuid}
        return self.put(
            "/mdm/connect", {**self.identity_keys(), "Status": status, **uuid, **(message or {})}, **headers
        )

    def idle(self, **headers):
        return self.report("Idle", **headers)


def command_in(response):
    """(RequestType, CommandUUID, command) of an answer; None when it is empty."""
    if not response.content:
        return None
    message = plistlib.loads(response.content)
    return message["Command"]["RequestType"], message["CommandUUID"], message["Command"]
