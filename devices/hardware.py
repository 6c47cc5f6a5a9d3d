"""What a device says about its hardware: which platform it is, and which of its words are kept on Device.

Apple never sends the platform. It follows from ProductName, ModelName or Model, whichever a device sends.
Pure; from device words to column values.
"""

from collections.abc import Mapping

from devices.models import Device, Platform

# The longer word first where one begins another; compared without case and spaces.
_FAMILIES = (
    ("iphone", Platform.IOS),
    ("ipod", Platform.IOS),
    ("ipad", Platform.IPADOS),
    ("appletv", Platform.TVOS),
    ("audioaccessory", Platform.TVOS),
    ("applewatch", Platform.WATCHOS),
    ("watch", Platform.WATCHOS),
    ("realitydevice", Platform.VISIONOS),
    ("applevisionpro", Platform.VISIONOS),
    ("imac", Platform.MACOS),
    ("mac", Platform.MACOS),
    ("virtualmac", Platform.MACOS),
    ("xserve", Platform.MACOS),
)
# Column of Device by the key that Authenticate and DeviceInformation use.
COLUMN_BY_KEY = {
    "DeviceName": "name",
    "Model": "model",
    "ModelName": "model_name",
    "ProductName": "product_name",
    "OSVersion": "os_version",
    "BuildVersion": "build_version",
    "IMEI": "imei",
    "MEID": "meid",
}


def platform_of(*names: str | None) -> Platform:
    """The platform by the first name that tells, such as "iPhone15,2", "Mac14,2" or "MacBook Pro"."""
    for name in names:
        word = (name or "").replace(" ", "").casefold()
        for family, platform in _FAMILIES:
            if word.startswith(family):
                return platform
    return Platform.UNKNOWN


def keep_facts(device: Device, facts: Mapping[str, object]) -> list[str]:
    """Put what the device said onto `device`, unsaved; the names of the columns that changed.

    Keys are Apple's. Anything that is no text, is empty or is too long for its column is left out. A known serial
    number stays: hardware does not change it, so another one is a claim.
    """
    said = {column: facts.get(key) for key, column in COLUMN_BY_KEY.items()}
    if not device.serial_number:
        said["serial_number"] = facts.get("SerialNumber")
    kept = {column: value for column, value in said.items() if _fits(column, value)}
    platform = platform_of(*(str(kept.get(name) or "") for name in ("product_name", "model_name", "model")))
    if platform:
        kept["platform"] = platform
    changed = [column for column, value in kept.items() if getattr(device, column) != value]
    for column in changed:
        setattr(device, column, kept[column])
    return changed


def _fits(column: str, value: object) -> bool:
    longest = getattr(Device._meta.get_field(column), "max_length", 0)  # noqa: SLF001 (Django's public Meta API)
    return isinstance(value, str) and 0 < len(value) <= longest
