"""Make facts.json from a checkout of Apple's schema: `python -m protocol.schema.compile PATH`.

A tool for developers, and the only place that needs PyYAML. It keeps names,
types, versions and flags, and leaves Apple's prose behind.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from protocol.schema.facts import FACTS_FILE, PLATFORMS

__all__ = ["compile_schema", "render"]

Facts: TypeAlias = dict[str, Any]

# The bits of AccessRights (com.apple.mdm) behind the names in the schema, which uses two names for some.
_ACCESS_RIGHTS = {
    "AllowInspection": 1,
    "AllowInstallationRemoval": 2,
    "AllowPasscodeRemovalAndLock": 4,
    "DeviceLockAndRemovePasscode": 4,
    "AllowDeviceErase": 8,
    "AllowQueryDeviceInformation": 16,
    "AllowQueryNetworkInformation": 32,
    "AllowProvisioningInspection": 64,
    "AllowProvisioningInstallationRemoval": 128,
    "AllowQueryApplications": 256,
    "QueryInstalledApps": 256,
    "AllowQueryRestrictions": 512,
    "AllowQuerySecurity": 1024,
    "AllowSettings": 2048,
    "AllowAppInstallation": 4096,
    # No right at all, or one that depends on the keys inside.
    "None": 0,
    "n/a": 0,
    "Special Case": 0,
}
# Defaults that are not falsy.
_DEFAULTS: Facts = {"device_channel": True, "user_enrollment": "allowed", "shared_ipad": "allowed"}


def compile_schema(schema: Path) -> Facts:
    """Facts about every command and check-in message below `schema`, a checkout of apple/device-management.

    Raises KeyError for an access right or file layout that this compiler does not know.
    """
    return {
        "commands": _compile_folder(schema / "mdm" / "commands"),
        "checkins": _compile_folder(schema / "mdm" / "checkin"),
    }


def render(facts: Mapping[str, Any]) -> str:
    """JSON with one command per line, so that a new release of the schema gives a readable difference."""
    parts = []
    for part, messages in facts.items():
        lines = ",\n".join(
            f"{json.dumps(name)}:{json.dumps(said, separators=(',', ':'))}" for name, said in messages.items()
        )
        parts.append(f"{json.dumps(part)}:{{\n{lines}\n}}")
    return "{" + ",\n".join(parts) + "}\n"


def _compile_folder(folder: Path) -> Facts:
    import yaml

    found: Facts = {}
    for file in sorted(folder.glob("*.yaml")):
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
        name = document["payload"]["requesttype"]
        if name in found:
            raise KeyError(f"{name} is described twice")
        found[name] = _message(document)
    return dict(sorted(found.items()))


def _message(document: Mapping[str, Any]) -> Facts:
    said = document["payload"]["supportedOS"]
    platforms = {
        name: _platform(said[name]) for name in PLATFORMS if said.get(name, {}).get("introduced", "n/a") != "n/a"
    }
    return _without_defaults({"platforms": platforms, "keys": _keys(document.get("payloadkeys", ()), platforms)})


def _platform(said: Mapping[str, Any]) -> Facts:
    shared = said.get("sharedipad", {})
    channels = {
        "device_channel": said.get("devicechannel", shared.get("devicechannel", True)),
        "user_channel": said.get("userchannel", shared.get("userchannel", False)),
    }
    return _without_defaults(
        {
            "introduced": str(said["introduced"]),
            "deprecated": _version(said.get("deprecated")),
            "removed": _version(said.get("removed")),
            "supervised": said.get("supervised", False),
            "requires_dep": said.get("requiresdep", False),
            **channels,
            "user_enrollment": said.get("userenrollment", {}).get("mode", "allowed"),
            "shared_ipad": shared.get("mode", "allowed"),
            "access_rights": _ACCESS_RIGHTS[str(said.get("accessrights"))],
        }
    )


def _keys(keys: Sequence[Mapping[str, Any]], platforms: Mapping[str, Any]) -> Facts:
    return {key["key"]: _key(key, platforms) for key in keys}


def _key(key: Mapping[str, Any], platforms: Mapping[str, Any]) -> Facts:
    introduced = {
        platform: str(said["introduced"])
        for platform, said in key.get("supportedOS", {}).items()
        if platform in platforms and "introduced" in said
    }
    return _without_defaults(
        {
            "type": key["type"].strip("<>"),
            "required": key.get("presence") == "required",
            "values": key.get("rangelist", []),
            "introduced": introduced,
            "keys": _keys(key.get("subkeys", ()), platforms),
        }
    )


def _version(value: object) -> str | None:
    return None if value in {None, "n/a"} else str(value)


def _without_defaults(facts: Facts) -> Facts:
    """Leave out what `facts.PlatformFacts` and `facts.KeyFacts` have as their defaults."""
    return {name: value for name, value in facts.items() if (value != _DEFAULTS[name] if name in _DEFAULTS else value)}


def main() -> None:
    """Compile the schema named on the command line into facts.json."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m protocol.schema.compile PATH-TO-APPLE-SCHEMA")
    FACTS_FILE.write_text(render(compile_schema(Path(sys.argv[1]))), encoding="utf-8")


if __name__ == "__main__":
    main()
