"""What each RequestType needs on its way out (RENDER) and what its answer means (RESULTS).

RENDER turns small stored parameters into the command a device gets; a failure fails that command only. RESULTS are
idempotent and run inside the transaction that marks the answer as handled (`endpoint.reports`).
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from django.db import DatabaseError

from certificates.encryption import EncryptionError, decrypt
from certificates.models import CertificateAuthority
from devices import escrow, inventory
from devices.models import Command, Enrollment, EscrowedSecret
from devices.queue import Offer
from endpoint.app_downloads import manifest_url
from profiles import gate, installations
from profiles.assignment import plan
from profiles.delivery import render_install_profile
from profiles.errors import DeliveryError
from protocol import commands
from protocol.errors import ProtocolError
from protocol.plist import PlistValue, loads_dict
from protocol.reports import Report, Status
from provisioning import delivery as provisioning_delivery
from provisioning import enterprise_apps, rollout
from provisioning import installations as provisioning_installations
from provisioning.errors import ProvisioningError

Params = dict[str, PlistValue]
# Parameters, the primary key of the channel that asked, and the moment.
Renderer = Callable[[Params, int, datetime], commands.Command]


class RenderError(Exception):
    """A queued command that cannot be turned into bytes; str() is shown to IT staff."""


def render(offer: Offer, enrollment_pk: int, now: datetime) -> bytes:
    """The bytes that hand a queued command to its device. RenderError; database errors pass through."""
    try:
        params = loads_dict(decrypt(offer.params)) if offer.params else {}
        command = RENDER.get(offer.request_type, _generic(offer.request_type))(params, enrollment_pk, now)
        return commands.render_command(offer.uuid, command)
    except EncryptionError as error:
        _blame_the_keys()
        raise RenderError(str(error)) from error
    except (ProtocolError, DeliveryError, ProvisioningError, RenderError) as error:
        raise RenderError(str(error)) from error
    except DatabaseError:
        raise
    except Exception as error:  # a bug in one command's rendering must not stop the device for ever
        raise RenderError(f"{type(error).__name__} while rendering") from error


def _blame_the_keys() -> None:
    """Raise again when nothing can be decrypted: then the server is at fault, and no command must be failed for it."""
    CertificateAuthority.objects.first()


def _generic(request_type: str) -> Renderer:
    return lambda params, _pk, _now: commands.GenericCommand(request_type, params)


def _install_profile(params: Params, enrollment_pk: int, now: datetime) -> commands.Command:
    return render_install_profile(params, enrollment_pk, now)


def _remove_profile(params: Params, _enrollment_pk: int, _now: datetime) -> commands.Command:
    identifier = params.get("Identifier")
    if not isinstance(identifier, str):
        raise RenderError("the command names no profile")
    return commands.RemoveProfile(identifier)


def _clear_passcode(_params: Params, enrollment_pk: int, _now: datetime) -> commands.Command:
    token = escrow.latest(Enrollment.objects.get(pk=enrollment_pk), EscrowedSecret.Kind.UNLOCK_TOKEN)
    if token is None:
        raise RenderError("the device has entrusted no unlock token to us")
    return commands.ClearPasscode(token)


def _install_provisioning_profile(params: Params, _enrollment_pk: int, _now: datetime) -> commands.Command:
    return provisioning_delivery.render_install(params)


def _remove_provisioning_profile(params: Params, _enrollment_pk: int, _now: datetime) -> commands.Command:
    uuid = params.get("UUID")
    if not isinstance(uuid, str):
        raise RenderError("the command names no provisioning profile")
    return commands.RemoveProvisioningProfile(uuid)


def _install_application(params: Params, enrollment_pk: int, now: datetime) -> commands.Command:
    version = params.get("AppVersion")
    if isinstance(version, int):
        url = manifest_url(enterprise_apps.sign_link(enrollment_pk, version, now))
        params = dict(enterprise_apps.install_params(version, url))
    return commands.GenericCommand("InstallApplication", params)


RENDER: Mapping[str, Renderer] = {
    "InstallApplication": _install_application,
    "InstallProvisioningProfile": _install_provisioning_profile,
    "RemoveProvisioningProfile": _remove_provisioning_profile,
    "InstallProfile": _install_profile,
    "RemoveProfile": _remove_profile,
    "ClearPasscode": _clear_passcode,
}


def _stored(command: Command, report: Report, now: datetime) -> None:
    inventory.store(command, report, now=now)


def _device_information(command: Command, report: Report, now: datetime) -> None:
    """Profiles may name what the device says of itself: whoever renamed it gets them again."""
    if inventory.store(command, report, now=now) is not None:
        plan([command.enrollment_id], now)


def _profile_list(command: Command, report: Report, now: datetime) -> None:
    if inventory.store(command, report, now=now) is None:
        return
    installations.on_profile_list(command.enrollment, now)
    _judged(command, now)


def _security_info(command: Command, report: Report, now: datetime) -> None:
    if inventory.store(command, report, now=now) is not None:
        _judged(command, now)


def _judged(command: Command, now: datetime) -> None:
    gate.judge_enrollments([command.enrollment_id], now)
    plan([command.enrollment_id], now)


def _removed(command: Command, report: Report, now: datetime) -> None:
    installations.on_remove_answer(command, report, now)
    plan([command.enrollment_id], now)


def _provisioning_installed(command: Command, report: Report, now: datetime) -> None:
    provisioning_installations.on_install_answer(command, report, now)
    rollout.plan([command.enrollment_id], now)


def _provisioning_removed(command: Command, report: Report, now: datetime) -> None:
    provisioning_installations.on_remove_answer(command, report, now)
    rollout.plan([command.enrollment_id], now)


def _provisioning_list(command: Command, report: Report, now: datetime) -> None:
    if inventory.store(command, report, now=now) is not None:
        provisioning_installations.on_list(command.enrollment, now)
        enterprise_apps.validate_proved(command.enrollment, now)
        rollout.plan([command.enrollment_id], now)


def _configured(command: Command, report: Report, _now: datetime) -> None:
    """Setup Assistant goes on; an absent AwaitingConfiguration would never say so (mdm-protocol 1.4)."""
    if report.status is Status.ACKNOWLEDGED:
        Enrollment.objects.filter(pk=command.enrollment_id).update(awaiting_configuration=False)


RESULTS: Mapping[str, Callable[[Command, Report, datetime], None]] = {
    "InstallProfile": installations.on_install_answer,
    "RemoveProfile": _removed,
    "DeviceInformation": _device_information,
    "InstallProvisioningProfile": _provisioning_installed,
    "RemoveProvisioningProfile": _provisioning_removed,
    "ProvisioningProfileList": _provisioning_list,
    "ProfileList": _profile_list,
    "SecurityInfo": _security_info,
    "DeviceConfigured": _configured,
}


def handle(command: Command, report: Report, now: datetime) -> None:
    """Let an answer take effect; the same answer again changes nothing."""
    RESULTS.get(command.request_type, _stored)(command, report, now)
