"""A fake Apple that signs provisioning profiles: root, intermediate, signer, developer certificates, DER form.

Shaped as Apple's own (names, markers, SHA-1 outside, an EC chain inside), so that openssl verifies what it makes
against its root and refuses it against Apple's. Nothing it signs runs anywhere.
"""

from __future__ import annotations

import uuid as uuids
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from protocol.cms import der, sign
from protocol.plist import dumps

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
SIGNING_TIME = der.oid("1.2.840.113549.1.9.5")
_UTC_TIME = 0x17
_NULL = b"\x05\x00"
SIGNER_NAME = "Apple iPhone OS Provisioning Profile Signing"
MAC_SIGNER_NAME = "Mac OS X Provisioning Profile Signing"
SIGNER_MARKER = "1.2.840.113635.100.6.58"
MAC_SIGNER_MARKER = "1.2.840.113635.100.4.11"
INTERMEDIATE_MARKER = "1.2.840.113635.100.6.2.18"


@dataclass(frozen=True)
class Issued:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)

    @property
    def der(self) -> bytes:
        """The certificate's bytes."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def serial_number(self) -> str:
        """As the App Store Connect API writes it: upper-case hexadecimal digits."""
        return f"{self.certificate.serial_number:X}"


@dataclass(frozen=True)
class ProvisioningAuthority:
    """The fake root and what hangs below it."""

    root: Issued
    intermediate: Issued
    signer: Issued
    mac_signer: Issued
    inner_root: Issued
    inner_signer: Issued

    def developer_certificate(self, name: str, *, team: str, now: datetime, days: int = 3 * 365) -> Issued:
        """A distribution certificate of a team ("iPhone Distribution: ...")."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return _issue(f"iPhone Distribution: {name}", key, issuer=self.intermediate, now=now, days=days, unit=team)

    def sign(self, values: Mapping[str, Any], *, at: datetime, digest: str = "sha1", for_mac: bool = False) -> bytes:
        """The signed file around a profile's plist."""
        signer = self.mac_signer if for_mac else self.signer
        chain = [self.intermediate.certificate, self.root.certificate]
        return sign(
            dumps(dict(values)),
            signer.certificate,
            private_key=signer.key,
            digest=digest,
            chain=chain,
            attributes={SIGNING_TIME: der_time(at)},
        )

    def profile(
        self,
        *,
        name: str,
        team: str,
        bundle_identifier: str,
        certificates: Sequence[Issued],
        now: datetime,
        kind: str = "in_house",
        days: float = 365,
        devices: Sequence[str] = (),
        entitlements: Mapping[str, Any] | None = None,
        uuid: str | None = None,
        prefix: str | None = None,
        platforms: Sequence[str] = ("iOS", "xrOS", "visionOS"),
        der_form: bool = True,
    ) -> bytes:
        """A provisioning profile as Apple's portal would make it, valid for `days` from `now`."""
        values = profile_values(
            name=name, team=team, bundle_identifier=bundle_identifier, certificates=certificates, now=now, kind=kind,
            days=days, devices=devices, entitlements=entitlements, uuid=uuid, prefix=prefix, platforms=platforms,
        )  # fmt: skip
        if der_form:
            values["DER-Encoded-Profile"] = self._der_form(values, kind, at=now)
        return self.sign(values, at=values["CreationDate"], for_mac="OSX" in platforms)

    def _der_form(self, values: Mapping[str, Any], kind: str, *, at: datetime) -> bytes:
        distribution = {"in_house": "IN_HOUSE", "app_store": "STORE"}.get(kind, "LIMITED")
        texts = {name: value for name, value in values.items() if isinstance(value, str)}
        pairs = {**texts, "ProfileDistributionType": distribution}
        content = der.set_of(der.sequence(_utf8(name), _utf8(value)) for name, value in sorted(pairs.items()))
        return sign(
            content,
            self.inner_signer.certificate,
            private_key=self.inner_signer.key,
            chain=[self.inner_root.certificate],
            attributes={SIGNING_TIME: der_time(at)},
        )


def make_authority(now: datetime, *, name: str = "Example Fake Apple") -> ProvisioningAuthority:
    """A new fake Apple, valid for twelve years around `now`."""
    root = _issue(f"{name} Root CA", _rsa(), issuer=None, now=now, days=12 * 365)
    intermediate = _issue(
        f"{name} iPhone Certification Authority",
        _rsa(),
        issuer=root,
        now=now,
        days=11 * 365,
        marker=INTERMEDIATE_MARKER,
        is_authority=True,
    )
    signer = _issue(SIGNER_NAME, _rsa(), issuer=intermediate, now=now, days=2 * 365, marker=SIGNER_MARKER)
    mac = _issue(MAC_SIGNER_NAME, _rsa(), issuer=intermediate, now=now, days=2 * 365, marker=MAC_SIGNER_MARKER)
    inner_root = _issue(f"{name} Root CA - G3", _ec(), issuer=None, now=now, days=12 * 365)
    inner = _issue("WWDR Provisioning Profile Signing", _ec(), issuer=inner_root, now=now, days=2 * 365)
    return ProvisioningAuthority(root, intermediate, signer, mac, inner_root, inner)


def profile_values(
    *,
    name: str,
    team: str,
    bundle_identifier: str,
    certificates: Sequence[Issued],
    now: datetime,
    kind: str,
    days: float,
    devices: Sequence[str],
    entitlements: Mapping[str, Any] | None,
    uuid: str | None,
    prefix: str | None,
    platforms: Sequence[str],
) -> dict[str, Any]:
    """The plist of a profile, without its DER form."""
    created = now.astimezone(UTC).replace(microsecond=0, tzinfo=None)
    seed = prefix or team
    rights = {
        "application-identifier": f"{seed}.{bundle_identifier}",
        "com.apple.developer.team-identifier": team,
        "get-task-allow": kind == "development",
        "keychain-access-groups": [f"{seed}.*", "com.apple.token"],
        **(entitlements or {}),
    }
    values: dict[str, Any] = {
        "AppIDName": bundle_identifier.replace(".", " "),
        "ApplicationIdentifierPrefix": [seed],
        "CreationDate": created,
        "Platform": list(platforms),
        "IsXcodeManaged": False,
        "DeveloperCertificates": [certificate.der for certificate in certificates],
        "Entitlements": rights,
        "ExpirationDate": created + timedelta(days=days),
        "Name": name,
        "TeamIdentifier": [team],
        "TeamName": f"Example {team}",
        "TimeToLive": round(days),
        "UUID": uuid or str(uuids.uuid4()),
        "Version": 1,
    }
    if kind in {"in_house", "developer_id"}:
        values["ProvisionsAllDevices"] = True
    elif kind in {"ad_hoc", "development"}:
        values["ProvisionedDevices"] = list(devices)
    return values


def der_time(moment: datetime) -> bytes:
    """A whole UTCTime."""
    return der.encode(_UTC_TIME, f"{moment.replace(microsecond=0):%y%m%d%H%M%SZ}".encode())


def _utf8(text: str) -> bytes:
    return der.encode(der.UTF8_STRING, text.encode())


def _rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _ec() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _issue(
    common_name: str,
    key: PrivateKey,
    *,
    issuer: Issued | None,
    now: datetime,
    days: int,
    marker: str = "",
    unit: str = "",
    is_authority: bool = False,
) -> Issued:
    """A certificate; without an issuer it is a root, which signs itself."""
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if unit:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit))
    subject, is_root = x509.Name(attributes), issuer is None
    can_sign = is_root or is_authority
    signing_key = key if issuer is None else issuer.key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number() >> 96)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=can_sign, path_length=None), critical=True)
        .add_extension(_key_usage(can_sign=can_sign), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), critical=False)
    )
    if marker:
        builder = builder.add_extension(
            x509.UnrecognizedExtension(x509.ObjectIdentifier(marker), _NULL), critical=False
        )
    return Issued(builder.sign(signing_key, hashes.SHA256()), key)


def _key_usage(*, can_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not can_sign,
        key_cert_sign=can_sign,
        crl_sign=can_sign,
        key_encipherment=False,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
