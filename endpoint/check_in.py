"""CheckInURL: devices enroll, bring tokens and leave (mdm-protocol 1).

The signature is verified over the raw body before anything is read, and the certificate must be one that we issued
and did not revoke. What a message means for our tables is `devices.enrollment`'s.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.db import DataError, transaction

from certificates.models import IssuedCertificate
from devices import enrollment
from devices.commands import CommandSpec, enqueue
from devices.enrollment import TokenUpdateResult
from devices.errors import EnrollmentRefused
from endpoint.authentication import authenticate
from endpoint.errors import BadRequest, NotAuthenticated, NotFound, Refusal
from endpoint.exchange import EMPTY, PLIST, DeviceAnswer, DeviceRequest, shown
from profiles.assignment import plan
from protocol import checkin
from protocol.commands import DEVICE_INFORMATION_QUERIES
from protocol.errors import ProtocolError
from provisioning import rollout

log = logging.getLogger(__name__)

# Before anything else, so that lists and facts are there when the first profiles are judged.
INVENTORY_PRIORITY = 10
# Behind everything else: Setup Assistant leaves its last page once this is acknowledged.
CONFIGURED_PRIORITY = 30_000
_ORIGIN = "enrollment"


class UserNotManaged(Refusal):
    """Directory users are not managed: Apple's word for that is 410 (mdm-protocol 1.8)."""

    status = 410


def check_in(request: DeviceRequest, *, now: datetime) -> DeviceAnswer:
    """Take one check-in message. Raises Refusal and database errors; a refusal changes nothing."""
    certificate = _certificate(authenticate(request))
    try:
        message = checkin.parse_checkin(request.body)
    except ProtocolError as error:
        raise BadRequest(f"the message cannot be read: {error}") from None
    try:
        return _ANSWERS[type(message)](message, certificate, now)
    except EnrollmentRefused as error:
        raise BadRequest(f"{message.message_type} of {shown(message.identity.enrollment_id)}: {error.reason}") from None
    except (DataError, UnicodeError, ValueError) as error:
        # Texts that no column can hold (NUL, half a surrogate pair): the device's fault, not an outage of ours.
        raise BadRequest(f"{message.message_type} cannot be stored: {type(error).__name__}") from error


def _certificate(fingerprint: bytes) -> IssuedCertificate:
    issued = IssuedCertificate.objects.select_related("replaces").filter(sha256=fingerprint).first()
    if issued is None or issued.purpose != IssuedCertificate.Purpose.IDENTITY:
        raise NotAuthenticated("the certificate is no identity of ours")
    if issued.revoked_at is not None:
        raise NotAuthenticated("the certificate is revoked")
    return issued


def _authenticate(message: checkin.Authenticate, certificate: IssuedCertificate, now: datetime) -> DeviceAnswer:
    enrollment.authenticate(message, certificate, now=now)
    return EMPTY


def _token_update(message: checkin.TokenUpdate, certificate: IssuedCertificate, now: datetime) -> DeviceAnswer:
    with transaction.atomic():
        result = enrollment.token_update(message, certificate, now=now)
        if result.newly_enrolled and result.enrollment.parent_id is None:
            _ask_for_inventory(result, now)
    if result.newly_enrolled:
        _plan(result.enrollment.pk, now)
    return EMPTY


def _ask_for_inventory(result: TokenUpdateResult, now: datetime) -> None:
    """What the first session asks; in the transaction that enrolls, so that no crash leaves a device unasked."""
    queries: dict[str, Any] = {"Queries": list(DEVICE_INFORMATION_QUERIES)}
    asked: list[tuple[str, dict[str, Any], int]] = [
        ("DeviceInformation", queries, INVENTORY_PRIORITY),
        ("SecurityInfo", {}, INVENTORY_PRIORITY),
        ("ProfileList", {}, INVENTORY_PRIORITY),
    ]
    if rollout.has_lineages():
        asked.append(("ProvisioningProfileList", {}, INVENTORY_PRIORITY))
    if result.enrollment.awaiting_configuration:
        asked.append(("DeviceConfigured", {}, CONFIGURED_PRIORITY))
    specs = [
        CommandSpec(
            enrollment_id=result.enrollment.pk,
            request_type=request_type,
            params=params,
            priority=priority,
            origin=_ORIGIN,
        )
        for request_type, params, priority in asked
    ]
    enqueue(specs, now)


def _plan(enrollment_pk: int, now: datetime) -> None:
    """Queue what is wanted on the device; the sweep heals a failure, and the device is enrolled all the same."""
    try:
        plan([enrollment_pk], now)
        rollout.plan([enrollment_pk], now)
    except Exception:  # whatever is wrong with a bundle or a lineage, it must not keep devices from enrolling
        log.exception("plan for the new enrollment %d failed; the sweep tries again", enrollment_pk)


def _check_out(message: checkin.CheckOut, certificate: IssuedCertificate, now: datetime) -> DeviceAnswer:
    enrollment.check_out(message, certificate, now=now)
    return EMPTY


def _set_bootstrap_token(
    message: checkin.SetBootstrapToken, certificate: IssuedCertificate, now: datetime
) -> DeviceAnswer:
    enrollment.set_bootstrap_token(message, certificate, now=now)
    return EMPTY


def _get_bootstrap_token(
    message: checkin.GetBootstrapToken, certificate: IssuedCertificate, now: datetime
) -> DeviceAnswer:
    token = enrollment.get_bootstrap_token(message, certificate, now=now)
    return DeviceAnswer(body=checkin.bootstrap_token_response(token), content_type=PLIST)


def _user_authenticate(
    _message: checkin.UserAuthenticate, _certificate: IssuedCertificate, _now: datetime
) -> DeviceAnswer:
    raise UserNotManaged("directory users are not managed")


def _get_token(message: checkin.GetToken, _certificate: IssuedCertificate, _now: datetime) -> DeviceAnswer:
    raise BadRequest(f"no tokens for the service {shown(message.service_type)}")


def _declarative_management(
    message: checkin.DeclarativeManagement, _certificate: IssuedCertificate, _now: datetime
) -> DeviceAnswer:
    """We never turn it on. A device that has it from elsewhere loses its declarations by 404 (mdm-protocol 11.1)."""
    if message.endpoint == "status":
        return EMPTY
    raise NotFound(f"no declarations: {shown(message.endpoint)}")


_ANSWERS: Mapping[type, Callable[[Any, IssuedCertificate, datetime], DeviceAnswer]] = {
    checkin.Authenticate: _authenticate,
    checkin.TokenUpdate: _token_update,
    checkin.CheckOut: _check_out,
    checkin.SetBootstrapToken: _set_bootstrap_token,
    checkin.GetBootstrapToken: _get_bootstrap_token,
    checkin.UserAuthenticate: _user_authenticate,
    checkin.GetToken: _get_token,
    checkin.DeclarativeManagement: _declarative_management,
}
