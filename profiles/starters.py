"""Bundles to start from: payloads of a common purpose, filled in as far as nobody has to be asked.

What is missing (a server's address, a certificate) the checks name; nothing here can be published unfinished by mistake.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from profiles.models import DeliveryRule
from protocol.plist import PlistValue

Content = dict[str, PlistValue]
_PASSCODE = "com.apple.mobiledevice.passwordpolicy"
_TLS = 13


@dataclass(frozen=True, slots=True, kw_only=True)
class StarterPayload:
    """A payload to begin with; `uuid` is its PayloadUUID, by which the others may name it."""

    name: str
    payload_type: str
    content: Content
    uuid: str

    @property
    def variant(self) -> str:
        """The file of Apple's schema; the types used here have one each, called like them."""
        return self.payload_type


@dataclass(frozen=True, slots=True, kw_only=True)
class Starter:
    """A bundle to start from: its name in addresses, what people read, and how it is delivered."""

    name: str
    title: str
    summary: str
    rule: DeliveryRule
    payloads: Callable[[], list[StarterPayload]]


def _payload(name: str, payload_type: str, content: Content) -> StarterPayload:
    return StarterPayload(name=name, payload_type=payload_type, content=content, uuid=str(uuid.uuid4()).upper())


def _passcode_baseline() -> list[StarterPayload]:
    content: Content = {
        "allowSimple": False, "forcePIN": True, "maxFailedAttempts": 10, "maxInactivity": 5, "minLength": 6,
    }  # fmt: skip
    return [_payload("Passcode", _PASSCODE, content)]


def _vpn_after_passcode() -> list[StarterPayload]:
    ikev2: Content = {
        "AuthenticationMethod": "None", "DeadPeerDetectionRate": "Medium", "ExtendedAuthEnabled": 1,
    }  # fmt: skip
    vpn: Content = {"UserDefinedName": "Corporate VPN", "VPNType": "IKEv2", "IKEv2": ikev2}
    passcode: Content = {"allowSimple": False, "forcePIN": True, "minLength": 6}
    return [_payload("Passcode", _PASSCODE, passcode), _payload("Corporate VPN", "com.apple.vpn.managed", vpn)]


def _wifi_with_certificate() -> list[StarterPayload]:
    root = _payload("Root certificate of the network", "com.apple.security.root", {})
    scep = _payload(
        "Certificate of the device",
        "com.apple.security.scep",
        {"PayloadContent": {"Key Type": "RSA", "Key Usage": 1, "Keysize": 2048}},
    )
    eap: Content = {"AcceptEAPTypes": [_TLS], "PayloadCertificateAnchorUUID": [root.uuid]}
    wifi: Content = {
        "AutoJoin": True, "EncryptionType": "WPA2", "EAPClientConfiguration": eap, "PayloadCertificateUUID": scep.uuid,
    }  # fmt: skip
    return [root, scep, _payload("Wi-Fi", "com.apple.wifi.managed", wifi)]


_ALL = (
    Starter(
        name="vpn-after-passcode",
        title="VPN after passcode",
        summary="A passcode of at least 6 characters, and the VPN for devices that have proved they comply.",
        rule=DeliveryRule.AFTER_COMPLIANCE,
        payloads=_vpn_after_passcode,
    ),
    Starter(
        name="passcode-baseline",
        title="Passcode baseline",
        summary="A passcode of at least 6 characters, locked after 5 minutes, erased after 10 wrong ones.",
        rule=DeliveryRule.TOGETHER,
        payloads=_passcode_baseline,
    ),
    Starter(
        name="wifi-with-certificate",
        title="Wi-Fi with certificate",
        summary="The network's root certificate, a certificate for each device by SCEP, and the Wi-Fi that uses both.",
        rule=DeliveryRule.TOGETHER,
        payloads=_wifi_with_certificate,
    ),
)
STARTERS: Mapping[str, Starter] = {starter.name: starter for starter in _ALL}
