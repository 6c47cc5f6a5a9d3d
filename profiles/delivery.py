"""Turning a queued InstallProfile into the command that a device gets.

The queue holds the profile's key and UUID only; the bytes were signed when the revision was published and are kept
per process, so that a delivery costs no signature and, after the first, no statement.
"""

from collections.abc import Mapping
from functools import lru_cache

from profiles.errors import DeliveryError
from profiles.models import Profile
from protocol.commands import InstallProfile
from protocol.plist import PlistValue


def render_install_profile(params: Mapping[str, PlistValue]) -> InstallProfile:
    """The command behind `{"Profile": <pk>, "UUID": <its PayloadUUID>, ...}`.

    Raises DeliveryError when the profile is gone.
    """
    pk, uuid = params.get("Profile"), params.get("UUID")
    if not isinstance(pk, int) or isinstance(pk, bool):
        raise DeliveryError("The command names no profile.")
    return InstallProfile(_signed(pk, uuid) if isinstance(uuid, str) else _load(pk))


@lru_cache(maxsize=256)
def _signed(pk: int, uuid: str) -> bytes:
    """The UUID is derived from the content: what was read once under both names stays true."""
    return _load(pk, uuid=uuid)


def _load(pk: int, **facts: str) -> bytes:
    signed = Profile.objects.filter(pk=pk, **facts).values_list("signed", flat=True).first()
    if not signed:
        raise DeliveryError(f"Profile {pk} is gone.")
    return bytes(signed)
