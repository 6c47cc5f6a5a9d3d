"""The commands we send, as values; any other RequestType goes as a GenericCommand.

Keys after Apple's schema, mdm/commands/*.yaml (`protocol.schema` checks them).
A key at Apple's default stays out, since older systems refuse some they do
not know. Whether a device may get a command is decided by the caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from protocol.errors import MessageError
from protocol.plist import PlistValue, dumps, loads_dict
from protocol.reading import MessageReader

__all__ = [
    "DEVICE_INFORMATION_QUERIES",
    "CertificateList",
    "ClearPasscode",
    "Command",
    "DeviceConfigured",
    "DeviceInformation",
    "DeviceLock",
    "EraseDevice",
    "GenericCommand",
    "InstallProfile",
    "InstallProvisioningProfile",
    "InstalledApplicationList",
    "Params",
    "ProfileList",
    "ProvisioningProfileList",
    "RemoveProfile",
    "RemoveProvisioningProfile",
    "RestartDevice",
    "SecurityInfo",
    "ShutDownDevice",
    "parse_command",
    "render_command",
]

Params: TypeAlias = dict[str, PlistValue]

# What the inventory shows. Devices leave out what their platform does not know or their rights do not allow.
DEVICE_INFORMATION_QUERIES: tuple[str, ...] = (
    "UDID",
    "DeviceName",
    "OSVersion",
    "SupplementalOSVersionExtra",
    "BuildVersion",
    "ModelName",
    "Model",
    "ModelNumber",
    "ProductName",
    "SerialNumber",
    "IsAppleSilicon",
    "DeviceCapacity",
    "AvailableDeviceCapacity",
    "BatteryLevel",
    "CellularTechnology",
    "IsSupervised",
    "IsMultiUser",
    "IsDeviceLocatorServiceEnabled",
    "IsActivationLockEnabled",
    "IsMDMLostModeEnabled",
    "AwaitingConfiguration",
    "iTunesStoreAccountIsActive",
    "LastCloudBackupDate",
    "ServiceSubscriptions",
    "BluetoothMAC",
    "WiFiMAC",
    "EthernetMAC",
    "HostName",
    "LocalHostName",
)


@dataclass(frozen=True, slots=True)
class InstallProfile:
    """Install or replace a configuration profile; `payload` is its bytes, signed or not."""

    request_type: ClassVar[str] = "InstallProfile"
    payload: bytes = field(repr=False)

    def params(self) -> Params:
        """Keys of the command beside RequestType."""
        return {"Payload": self.payload}


@dataclass(frozen=True, slots=True)
class RemoveProfile:
    """Remove a configuration profile by its top-level PayloadIdentifier."""

    request_type: ClassVar[str] = "RemoveProfile"
    identifier: str

    def params(self) -> Params:
        """Keys of the command beside RequestType."""
        return {"Identifier": self.identifier}


@dataclass(frozen=True, slots=True)
class _ManagedOnlyList:
    request_type: ClassVar[str]
    managed_only: bool = False

    def params(self) -> Params:
        """Keys of the command beside RequestType."""
        return {"ManagedOnly": True} if self.managed_only else {}


@dataclass(frozen=True, slots=True)
class ProfileList(_ManagedOnlyList):
    """Ask for the installed configuration profiles."""

    request_type: ClassVar[str] = "ProfileList"


@dataclass(frozen=True, slots=True)
class ProvisioningProfileList(_ManagedOnlyList):
    """Ask for the installed provisioning profiles."""

    request_type: ClassVar[str] = "ProvisioningProfileList"


@dataclass(frozen=True, slots=True)
class CertificateList(_ManagedOnlyList):
    """Ask for the installed certificates."""

    request_type: ClassVar[str] = "CertificateList"


@dataclass(frozen=True, slots=True)
class InstallProvisioningProfile:
    """Install a provisioning profile; a newer one does not replace an older one."""

    request_type: ClassVar[str] = "InstallProvisioningProfile"
    provisioning_profile: bytes = field(repr=False)

    def params(self) -> Params:
        """Keys of the command beside RequestType."""
        return {"ProvisioningProfile": self.provisioning_profile}


@dataclass(frozen=True, slots=True)
class RemoveProvisioningProfile:
    """Remove a provisioning profile by its UUID."""

    request_type: ClassVar[str] = "RemoveProvisioningProfile"
    uuid: str

    def params(self) -> Params:
        """Keys of the command beside RequestType."""
        return {"UUID": self.uuid}


@dataclass(frozen=True, slots=True)
class InstalledApplicationList:
    """Ask for the installed apps: all, only the managed ones, or those with the given bundle ids."""

    request_type: ClassVar[str] = "InstalledApplicationList"
    identifiers: tuple[str, ...] = ()
    managed_apps_only: bool = False

    def params(self) -> Params:
        """Keys of the command beside RequestType."""
        params: Params = {}
        if self.identifiers:
            params["Identifiers"] = list(self.identifiers)
        if self.managed_apps_only:
            params["ManagedAppsOnly"] = True
        return params


@dataclass(frozen=True, slots=True)
class DeviceInformation:
    """Ask for facts about the device."""

    request_type: ClassVar[str] = "DeviceInformation"
    queries: tuple[str, ...] = DEVICE_INFORMATION_QUERIES

    def params(self) -> Params:
        """Keys of the command beside RequestType."""
        return {"Queries": list(self.queries)}


@dataclass(frozen=True, slots=True)
class _WithoutKeys:
    request_type: ClassVar[str]

    def params(self) -> Params:
        """Keys of the command beside RequestType."""
        return {}


@dataclass(frozen=True, slots=True)
class SecurityInfo(_WithoutKeys):
    """Ask for the state of passcode, encryption, firewall and more."""

    request_type: ClassVar[str] = "SecurityInfo"


@dataclass(frozen=True, slots=True)
class RestartDevice(_WithoutKeys):
    """Restart a supervised device or a Mac."""

    request_type: ClassVar[str] = "RestartDevice"


@dataclass(frozen=True, slots=True)
class ShutDownDevice(_WithoutKeys):
    """Shut down a supervised device or a Mac."""

    request_type: ClassVar[str] = "ShutDownDevice"


@dataclass(frozen=True, slots=True)
class DeviceConfigured(_WithoutKeys):
    """Let a device leave Setup Assistant's "awaiting configuration"."""

    request_type: ClassVar[str] = "DeviceConfigured"


@dataclass(frozen=True, slots=True)
class DeviceLock:
    """Lock the device at once; `pin` (six digits) locks a Mac until it is typed."""

    request_type: ClassVar[str] = "DeviceLock"
    message: str = ""
    phone_number: str = ""
    pin: str = field(default="", repr=False)

    def params(self) -> Params:
        """Keys of the command beside RequestType."""
        return _without_empty({"Message": self.message, "PhoneNumber": self.phone_number, "PIN": self.pin})


@dataclass(frozen=True, slots=True)
class ClearPasscode:
    """Remove the passcode with the UnlockToken of the device's TokenUpdate."""

    request_type: ClassVar[str] = "ClearPasscode"
    unlock_token: bytes = field(repr=False)

    def params(self) -> Params:
        """Keys of the command beside RequestType."""
        return {"UnlockToken": self.unlock_token}


@dataclass(frozen=True, slots=True)
class EraseDevice:
    """Erase the device. `pin` (six digits) is for Macs without Erase All Content and Settings."""

    request_type: ClassVar[str] = "EraseDevice"
    pin: str = field(default="", repr=False)
    preserve_data_plan: bool = False
    disallow_proximity_setup: bool = False
    obliteration_behavior: str = ""

    def params(self) -> Params:
        """Keys of the command beside RequestType."""
        return _without_empty(
            {
                "PIN": self.pin,
                "PreserveDataPlan": self.preserve_data_plan,
                "DisallowProximitySetup": self.disallow_proximity_setup,
                "ObliterationBehavior": self.obliteration_behavior,
            }
        )


@dataclass(frozen=True, slots=True)
class GenericCommand:
    """Any command by its RequestType and keys, for what has no class of its own."""

    request_type_: str
    parameters: Params = field(default_factory=dict, repr=False)

    @property
    def request_type(self) -> str:
        """The command's RequestType, under the name the other commands have it."""
        return self.request_type_

    def params(self) -> Params:
        """Keys of the command beside RequestType."""
        return self.parameters


Command: TypeAlias = (
    InstallProfile
    | RemoveProfile
    | ProfileList
    | InstallProvisioningProfile
    | ProvisioningProfileList
    | RemoveProvisioningProfile
    | CertificateList
    | InstalledApplicationList
    | DeviceInformation
    | SecurityInfo
    | DeviceLock
    | ClearPasscode
    | EraseDevice
    | RestartDevice
    | ShutDownDevice
    | DeviceConfigured
    | GenericCommand
)


def render_command(command_uuid: str, command: Command) -> bytes:
    """The body that hands a command to a device (XML plist). Raises PlistError when a value cannot be written."""
    return dumps({"CommandUUID": command_uuid, "Command": {**command.params(), "RequestType": command.request_type}})


def parse_command(body: bytes) -> tuple[str, GenericCommand]:
    """Read (CommandUUID, command) as a device does. Raises PlistError or MessageError."""
    message = loads_dict(body)
    command = message.get("Command")
    if not isinstance(command, dict):
        raise MessageError("Command is missing or no dictionary")
    request_type = MessageReader(command).text("RequestType")
    params = {key: value for key, value in command.items() if key != "RequestType"}
    return MessageReader(message).text("CommandUUID"), GenericCommand(request_type, params)


def _without_empty(params: Mapping[str, PlistValue]) -> Params:
    return {key: value for key, value in params.items() if value}
