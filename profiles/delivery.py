"""Turning a queued InstallProfile into the command that a device gets.

The queue holds the profile's key and UUID only. Bytes that are the same for all devices were signed when the revision
was published and are kept per process, so that a delivery costs no signature and, after the first, no statement;
large ones (fonts) are read each time, for memory is dearer than their one statement. What differs per device is made
each time (`profiles.rendering`) and never kept.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache

from devices.models import Enrollment
from profiles import rendering
from profiles.errors import DeliveryError
from profiles.models import Profile
from protocol.commands import InstallProfile
from protocol.plist import PlistValue

# At most 64 MiB per process with the number that is kept.
_LARGEST_KEPT = 256 * 1024


class _PerDevice(Exception):  # noqa: N818 (no error: the bytes are made elsewhere)
    """The profile's bytes are not shared. Raised, for what is raised takes no place in the cache."""

    def __init__(self, profile: Profile) -> None:
        super().__init__(profile.pk)
        self.profile = profile


class _TooLarge(Exception):  # noqa: N818 (no error: the bytes are good, and only not kept)
    """The profile's bytes are larger than what a process keeps. Raised for the same reason."""

    def __init__(self, signed: bytes) -> None:
        super().__init__(len(signed))
        self.signed = signed


def render_install_profile(params: Mapping[str, PlistValue], enrollment_id: int, now: datetime) -> InstallProfile:
    """The command behind `{"Profile": <pk>, "UUID": <the PayloadUUID it was planned with>, ...}` for one channel.

    Raises DeliveryError when the profile is gone or cannot be made for this device.
    """
    pk, uuid = params.get("Profile"), params.get("UUID")
    if not isinstance(pk, int) or isinstance(pk, bool):
        raise DeliveryError("The command names no profile.")
    try:
        return InstallProfile(_signed(pk, uuid) if isinstance(uuid, str) else _load(pk))
    except _TooLarge as found:
        return InstallProfile(found.signed)
    except _PerDevice as found:
        profile = found.profile
    enrollment = Enrollment.objects.select_related("device").filter(pk=enrollment_id).first()
    if enrollment is None:
        raise DeliveryError("The command's enrollment is gone.")
    return InstallProfile(rendering.render(profile, enrollment, now))


@lru_cache(maxsize=256)
def _signed(pk: int, uuid: str) -> bytes:
    """The UUID is derived from the content: what was read once under both names stays true."""
    signed = _load(pk, uuid)
    if len(signed) > _LARGEST_KEPT:
        raise _TooLarge(signed)
    return signed


def _load(pk: int, uuid: str | None = None) -> bytes:
    profile = Profile.objects.filter(pk=pk).first()
    if profile is not None and rendering.is_per_device(profile):
        raise _PerDevice(profile)
    if profile is None or not profile.signed or uuid not in {None, profile.uuid}:
        raise DeliveryError(f"Profile {pk} is gone.")
    return bytes(profile.signed)
