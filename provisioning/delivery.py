"""Turning a queued InstallProvisioningProfile into the command a device gets: the whole file, as Apple signed it."""

from collections.abc import Mapping
from functools import lru_cache

from protocol.commands import InstallProvisioningProfile
from protocol.plist import PlistValue
from provisioning.errors import DeliveryError
from provisioning.models import ProvisioningProfile


def render_install(params: Mapping[str, PlistValue]) -> InstallProvisioningProfile:
    """The command behind `{"UUID": <of the profile, casefolded>, ...}`. Raises DeliveryError when it is gone."""
    uuid = params.get("UUID")
    if not isinstance(uuid, str):
        raise DeliveryError("The command names no provisioning profile.")
    return InstallProvisioningProfile(_data(uuid))


@lru_cache(maxsize=128)
def _data(uuid_key: str) -> bytes:
    """A file never changes once it is stored."""
    data = ProvisioningProfile.objects.filter(uuid_key=uuid_key).values_list("data", flat=True).first()
    if not data:
        raise DeliveryError(f"The provisioning profile {uuid_key} is gone.")
    return bytes(data)
