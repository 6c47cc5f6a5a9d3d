"""A device on disk: one property list per serial number, 0600, written whole and renamed into place.

It holds keys, certificates, profiles, tokens and an unsent report, so that a fleet that was stopped goes on as the same
devices. What is scripted is forgotten; a device that was offline is online again.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from protocol import mobileconfig, plist
from protocol.errors import ProtocolError
from protocol.reports import Status
from simulator.device import AfterDelivery, Device, Enrollment
from simulator.errors import StateError
from simulator.hardware import Family, Hardware
from simulator.profiles import InstalledProfile, ProvisioningProfile

_PLAIN: Final = (
    "user_enrollment",
    "awaiting_configuration",
    "enrollment_id",
    "passcode",
    "user_acted",
    "locked",
    "erased",
    "unsent",
    "polls_after_unlock",
)


def dump(device: Device) -> bytes:
    """The device as an XML property list. Holds its private key."""
    values: dict[str, Any] = {name: getattr(device, name) for name in _PLAIN}
    values["hardware"] = _without_none(asdict(device.hardware))
    values["profiles"] = [_dump_profile(profile) for profile in device.profiles.values()]
    values["provisioning_profiles"] = [_dump_provisioning(p) for p in device.provisioning_profiles.values()]
    values["identities"] = {key: [_der(c) for c in certificates] for key, certificates in device.identities.items()}
    values["after_delivery"] = None if device.after_delivery is None else device.after_delivery.value
    values["last_status"] = None if device.last_status is None else device.last_status.value
    values["enrollment"] = None if device.enrollment is None else _dump_enrollment(device.enrollment)
    return plist.dumps(_without_none(values))


def load(data: bytes) -> Device:
    """The device that `dump` wrote. StateError for anything else."""
    try:
        values = plist.loads_dict(data)
        return _load(values)
    except (ProtocolError, KeyError, TypeError, ValueError) as error:
        raise StateError(f"no saved device: {type(error).__name__}") from error


class Folder:
    """The state folder of a fleet."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._written: dict[str, bytes] = {}
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def save(self, device: Device) -> None:
        """Write the device if it has changed since the last time.

        While it authenticates, the file stays as it was: a fleet that is killed then has enrolled nothing.
        """
        if device.enrollment is not None and not device.enrollment.authenticated:
            return
        data = dump(device)
        if self._written.get(device.serial) == data:
            return
        path = self.directory / f"{device.serial}.plist"
        temporary = path.with_suffix(".new")
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
        temporary.replace(path)
        self._written[device.serial] = data

    def load(self, serial: str) -> Device | None:
        """The saved device, None when there is none. StateError when the file is damaged."""
        path = self.directory / f"{serial}.plist"
        return load(path.read_bytes()) if path.is_file() else None


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """Property lists know no null: absent means None."""
    return {key: value for key, value in values.items() if value is not None}


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def _dump_profile(profile: InstalledProfile) -> dict[str, Any]:
    values = {"content": profile.content, "managed": profile.managed, "signers": list(profile.signers)}
    return {**values, "encrypted": profile.encrypted}


def _dump_provisioning(profile: ProvisioningProfile) -> dict[str, Any]:
    expires_at = profile.expires_at.astimezone(UTC).replace(tzinfo=None)
    values = {"uuid": profile.uuid, "name": profile.name, "expires_at": expires_at, "raw": profile.raw}
    devices = None if profile.devices is None else list(profile.devices)
    return _without_none({**values, "managed": profile.managed, "devices": devices, "is_free": profile.is_free})


def _dump_enrollment(enrollment: Enrollment) -> dict[str, Any]:
    encoding, form = serialization.Encoding.DER, serialization.PrivateFormat.PKCS8
    return _without_none(
        {
            "profile": _dump_profile(enrollment.profile),
            "private_key": enrollment.private_key.private_bytes(encoding, form, serialization.NoEncryption()),
            "certificate": _der(enrollment.certificate),
            "push_magic": enrollment.push_magic,
            "token": enrollment.token,
            "unlock_token": enrollment.unlock_token,
            "confirmed": enrollment.confirmed,
        }
    )


def _load(values: Mapping[str, Any]) -> Device:
    box: dict[str, Any] = {"imei": None, **values["hardware"]}
    box["family"] = Family(box["family"])
    device = Device(Hardware(**box))
    for name in _PLAIN:
        if name in values:
            setattr(device, name, values[name])
    device.profiles = {p.identifier: p for p in map(_load_profile, values["profiles"])}
    device.provisioning_profiles = {p.uuid: p for p in map(_load_provisioning, values["provisioning_profiles"])}
    device.identities = {
        key: [x509.load_der_x509_certificate(der) for der in ders] for key, ders in values["identities"].items()
    }
    after, status, enrollment = values.get("after_delivery"), values.get("last_status"), values.get("enrollment")
    device.after_delivery = None if after is None else AfterDelivery(after)
    device.last_status = None if status is None else Status(status)
    device.enrollment = None if enrollment is None else _load_enrollment(enrollment)
    return device


def _load_profile(values: Mapping[str, Any]) -> InstalledProfile:
    return InstalledProfile(
        values["content"],
        managed=values["managed"],
        signers=tuple(values["signers"]),
        encrypted=values.get("encrypted", False),
    )


def _load_provisioning(values: Mapping[str, Any]) -> ProvisioningProfile:
    expires_at: datetime = values["expires_at"]
    devices = values.get("devices")
    return ProvisioningProfile(
        values["uuid"],
        values["name"],
        expires_at.replace(tzinfo=UTC),
        values["raw"],
        managed=values.get("managed", True),
        devices=None if devices is None else tuple(devices),
        is_free=values.get("is_free", False),
    )


def _load_enrollment(values: Mapping[str, Any]) -> Enrollment:
    profile = _load_profile(values["profile"])
    key = serialization.load_der_private_key(values["private_key"], password=None)
    if not isinstance(key, RSAPrivateKey):
        raise StateError("the saved key is no RSA key")
    return Enrollment(
        facts=mobileconfig.read_enrollment(profile.content),
        profile=profile,
        private_key=key,
        certificate=x509.load_der_x509_certificate(values["certificate"]),
        push_magic=values["push_magic"],
        token=values["token"],
        unlock_token=values.get("unlock_token"),
        authenticated=True,
        confirmed=values["confirmed"],
    )
