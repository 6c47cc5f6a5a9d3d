"""How a device answers each RequestType (mdm-protocol 2, 7, 9, 12). Pure: it changes the Device and returns an Answer.

Installing a profile with a SCEP payload needs the network: then `answer` returns an Installation, which
`simulator.enrollment` carries out. Error codes are Apple's old published ones, diagnostics only.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from protocol import plist
from protocol.commands import GenericCommand
from protocol.errors import MobileconfigError, ProtocolError
from protocol.reports import Status
from simulator import profiles
from simulator.device import AfterDelivery, Device
from simulator.information import device_information, installed_applications, security_info
from simulator.profiles import InstalledProfile

MDM_DOMAIN: Final = "MCMDMErrorDomain"
INSTALLATION_DOMAIN: Final = "MCInstallationErrorDomain"
PROVISIONING_DOMAIN: Final = "MCProvisioningProfileErrorDomain"

# Apple guarantees an answer to these even while the device is locked ("Handling NotNow status responses").
IOS_NEVER_NOT_NOW: Final = frozenset(
    {
        "DeviceInformation",
        "ProfileList",
        "DeviceLock",
        "EraseDevice",
        "ClearPasscode",
        "ProvisioningProfileList",
        "InstalledApplicationList",
        "Restrictions",
    }
)
MAC_NEVER_NOT_NOW: Final = frozenset(
    {
        "DeleteUser",
        "DeviceLock",
        "EraseDevice",
        "RestartDevice",
        "ShutDownDevice",
        "UserList",
        "ActivationLockBypassCode",
        "ClearActivationLockBypassCode",
        "UnlockUserAccount",
    }
)
# What a User Enrollment and a user channel have no say in.
DEVICE_WIDE: Final = frozenset({"ClearPasscode", "EraseDevice", "RestartDevice", "ShutDownDevice", "DeviceConfigured"})
USER_ENROLLMENT_FORBIDDEN: Final = frozenset({"com.apple.vpn.managed", "com.apple.proxy.http.global"})


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and the keys beside it at the top level of the report."""

    status: Status
    keys: dict[str, Any] = field(default_factory=dict)
    after: AfterDelivery | None = None


@dataclass(frozen=True, slots=True)
class Installation:
    """A profile whose SCEP payloads need the network before it can be installed."""

    profile: InstalledProfile


class CommandError(Exception):
    """A command that ends in Error: code and domain of its ErrorChain."""

    def __init__(self, code: int, domain: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.domain = domain

    def answer(self) -> Answer:
        item = {
            "ErrorCode": self.code,
            "ErrorDomain": self.domain,
            "LocalizedDescription": str(self),
            "USEnglishDescription": str(self),
        }
        return Answer(Status.ERROR, {"ErrorChain": [item]})


class _BadFormatError(Exception):
    """A key the command needs is missing or of a wrong type."""


def answer(device: Device, command: GenericCommand) -> Answer | Installation:
    """Execute one command. Never raises: whatever the portal sends has an answer."""
    name = command.request_type
    if _cannot_now(device, name):
        return Answer(Status.NOT_NOW)
    try:
        return _handler(device, name)(device, command.parameters)
    except CommandError as error:
        return error.answer()
    except _BadFormatError:
        return Answer(Status.COMMAND_FORMAT_ERROR)


def _handler(device: Device, name: str) -> "_Handler":
    scripted = device.script.take_failure(name)
    if scripted is not None:
        raise CommandError(scripted.code, scripted.domain, scripted.text)
    if name not in _HANDLERS:
        raise CommandError(12021, MDM_DOMAIN, f"{name} is not a valid request type")
    if (device.user_enrollment or device.user is not None) and name in DEVICE_WIDE:
        raise CommandError(12007, MDM_DOMAIN, f"{name} is not authorized")
    return _HANDLERS[name]


def _cannot_now(device: Device, name: str) -> bool:
    never = MAC_NEVER_NOT_NOW if device.hardware.is_mac else IOS_NEVER_NOT_NOW
    return name not in never and (device.locked or device.script.take("not_now"))


def install(device: Device, profile: InstalledProfile, identities: list[x509.Certificate]) -> Answer:
    """Put a checked profile on the device: it replaces the one with the same PayloadIdentifier."""
    device.profiles[profile.identifier] = profile
    device.identities.pop(profile.identifier, None)
    if identities:
        device.identities[profile.identifier] = identities
    device.note("profile installed", profile.identifier)
    return Answer(Status.ACKNOWLEDGED)


def _text(params: Mapping[str, Any], key: str) -> str:
    value = params.get(key)
    if not isinstance(value, str):
        raise _BadFormatError
    return value


def _data(params: Mapping[str, Any], key: str) -> bytes:
    value = params.get(key)
    if not isinstance(value, bytes):
        raise _BadFormatError
    return value


def _install_profile(device: Device, params: Mapping[str, Any]) -> Answer | Installation:
    try:
        profile = profiles.read_profile(_data(params, "Payload"), identity=_identity(device))
        plist.dumps(profile.content)  # what cannot be written again could be neither listed nor kept
    except ProtocolError as error:
        code = 1006 if isinstance(error, MobileconfigError) and error.code == "encrypted" else 1000
        raise CommandError(code, "MCProfileErrorDomain", f"malformed profile: {error}") from None
    types = {str(payload.get("PayloadType")) for payload in profile.payloads}
    if device.user_enrollment and types & USER_ENROLLMENT_FORBIDDEN:
        raise CommandError(4023, INSTALLATION_DOMAIN, "a payload is not acceptable in a User Enrollment")
    installed = device.profiles.get(profile.identifier)
    if profiles.MDM in types:
        if installed is None or not installed.payloads_of(profiles.MDM):
            raise CommandError(12009, MDM_DOMAIN, "not a valid replacement of the enrollment profile")
        return Installation(profile)
    if installed is not None and installed.payloads_of(profiles.MDM):
        raise CommandError(4015, INSTALLATION_DOMAIN, "the replacement has no MDM payload")
    if installed is not None and not installed.managed and not device.hardware.supervised:
        raise CommandError(12013, MDM_DOMAIN, "the profile is not managed")
    if profiles.SCEP in types:
        return Installation(profile)
    return install(device, profile, [])


def _identity(device: Device) -> profiles.Identity | None:
    return None if device.enrollment is None else (device.enrollment.certificate, device.enrollment.private_key)


def _remove_profile(device: Device, params: Mapping[str, Any]) -> Answer:
    identifier = _text(params, "Identifier")
    profile = device.profiles.get(identifier)
    if profile is None:
        raise CommandError(12075, MDM_DOMAIN, f"the profile {identifier} is not installed")
    if profile.payloads_of(profiles.MDM):
        return Answer(Status.ACKNOWLEDGED, after=AfterDelivery.REMOVE_MANAGEMENT)
    if not profile.managed and not device.hardware.supervised:
        raise CommandError(12013, MDM_DOMAIN, f"the profile {identifier} is not managed")
    del device.profiles[identifier]
    device.identities.pop(identifier, None)
    device.note("profile removed", identifier)
    return Answer(Status.ACKNOWLEDGED)


def _profile_list(device: Device, params: Mapping[str, Any]) -> Answer:
    managed_only = params.get("ManagedOnly") is True or device.user_enrollment
    listed = [p for p in device.profiles.values() if p.managed or not managed_only]
    entries = [profile.listing(mac=device.hardware.is_mac) for profile in listed]
    return Answer(Status.ACKNOWLEDGED, {"ProfileList": entries})


def _install_provisioning_profile(device: Device, params: Mapping[str, Any]) -> Answer:
    try:
        profile = profiles.read_provisioning_profile(_data(params, "ProvisioningProfile"))
    except ProtocolError:
        raise CommandError(25000, PROVISIONING_DOMAIN, "the provisioning profile is not valid") from None
    if profile.is_free:
        raise CommandError(25004, PROVISIONING_DOMAIN, "the provisioning profile belongs to a free team")
    if profile.expires_at <= device.clock():
        raise CommandError(25001, PROVISIONING_DOMAIN, "the provisioning profile cannot be installed (0xe8008011)")
    if not profile.is_for(device.hardware.udid):
        raise CommandError(25001, PROVISIONING_DOMAIN, "the provisioning profile cannot be installed (0xe8008012)")
    if device.script.take("forget_provisioning"):
        return Answer(Status.ACKNOWLEDGED)
    # Installing again what is there is no error; what came in an app stays the app's.
    device.provisioning_profiles.setdefault(profile.uuid, profile)
    device.note("provisioning profile installed", profile.uuid)
    return Answer(Status.ACKNOWLEDGED)


def _provisioning_profile_list(device: Device, params: Mapping[str, Any]) -> Answer:
    managed_only = params.get("ManagedOnly") is True or device.user_enrollment
    listed = [one for one in device.provisioning_profiles.values() if one.managed or not managed_only]
    return Answer(Status.ACKNOWLEDGED, {"ProvisioningProfileList": [profile.listing() for profile in listed]})


def _remove_provisioning_profile(device: Device, params: Mapping[str, Any]) -> Answer:
    # Exactly as listed: another case is another profile to the device.
    found = device.provisioning_profiles.get(_text(params, "UUID"))
    if found is None or not found.managed:
        text = "not installed" if found is None else "part of an app"
        raise CommandError(25002, PROVISIONING_DOMAIN, f"the provisioning profile is {text}")
    del device.provisioning_profiles[found.uuid]
    device.note("provisioning profile removed", found.uuid)
    return Answer(Status.ACKNOWLEDGED)


def _device_information(device: Device, params: Mapping[str, Any]) -> Answer:
    queries = params.get("Queries")
    if not isinstance(queries, list):
        raise _BadFormatError
    known = device_information(device)
    asked = {query: known[query] for query in queries if isinstance(query, str) and query in known}
    return Answer(Status.ACKNOWLEDGED, {"QueryResponses": asked})


def _security_info(device: Device, _params: Mapping[str, Any]) -> Answer:
    return Answer(Status.ACKNOWLEDGED, {"SecurityInfo": security_info(device)})


def _certificate_list(device: Device, _params: Mapping[str, Any]) -> Answer:
    identities = [] if device.enrollment is None else [device.enrollment.certificate]
    identities += [certificate for fetched in device.identities.values() for certificate in fetched]
    entries = [_certificate_entry(certificate, is_identity=True) for certificate in identities]
    for profile in device.profiles.values():
        for payload in profile.payloads:
            if payload.get("PayloadType") in profiles.CERTIFICATES and isinstance(payload.get("PayloadContent"), bytes):
                entries.extend(_anchor(payload["PayloadContent"]))
    return Answer(Status.ACKNOWLEDGED, {"CertificateList": entries})


def _anchor(data: bytes) -> list[dict[str, Any]]:
    try:
        return [_certificate_entry(x509.load_der_x509_certificate(data), is_identity=False)]
    except ValueError:
        return []


def _certificate_entry(certificate: x509.Certificate, *, is_identity: bool) -> dict[str, Any]:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    common_name = str(names[0].value) if names else ""
    return {"CommonName": common_name, "IsIdentity": is_identity, "Data": certificate.public_bytes(Encoding.DER)}


def _installed_application_list(device: Device, params: Mapping[str, Any]) -> Answer:
    wanted = params.get("Identifiers")
    managed_only = params.get("ManagedAppsOnly") is True or device.user_enrollment
    apps = [] if managed_only else installed_applications()
    if isinstance(wanted, list):
        apps = [app for app in apps if app["Identifier"] in wanted]
    return Answer(Status.ACKNOWLEDGED, {"InstalledApplicationList": apps})


def _device_lock(device: Device, params: Mapping[str, Any]) -> Answer:
    device.lock()
    shows_message = "Message" in params or "PhoneNumber" in params
    if not shows_message or device.hardware.is_mac:
        return Answer(Status.ACKNOWLEDGED)
    return Answer(Status.ACKNOWLEDGED, {"MessageResult": "Success" if device.passcode else "NoPasscodeSet"})


def _clear_passcode(device: Device, params: Mapping[str, Any]) -> Answer:
    if device.hardware.is_mac:
        raise CommandError(12021, MDM_DOMAIN, "ClearPasscode is not a valid request type")
    token = _data(params, "UnlockToken")
    if device.enrollment is None or token != device.enrollment.unlock_token:
        raise CommandError(12008, MDM_DOMAIN, "the unlock token is not valid")
    device.remove_passcode()
    device.locked = False
    return Answer(Status.ACKNOWLEDGED)


def _erase_device(_device: Device, _params: Mapping[str, Any]) -> Answer:
    return Answer(Status.ACKNOWLEDGED, after=AfterDelivery.ERASE)


def _restart_device(device: Device, _params: Mapping[str, Any]) -> Answer:
    if not (device.hardware.supervised or device.hardware.is_mac):
        raise CommandError(29000, "MCChaperoneErrorDomain", "the device is not supervised")
    # Before the first unlock the keys are not there: the device answers NotNow until its user comes.
    device.locked = device.passcode is not None
    device.note("restarted")
    return Answer(Status.ACKNOWLEDGED)


def _device_configured(device: Device, _params: Mapping[str, Any]) -> Answer:
    device.awaiting_configuration = False
    device.note("configured")
    return Answer(Status.ACKNOWLEDGED)


_Handler = Callable[[Device, Mapping[str, Any]], Answer | Installation]
_HANDLERS: Final[dict[str, _Handler]] = {
    "InstallProfile": _install_profile,
    "RemoveProfile": _remove_profile,
    "ProfileList": _profile_list,
    "InstallProvisioningProfile": _install_provisioning_profile,
    "ProvisioningProfileList": _provisioning_profile_list,
    "RemoveProvisioningProfile": _remove_provisioning_profile,
    "DeviceInformation": _device_information,
    "SecurityInfo": _security_info,
    "CertificateList": _certificate_list,
    "InstalledApplicationList": _installed_application_list,
    "DeviceLock": _device_lock,
    "ClearPasscode": _clear_passcode,
    "EraseDevice": _erase_device,
    "RestartDevice": _restart_device,
    "ShutDownDevice": _restart_device,
    "DeviceConfigured": _device_configured,
}
