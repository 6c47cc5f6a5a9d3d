"""What is printed on a device's box: family, model, serial number, UDID. It never changes, whatever happens to it.

Made from a running number, so that device 7 is the same device in every run; serial numbers start with SIM and
UDIDs with the chip prefix of a real iPhone, and none of them exists.
"""

import hashlib
import uuid
from dataclasses import dataclass
from enum import StrEnum


class Family(StrEnum):
    """The kinds of devices that are simulated."""

    IPHONE = "iPhone"
    IPAD = "iPad"
    MAC = "Mac"


@dataclass(frozen=True, slots=True)
class Hardware:
    """One device as it leaves the factory. `imei` only where there is a modem; a Mac's UDID is a UUID."""

    family: Family
    serial: str
    udid: str
    device_name: str
    model: str
    model_name: str
    product_name: str
    os_version: str
    build_version: str
    imei: str | None
    supervised: bool

    @property
    def is_mac(self) -> bool:
        return self.family is Family.MAC


# Model number, marketing name, product name, OS version, build.
_MODELS = {
    Family.IPHONE: ("MU6A3", "iPhone", "iPhone16,1", "18.1.1", "22B91"),
    Family.IPAD: ("MUXC3", "iPad", "iPad14,8", "18.1.1", "22B91"),
    Family.MAC: ("MRX33", "MacBook Pro", "Mac15,3", "15.1.1", "24B91"),
}


def hardware(number: int, family: Family = Family.IPHONE, *, supervised: bool = True) -> Hardware:
    """Device `number` (1 and up): serial `SIM0000001`, UDID `00008020-...`, the same in every run."""
    serial = f"SIM{number:07d}"
    digest = hashlib.sha256(serial.encode()).hexdigest().upper()
    model, model_name, product_name, os_version, build_version = _MODELS[family]
    udid = str(uuid.UUID(digest[:32])).upper() if family is Family.MAC else f"00008020-{digest[:16]}"
    return Hardware(
        family=family,
        serial=serial,
        udid=udid,
        device_name=f"{model_name} {number}",
        model=model,
        model_name=model_name,
        product_name=product_name,
        os_version=os_version,
        build_version=build_version,
        imei=f"00499901{number % 10**6:06d}0" if family is Family.IPHONE else None,
        supervised=supervised,
    )
