"""What a device says about itself: DeviceInformation, SecurityInfo, InstalledApplicationList (mdm-protocol 8.5, 8.6).

A value that the platform or the kind of enrollment does not have is missing, never false.
"""

from typing import Any, Final

from simulator.device import Device
from simulator.hardware import Family

# Queries a User Enrollment never answers.
_PRIVATE: Final = frozenset(
    {"UDID", "SerialNumber", "IMEI", "IsMDMLostModeEnabled", "IsCloudBackupEnabled", "WiFiMAC", "BluetoothMAC"}
)
_APPS: Final = (
    ("com.example.notes", "Notes by Example", "3.2", 12_400_000),
    ("com.example.timesheet", "Timesheet", "1.8.1", 48_900_000),
    ("com.example.map", "Site Map", "2024.4", 91_000_000),
)


def device_information(device: Device) -> dict[str, Any]:
    """Every query this device has a value for."""
    hardware = device.hardware
    known: dict[str, Any] = {
        "UDID": hardware.udid,
        "SerialNumber": hardware.serial,
        "DeviceName": hardware.device_name,
        "OSVersion": hardware.os_version,
        "BuildVersion": hardware.build_version,
        "Model": hardware.model,
        "ModelName": hardware.model_name,
        "ModelNumber": f"{hardware.model}LL/A",
        "ProductName": hardware.product_name,
        "DeviceCapacity": 128.0,
        "AvailableDeviceCapacity": 86.5,
        "IsSupervised": hardware.supervised,
        "BatteryLevel": 0.8,
        "AwaitingConfiguration": device.awaiting_configuration,
        "WiFiMAC": _mac_address(hardware.serial, 0),
        "BluetoothMAC": _mac_address(hardware.serial, 1),
        "TimeZone": "Etc/UTC",
    }
    known |= _mac_information(hardware.device_name) if hardware.is_mac else _ios_information(device)
    if device.user_enrollment:
        known = {query: value for query, value in known.items() if query not in _PRIVATE}
    return known


def _mac_information(name: str) -> dict[str, Any]:
    host = name.replace(" ", "-")
    return {"IsAppleSilicon": True, "HostName": host, "LocalHostName": host, "SystemIntegrityProtectionEnabled": True}


def _ios_information(device: Device) -> dict[str, Any]:
    known = {
        "IsDeviceLocatorServiceEnabled": False,
        "IsMDMLostModeEnabled": False,
        "IsCloudBackupEnabled": False,
        "IsMultiUser": False,
        "CellularTechnology": 3 if device.hardware.family is Family.IPHONE else 0,
    }
    return known if device.hardware.imei is None else known | {"IMEI": device.hardware.imei}


def security_info(device: Device) -> dict[str, Any]:
    """SecurityInfo of a Mac (no Passcode keys exist there), of a User Enrollment (compliance only) or of the rest."""
    management = {"IsUserEnrollment": device.user_enrollment}
    if device.hardware.is_mac:
        return {
            "FDE_Enabled": True,
            "FDE_HasPersonalRecoveryKey": False,
            "FDE_HasInstitutionalRecoveryKey": False,
            "SystemIntegrityProtectionEnabled": True,
            "FirewallSettings": {"FirewallEnabled": False, "BlockAllIncoming": False, "StealthMode": False},
            "ManagementStatus": management | {"EnrolledViaDEP": False, "UserApprovedEnrollment": True},
        }
    answer = {"HardwareEncryptionCaps": 3, "PasscodeCompliant": device.is_compliant, "ManagementStatus": management}
    if device.user_enrollment:
        return answer
    return answer | {
        "PasscodePresent": device.passcode is not None,
        "PasscodeCompliantWithProfiles": device.is_compliant,
        "PasscodeLockGracePeriod": 0,
        "PasscodeLockGracePeriodEnforced": 0,
    }


def installed_applications() -> list[dict[str, Any]]:
    """The same few apps on every device; sizes in bytes."""
    return [
        {"Identifier": identifier, "Name": name, "Version": version, "ShortVersion": version, "BundleSize": size}
        for identifier, name, version, size in _APPS
    ]


def _mac_address(serial: str, port: int) -> str:
    """A locally administered address made from the serial number's digits."""
    number = int("".join(c for c in serial if c.isdigit()) or "0") * 2 + port
    return ":".join(f"{byte:02x}" for byte in (0x02, 0, *number.to_bytes(4, "big")))
