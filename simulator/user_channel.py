"""A Mac's user channel: somebody signs in, and the account gets a push address and profiles of its own (mdm-protocol 1.2).

It never authenticates: it speaks with the device's identity, and `simulator.session` works on it as on any device.
It is not kept in a state folder, and ends with the device's enrollment only where its owner ends it.
"""

import uuid
from dataclasses import replace

from simulator.device import Device, LocalUser
from simulator.enrollment import update_token
from simulator.errors import EnrollmentFailed
from simulator.flows import Flow


def sign_in(mac: Device, user: LocalUser) -> Flow[Device]:
    """The channel of this user, known to the portal. EnrollmentFailed or ConnectionFailed: try again later."""
    tie = mac.enrollment
    if tie is None or not tie.confirmed or not mac.hardware.is_mac:
        raise EnrollmentFailed("only an enrolled Mac has user channels")
    channel = Device(
        mac.hardware,
        user=user,
        certificate_header=mac.certificate_header,
        listener=mac.listener,
        new_token=mac.new_token,
        clock=mac.clock,
    )
    channel.enrollment = replace(
        tie, push_magic=str(uuid.uuid4()).upper(), token=mac.new_token(tie.facts.topic), unlock_token=None
    )
    yield from update_token(channel)
    channel.note("signed in", user.short_name)
    return channel
