"""The fake App Store Connect on disk: one property list (0600) with everything, and the files that a portal is given.

    provisioning-roots.pem    what a portal must trust to believe the fake's profiles (PORTAL_PROVISIONING_EXTRA_ROOTS)
    AuthKey_<key id>.p8       the team key; team.json says its key ID, issuer ID, program and team
    <bundle id>.mobileprovision   the profile of each App ID as it was at the first start

Scripted faults and counts are forgotten.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
)

from protocol import plist
from protocol.errors import ProtocolError
from simulator.appstoreconnect_api import FakeApi
from simulator.appstoreconnect_team import BundleId, Certificate, Device, Key, Profile, Team
from simulator.errors import StateError
from simulator.provisioning_authority import Issued, PrivateKey, ProvisioningAuthority, make_authority

STATE: Final = "appstoreconnect.plist"
ROOTS: Final = "provisioning-roots.pem"
TEAM: Final = "team.json"
# What the App IDs of a new team may do, so that there is something to compare.
_ENTITLEMENTS: Final[Mapping[str, Any]] = {
    "aps-environment": "production",
    "com.apple.developer.associated-domains": ["*"],
}


def open_folder(
    directory: Path,
    clock: Callable[[], datetime],
    *,
    team: str = "AB12CD34EF",
    program: str = "enterprise",
    bundle_ids: Sequence[str] = ("com.example.pos",),
    lifetime: timedelta = timedelta(days=365),
    age: timedelta = timedelta(0),
) -> FakeApi:
    """Go on with the folder's state, or fill it: a team with a key, a certificate, App IDs and a profile for each.

    `lifetime` counts for every profile made from now on; `age` is how old the first ones are. StateError when the
    state cannot be read.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if (directory / STATE).is_file():
        api = load((directory / STATE).read_bytes(), clock)
        for known in api.teams.values():
            known.lifetime = lifetime
        return api
    now = clock()
    api = FakeApi(make_authority(now), clock)
    made = api.add_team(team, program=program, lifetime=lifetime)
    key, certificate = made.add_key(), made.add_certificate(now=now)
    for identifier in bundle_ids:
        _add_app(directory, made, identifier, certificate, made_at=now - age)
    roots = (api.authority.root, api.authority.inner_root)
    _write(directory / ROOTS, b"".join(root.certificate.public_bytes(Encoding.PEM) for root in roots))
    _write(directory / f"AuthKey_{key.key_id}.p8", key.pem)
    facts = {"team": team, "program": program, "key_id": key.key_id, "issuer_id": key.issuer_id}
    _write(directory / TEAM, json.dumps({**facts, "key_file": f"AuthKey_{key.key_id}.p8"}, indent=1).encode())
    save(directory, api)
    return api


def save(directory: Path, api: FakeApi) -> None:
    """Write everything, whole."""
    _write(directory / STATE, dump(api))


def dump(api: FakeApi) -> bytes:
    """All teams and the authority as an XML property list. Holds private keys."""
    authority: Any = {field.name: _dump_issued(getattr(api.authority, field.name)) for field in fields(api.authority)}
    return plist.dumps({"authority": authority, "teams": [_dump_team(team) for team in api.teams.values()]})


def load(data: bytes, clock: Callable[[], datetime]) -> FakeApi:
    """What `dump` wrote. StateError for anything else."""
    try:
        values: dict[str, Any] = plist.loads_dict(data)
        authority = ProvisioningAuthority(
            **{field.name: _load_issued(values["authority"][field.name]) for field in fields(ProvisioningAuthority)}
        )
        api = FakeApi(authority, clock)
        for saved in values["teams"]:
            _load_team(saved, api)
    except (ProtocolError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise StateError(f"{STATE} is no saved App Store Connect: {type(error).__name__}") from error
    return api


def _add_app(directory: Path, team: Team, identifier: str, certificate: Certificate, *, made_at: datetime) -> None:
    app_id = team.add_bundle_id(identifier, entitlements=dict(_ENTITLEMENTS))
    profile_type = "IOS_APP_INHOUSE" if team.program == "enterprise" else "IOS_APP_ADHOC"
    devices = () if team.program == "enterprise" else (team.add_device("00008110-000000000000001E").id,)
    name = f"{identifier.replace('*', 'Wildcard')} first"[:50]
    made = team.create_profile(
        name, profile_type, bundle_id=app_id.id, certificates=(certificate.id,), devices=devices, now=made_at
    )
    _write(directory / f"{identifier}.mobileprovision", made.content or b"")


def _dump_team(team: Team) -> dict[str, Any]:
    return {
        "identifier": team.identifier,
        "program": team.program,
        "lifetime": team.lifetime.total_seconds(),
        "keys": [
            {"key_id": key.key_id, "issuer_id": key.issuer_id, "pem": key.pem, "is_revoked": key.is_revoked}
            for key in team.keys.values()
        ],
        "bundle_ids": [asdict(one) for one in team.bundle_ids.values()],
        "certificates": [
            {"id": one.id, "issued": _dump_issued(one.issued), "name": one.name, "type": one.type,
             "is_revoked": one.is_revoked}
            for one in team.certificates.values()
        ],
        "devices": [asdict(one) for one in team.devices.values()],
        "profiles": [_dump_profile(one) for one in team.profiles.values()],
    }  # fmt: skip


def _load_team(values: dict[str, Any], api: FakeApi) -> None:
    lifetime = timedelta(seconds=values["lifetime"])
    team = api.add_team(values["identifier"], program=values["program"], lifetime=lifetime)
    for key in values["keys"]:
        private = cast("ec.EllipticCurvePrivateKey", load_pem_private_key(key["pem"], None))
        team.keys[key["key_id"]] = Key(key["key_id"], key["issuer_id"], private, key["is_revoked"])
    team.bundle_ids = {one["id"]: BundleId(**one) for one in values["bundle_ids"]}
    team.certificates = {
        one["id"]: Certificate(**{**one, "issued": _load_issued(one["issued"])}) for one in values["certificates"]
    }
    team.devices = {one["id"]: Device(**one) for one in values["devices"]}
    team.profiles = {one["id"]: _load_profile(one) for one in values["profiles"]}


def _dump_profile(profile: Profile) -> dict[str, Any]:
    values = asdict(profile)
    values["certificate_ids"], values["device_ids"] = list(profile.certificate_ids), list(profile.device_ids)
    values["created_at"] = profile.created_at.astimezone(UTC).replace(tzinfo=None)
    values["expires_at"] = profile.expires_at.astimezone(UTC).replace(tzinfo=None)
    if profile.content is None:
        del values["content"]
    return values


def _load_profile(values: dict[str, Any]) -> Profile:
    return Profile(
        **{
            **values,
            "content": values.get("content"),
            "certificate_ids": tuple(values["certificate_ids"]),
            "device_ids": tuple(values["device_ids"]),
            "created_at": values["created_at"].replace(tzinfo=UTC),
            "expires_at": values["expires_at"].replace(tzinfo=UTC),
        }
    )


def _dump_issued(issued: Issued) -> dict[str, bytes]:
    key = issued.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return {"certificate": issued.der, "key": key}


def _load_issued(values: dict[str, bytes]) -> Issued:
    key = cast("PrivateKey", load_der_private_key(values["key"], None))
    return Issued(x509.load_der_x509_certificate(values["certificate"]), key)


def _write(path: Path, data: bytes) -> None:
    """Whole and readable by nobody else, or not at all."""
    temporary = path.with_name(f"{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    temporary.replace(path)
