"""How a device enrolls, renews its enrollment and takes leave, as flows (mdm-protocol 1, 3.5, 5).

Profile, SCEP, Authenticate, TokenUpdate. A failure before the TokenUpdate leaves the device as it was, and its user
starts again with a new profile; a TokenUpdate that fails is sent again with the same identity.
"""

from datetime import datetime

from protocol import mobileconfig
from protocol.checkin import Authenticate, CheckOut, TokenUpdate
from protocol.errors import ProtocolError
from protocol.reports import Status
from simulator import commands, profiles
from simulator.authentication import CHECK_IN, mdm_request
from simulator.commands import Answer, CommandError
from simulator.device import Device, Enrollment
from simulator.errors import ConnectionFailed, EnrollmentFailed
from simulator.flows import Flow, HttpRequest, HttpResponse, fetch, new_key
from simulator.profiles import InstalledProfile
from simulator.scep_client import get_certificate


def enroll(device: Device, source: str | bytes, *, now: datetime) -> Flow[None]:
    """Enroll from the URL of an enrollment profile or from its bytes.

    Does nothing when enrolled; goes on with the TokenUpdate when only that is missing. EnrollmentFailed or
    ConnectionFailed: try again later.
    """
    if device.is_enrolled:
        return
    if device.enrollment is None:
        profile = yield from _download(source)
        yield from _establish(device, profile, now=now)
    yield from update_token(device)
    device.confirm_enrollment()
    device.note("enrolled")


def install(device: Device, profile: InstalledProfile, *, now: datetime) -> Flow[Answer]:
    """Carry out an InstallProfile that needs SCEP: a new enrollment profile, or one that brings an identity."""
    if profile.payloads_of(profiles.MDM):
        return (yield from _renew(device, profile, now=now))
    try:
        identities = []
        for payload in profile.payloads_of(profiles.SCEP):
            settings = profiles.read_scep(payload, default_name=profile.identifier)
            private_key = yield from new_key(settings.key_size)
            identities.append((yield from get_certificate(settings, private_key, now=now)))
    except (EnrollmentFailed, ConnectionFailed, KeyError, ValueError) as error:
        return CommandError(22013, "MCSCEPErrorDomain", f"no identity: {error}").answer()
    return commands.install(device, profile, identities)


def check_out(device: Device) -> Flow[None]:
    """The user removes the enrollment profile: one CheckOut if the profile wants it, never repeated."""
    enrollment = device.enrollment
    if enrollment is None:
        return
    if enrollment.facts.check_out_when_removed and enrollment.confirmed:
        body = CheckOut(identity=device.identity, topic=enrollment.facts.topic).to_plist()
        try:
            yield from fetch(mdm_request(device, enrollment.facts.check_in_url, body, content_type=CHECK_IN))
        except ConnectionFailed:
            device.note("CheckOut lost")
    device.unenroll()
    device.note("unenrolled")


def _download(source: str | bytes) -> Flow[InstalledProfile]:
    data = source
    if isinstance(data, str):
        reply = yield from fetch(HttpRequest("GET", data))
        if reply.status != 200 or reply.content_type != "application/x-apple-aspen-config":
            raise EnrollmentFailed(f"enrollment profile: HTTP {reply.status} {reply.content_type}")
        data = reply.body
    try:
        return profiles.read_profile(data, managed=False)
    except ProtocolError as error:
        raise EnrollmentFailed(f"the enrollment profile cannot be read: {error}") from error


def _establish(device: Device, profile: InstalledProfile, *, now: datetime) -> Flow[None]:
    """Identity and Authenticate; on failure the device has no enrollment, as before."""
    try:
        facts = mobileconfig.read_enrollment(profile.content)
        settings = profiles.read_scep(profile.identity_payload(), default_name=profile.identifier)
    except (ProtocolError, KeyError, ValueError) as error:
        raise EnrollmentFailed("the profile enrolls nothing: it lacks an MDM or a SCEP payload") from error
    private_key = yield from new_key(settings.key_size)
    certificate = yield from get_certificate(settings, private_key, now=now)
    before = device.enrollment
    device.begin_enrollment(facts, profile, private_key=private_key, certificate=certificate)
    try:
        yield from _authenticate(device)
    except (EnrollmentFailed, ConnectionFailed):
        device.enrollment = before
        raise


def _renew(device: Device, profile: InstalledProfile, *, now: datetime) -> Flow[Answer]:
    """A pushed enrollment profile: new key, Authenticate, TokenUpdate; the old enrollment stays if anything fails."""
    old = device.enrollment
    if old is None:
        return CommandError(12009, commands.MDM_DOMAIN, "not enrolled").answer()
    try:
        facts = mobileconfig.read_enrollment(profile.content)
        if (facts.topic, facts.server_url, facts.check_in_url) != _fixed(old):
            return CommandError(12012, commands.MDM_DOMAIN, "Topic or URLs differ from the installed ones").answer()
        yield from _establish(device, profile, now=now)
        if device.enrollment is not None:
            device.enrollment.unlock_token = old.unlock_token
        yield from update_token(device)
    except (EnrollmentFailed, ConnectionFailed, ProtocolError) as error:
        device.enrollment = old
        return CommandError(4013, commands.INSTALLATION_DOMAIN, f"the renewal failed: {error}").answer()
    device.confirm_enrollment()
    device.note("identity renewed")
    return Answer(Status.ACKNOWLEDGED)


def _fixed(enrollment: Enrollment) -> tuple[str, str, str]:
    facts = enrollment.facts
    return facts.topic, facts.server_url, facts.check_in_url


def _authenticate(device: Device) -> Flow[None]:
    if device.enrollment is None:
        raise EnrollmentFailed("no identity")
    hardware, is_mac = device.hardware, device.hardware.is_mac
    private = device.user_enrollment
    message = Authenticate(
        identity=device.identity,
        topic=device.enrollment.facts.topic,
        serial_number=None if private else hardware.serial,
        device_name=hardware.device_name if is_mac else None,
        model=hardware.model if is_mac else None,
        model_name=hardware.model_name if is_mac else None,
        product_name=hardware.product_name,
        os_version=hardware.os_version,
        build_version=hardware.build_version,
        imei=None if private else hardware.imei,
    )
    reply = yield from _check_in(device, device.enrollment, message.to_plist())
    if reply.status != 200:
        raise EnrollmentFailed(f"Authenticate: HTTP {reply.status}")
    device.enrollment.authenticated = True


def update_token(device: Device) -> Flow[None]:
    """Tell the portal where this channel is to be pushed. EnrollmentFailed when it refuses."""
    enrollment = device.enrollment
    if enrollment is None:
        raise EnrollmentFailed("no identity")
    message = TokenUpdate(
        identity=device.identity,
        topic=enrollment.facts.topic,
        push_magic=enrollment.push_magic,
        token=enrollment.token,
        unlock_token=enrollment.unlock_token,
        awaiting_configuration=device.awaiting_configuration or None,
    )
    reply = yield from _check_in(device, enrollment, message.to_plist())
    if reply.status == 401:
        device.unenroll()
    if not reply.is_success:
        raise EnrollmentFailed(f"TokenUpdate: HTTP {reply.status}")


def _check_in(device: Device, enrollment: Enrollment, body: bytes) -> Flow[HttpResponse]:
    return (yield from fetch(mdm_request(device, enrollment.facts.check_in_url, body, content_type=CHECK_IN)))
