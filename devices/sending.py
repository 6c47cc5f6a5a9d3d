"""What a human sends to one device: checked against Apple's schema and the device, then queued.

Our own code, which knows what it asks of whom, uses `devices.commands`.
"""

from collections.abc import Mapping
from datetime import datetime

from django.db import transaction

from devices import escrow
from devices.commands import CommandSpec, enqueue
from devices.errors import CommandRefused
from devices.models import Command, Device, Enrollment, EnrollmentState, EscrowedSecret
from devices.suitability import unsuitable
from protocol import schema
from protocol.plist import PlistValue

# Keys filled in when the command is rendered, from what the device entrusted to us.
_FROM_ESCROW = {"ClearPasscode": ("UnlockToken", EscrowedSecret.Kind.UNLOCK_TOKEN)}
_HUMAN_PRIORITY = 50


def send(
    target: Device | Enrollment, request_type: str, params: Mapping[str, PlistValue], *, origin: str, now: datetime
) -> Command:
    """Queue one command for a device or one of its channels. Raises CommandRefused with a sentence for IT staff.

    A PIN is kept in escrow too, so that the device can be opened after its commands were cleared away.
    """
    enrollment = _channel(target)
    problems = schema.check(request_type, {**_escrowed(enrollment, request_type), **params})
    problems = problems or unsuitable(enrollment, request_type)
    if problems:
        raise CommandRefused(" ".join(problems))
    with transaction.atomic():
        spec = CommandSpec(
            enrollment_id=enrollment.pk,
            request_type=request_type,
            origin=origin,
            params=params,
            priority=_HUMAN_PRIORITY,
        )
        queued = enqueue([spec], now)
        if not queued:
            raise CommandRefused(_why_not(enrollment, request_type))
        pin = params.get("PIN")
        if isinstance(pin, str) and pin:
            escrow.keep(enrollment, EscrowedSecret.Kind.PIN, value=pin.encode(), now=now)
    return queued[0]


def _channel(target: Device | Enrollment) -> Enrollment:
    if isinstance(target, Enrollment):
        return target
    channel = Enrollment.objects.enrolled().device_channel().select_related("device").filter(device=target).first()
    if channel is None:
        raise CommandRefused("The device is not enrolled.")
    return channel


def _escrowed(enrollment: Enrollment, request_type: str) -> dict[str, PlistValue]:
    """The keys that rendering will add, so that they count as given. Raises CommandRefused when there is nothing."""
    if request_type not in _FROM_ESCROW:
        return {}
    key, kind = _FROM_ESCROW[request_type]
    secret = escrow.latest(enrollment, kind)
    if secret is None:
        raise CommandRefused(f"{request_type} needs the {key} that the device never gave us.")
    return {key: secret}


def _why_not(enrollment: Enrollment, request_type: str) -> str:
    state = Enrollment.objects.filter(pk=enrollment.pk).values_list("state", flat=True).first()
    if state != EnrollmentState.ENROLLED:
        return "The device is not enrolled."
    return f"A {request_type} is already waiting for this device; cancel it first."
