"""What tests do to and with a Phone."""

from cryptography.hazmat.primitives.hashes import SHA256
from django.utils import timezone

from certificates.models import IssuedCertificate
from devices.commands import CommandSpec, enqueue
from devices.models import Command, CommandState
from tests.certificates.requests import device_key, renewal_request
from tests.endpoint.phone import Phone


def second(**more):
    """Another device with another key."""
    return Phone(udid="SECOND", key=device_key(2), **more)


def queue(phone, request_type="RestartDevice", **more):
    """A command for it."""
    spec = CommandSpec(enrollment_id=phone.enrollment.pk, request_type=request_type, origin="test", **more)
    return enqueue([spec], timezone.now())[0]


def state(command):
    """What became of a command."""
    return CommandState(Command.objects.get(pk=command.pk).state)


def renewed(phone, key):
    """The phone with the certificate that a SCEP RenewalReq of its own brought."""
    exchange = renewal_request(phone.certificate, phone.key, now=timezone.now(), key=key)
    answer = phone.client.generic("POST", "/scep?operation=PKIOperation", exchange.message)
    return Phone(udid=phone.udid, key=key, certificate=exchange.read(answer.content))


def row(phone):
    """Its certificate as we recorded it."""
    return IssuedCertificate.objects.get(sha256=phone.certificate.fingerprint(SHA256()))
