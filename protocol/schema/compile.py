"""Make the compact form from Apple's YAML files: `python -m protocol.schema.compile PATH`, or at run time.

Keeps names, types, versions and flags of commands, check-ins, payloads and declarations; Apple's titles and help are
a result of their own (`texts`), which the package does not hold. The input may be hostile: YAML is read safely, and
a file whose aliases unfold without end is refused.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from protocol.errors import SchemaError
from protocol.schema.archive import read_folder
from protocol.schema.facts import FACTS_FILE, PLATFORMS

__all__ = ["compile_schema", "compile_texts", "render"]

Facts: TypeAlias = dict[str, Any]
Files: TypeAlias = Mapping[str, bytes]

# Apple's largest file has 300 keys and is 7 levels deep.
_MOST_KEYS = 20_000
_DEEPEST = 40
# Nodes of YAML with aliases unfolded; Apple's largest file has 10,000.
_MOST_NODES = 1_000_000
_TYPES = frozenset({"string", "integer", "real", "boolean", "date", "data", "array", "dictionary", "any"})
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
_DEFAULTS: Facts = {
    "device_channel": True,
    "user_enrollment": "allowed",
    "shared_ipad": "allowed",
    "multiple": True,
    "allow_manual_install": True,
}
# Apple's word for a flag, and ours.
_FLAGS = {
    "supervised": "supervised",
    "requiresdep": "requires_dep",
    "devicechannel": "device_channel",
    "userchannel": "user_channel",
    "multiple": "multiple",
    "userapprovedmdm": "user_approved",
    "allowmanualinstall": "allow_manual_install",
}
_FOLDERS = {
    "mdm/commands": "commands",
    "mdm/checkin": "checkins",
    "mdm/profiles": "payloads",
    "declarative/declarations": "declarations",
}
_NAMES = {
    "commands": ("requesttype",),
    "checkins": ("requesttype",),
    "declarations": ("declarationtype", "credentialtype"),
}


def compile_schema(files: Files) -> Facts:
    """Facts about every command, check-in, payload and declaration among `files`, in the compact form.

    Raises SchemaError that names the file which this compiler cannot read or does not understand.
    """
    found: Facts = {"commands": {}, "checkins": {}, "payloads": {}, "declarations": {}}
    for path, part, document in _documents(files):
        stem = PurePosixPath(path).stem
        if part == "payloads" and stem in {"CommonPayloadKeys", "TopLevel"}:
            found["common" if stem == "CommonPayloadKeys" else "top_level"] = _said(path, document)
            continue
        name = _name(part, stem, document)
        if name in found[part]:
            raise SchemaError(f"{path}: {name} is described twice.")
        found[part][name] = _said(path, document)
    missing = [part for part in (*found, "common", "top_level") if not found.get(part)]
    if missing:
        raise SchemaError(f"This is not the whole of Apple's schema: nothing about {', '.join(missing)} was found.")
    for part in _FOLDERS.values():
        found[part] = dict(sorted(found[part].items()))
    return found


def compile_texts(files: Files) -> dict[str, list[str]]:
    """Apple's title and help of every payload and key: "variant:Key.Subkey" to both."""
    found: dict[str, list[str]] = {}
    for path, part, document in _documents(files):
        if part == "payloads":
            name = PurePosixPath(path).stem
            found[f"{name}:"] = [_text(document.get("title")), _text(document.get("description"))]
            _collect_texts(name, document.get("payloadkeys"), (), found)
    return found


def render(facts: Mapping[str, Any]) -> str:
    """JSON with one message or payload per line, so that a new release of the schema gives a readable difference."""
    parts = []
    for part, messages in sorted(facts.items()):
        if part in {"common", "top_level"}:
            parts.append(f"{json.dumps(part)}:{_compact(messages)}")
            continue
        lines = ",\n".join(f"{json.dumps(name)}:{_compact(said)}" for name, said in messages.items())
        parts.append(f"{json.dumps(part)}:{{\n{lines}\n}}")
    return "{" + ",\n".join(parts) + "}\n"


def _compact(said: object) -> str:
    return json.dumps(said, separators=(",", ":"))


def _documents(files: Files) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Path, part and content of every file that says something about a part."""
    for path, content in sorted(files.items()):
        part = next((part for folder, part in _FOLDERS.items() if path.startswith(f"{folder}/")), None)
        if part is None or PurePosixPath(path).stem == "declarationbase":
            continue
        document = _load(path, content)
        if not isinstance(document, dict) or not isinstance(document.get("payload"), dict):
            raise SchemaError(f"{path} is no description of a payload.")
        yield path, part, document


def _load(path: str, content: bytes) -> Any:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        text = content.decode("utf-8")
        _refuse_bombs(path, yaml.parse(text, Loader=loader))
        return yaml.load(text, Loader=loader)  # noqa: S506 (both loaders are safe ones)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise SchemaError(f"{path} is no YAML ({type(error).__name__}).") from None


def _refuse_bombs(path: str, events: Iterator[Any]) -> None:
    """Raise SchemaError for YAML whose nesting would overflow the C loader's stack, or whose aliases unfold too far."""
    # One entry for each collection that is open, the document first: its anchor, and its nodes with aliases unfolded.
    open_ones: list[tuple[str, int]] = [("", 0)]
    sizes: dict[str, int] = {}
    for event in events:
        kind, anchor, size = type(event).__name__, getattr(event, "anchor", None) or "", 1
        if kind in {"MappingStartEvent", "SequenceStartEvent"}:
            open_ones.append((anchor, 0))
            if len(open_ones) > 2 * _DEEPEST + 20:
                raise SchemaError(f"{path}: its YAML is nested too deep.")
            continue
        if kind in {"MappingEndEvent", "SequenceEndEvent"}:
            anchor, size = open_ones.pop()
        elif kind == "AliasEvent":
            # One that is open still is itself again: that unfolds nowhere.
            anchor, size = "", sizes.get(anchor, 1)
        elif kind != "ScalarEvent":
            continue
        if anchor:
            sizes[anchor] = size
        above, number = open_ones[-1]
        open_ones[-1] = (above, number + size + 1)
        if number + size > _MOST_NODES:
            raise SchemaError(f"{path}: its YAML unfolds to more than any honest file.")


def _name(part: str, stem: str, document: Mapping[str, Any]) -> str:
    payload = document["payload"]
    if part == "payloads":
        return stem
    for key in _NAMES[part]:
        if isinstance(payload.get(key), str):
            return str(payload[key])
    raise SchemaError(f"{stem}.yaml does not say which {part[:-1]} it describes.")


def _said(path: str, document: Mapping[str, Any]) -> Facts:
    try:
        return _message(document)
    except SchemaError as error:
        raise SchemaError(f"{path}: {error}") from None
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise SchemaError(f"{path} is not laid out as this software knows it ({error!r:.100}).") from None


def _message(document: Mapping[str, Any]) -> Facts:
    payload = document["payload"]
    said = payload.get("supportedOS", {})
    platforms = {
        name: _platform(said[name]) for name in PLATFORMS if said.get(name, {}).get("introduced", "n/a") != "n/a"
    }
    return _without_defaults(
        {
            "payload_type": payload.get("payloadtype", ""),
            "apply": payload.get("apply", ""),
            "platforms": platforms,
            "keys": _Keys(platforms).read(document.get("payloadkeys") or (), ()),
        }
    ) | {"platforms": platforms}


def _platform(said: Mapping[str, Any]) -> Facts:
    shared = said.get("sharedipad", {})
    return _without_defaults(
        {
            "introduced": str(said["introduced"]),
            **_versions(said),
            **{ours: said[apples] for apples, ours in _FLAGS.items() if apples in said},
            "device_channel": said.get("devicechannel", shared.get("devicechannel", True)),
            "user_channel": said.get("userchannel", shared.get("userchannel", False)),
            "user_enrollment": said.get("userenrollment", {}).get("mode", "allowed"),
            "shared_ipad": shared.get("mode", "allowed"),
            "access_rights": _access_right(said),
            "allowed_enrollments": said.get("allowed-enrollments", []),
            "allowed_scopes": said.get("allowed-scopes", []),
        }
    )


def _access_right(said: Mapping[str, Any]) -> int:
    name = str(said.get("accessrights"))
    if name not in _ACCESS_RIGHTS:
        raise SchemaError(f"the access right {name!r:.60} is unknown.")
    return _ACCESS_RIGHTS[name]


def _versions(said: Mapping[str, Any]) -> Facts:
    return {
        name: str(said[name]) for name in ("deprecated", "removed") if name in said and said[name] not in {None, "n/a"}
    }


def _difference(said: Mapping[str, Any]) -> Facts:
    """What a key says about a platform; nothing is left out, since it overrules what the whole says."""
    found: Facts = {"introduced": str(said["introduced"])} if "introduced" in said else {}
    found |= _versions(said) | {ours: said[apples] for apples, ours in _FLAGS.items() if apples in said}
    for apples, ours in (("userenrollment", "user_enrollment"), ("sharedipad", "shared_ipad")):
        if "mode" in said.get(apples, {}):
            found[ours] = said[apples]["mode"]
    return found


class _Keys:
    """Reads nested keys. Aliases of YAML are the same object again: one that contains itself becomes a step up."""

    def __init__(self, platforms: Mapping[str, Any]) -> None:
        self._platforms = platforms
        self._budget = _MOST_KEYS

    def read(self, keys: Sequence[Mapping[str, Any]], above: tuple[int, ...]) -> Facts:
        """The compact form of `keys`; `above` are the lists that lead here, the outermost first."""
        if len(above) > _DEEPEST:
            raise SchemaError("its keys are nested too deep.")
        return {str(key["key"]): self._key(key, (*above, id(keys))) for key in keys}

    def _key(self, key: Mapping[str, Any], above: tuple[int, ...]) -> Facts:
        self._budget -= 1
        if self._budget < 0:
            raise SchemaError("it has more keys than any honest one.")
        kind = str(key["type"]).strip("<>")
        if kind not in _TYPES:
            raise SchemaError(f"the type {kind!r:.40} is unknown.")
        said: Facts = {
            "type": kind,
            "required": key.get("presence") == "required",
            "values": _scalars(key.get("rangelist") or []),
            "pattern": _pattern(key.get("format")),
            "value_type": str(key.get("valuetype", key.get("subtype", ""))).strip("<>"),
            "os": self._differences(key),
            **self._inside(key.get("subkeys"), above),
        }
        return _without_defaults(said) | _present({"default": _default(key.get("default"), kind), **_bounds(key)})

    def _inside(self, subkeys: Any, above: tuple[int, ...]) -> Facts:
        if id(subkeys) in above:
            # The innermost list is one step up: the key that holds it is the parent.
            return {"up": len(above) - above.index(id(subkeys))}
        return {"keys": self.read(subkeys or (), above)}

    def _differences(self, key: Mapping[str, Any]) -> Facts:
        said = {name: _difference(facts) for name, facts in (key.get("supportedOS") or {}).items()}
        return {name: facts for name, facts in said.items() if name in self._platforms and facts}


def _bounds(key: Mapping[str, Any]) -> Facts:
    names = {"range": ("minimum", "maximum"), "repetition": ("min_items", "max_items")}
    found: Facts = {}
    for apples, (least, most) in names.items():
        said = key.get(apples) or {}
        found |= {least: said.get("min"), most: said.get("max")}
    if any(isinstance(value, bool) or not isinstance(value, int | float | None) for value in found.values()):
        raise SchemaError(f"the range of {key['key']!r:.60} is no pair of numbers.")
    return found


def _scalars(values: Sequence[Any]) -> list[Any]:
    if not isinstance(values, list) or not all(isinstance(value, str | int | float) for value in values):
        raise SchemaError("a list of values holds something else than texts and numbers.")
    return values


def _pattern(value: Any) -> str:
    if value is None:
        return ""
    try:
        re.compile(value)
    except (re.error, TypeError, OverflowError, RecursionError):
        raise SchemaError(f"{value!r:.60} is no regular expression.") from None
    return str(value)


def _default(value: Any, kind: str) -> Any:
    """Apple's default where it is of the key's own type; a few are prose."""
    kinds: Mapping[str, tuple[type, ...]] = {
        "boolean": (bool,),
        "integer": (int,),
        "real": (int, float),
        "string": (str,),
    }
    fits = isinstance(value, kinds.get(kind, ())) and (kind == "boolean" or not isinstance(value, bool))
    return value if fits else None


def _without_defaults(facts: Facts) -> Facts:
    """Leave out what `facts.PlatformFacts` and `facts.KeyFacts` have as their defaults."""
    return {name: value for name, value in facts.items() if (value != _DEFAULTS[name] if name in _DEFAULTS else value)}


def _present(facts: Facts) -> Facts:
    return {name: value for name, value in facts.items() if value is not None}


def _collect_texts(name: str, keys: Any, above: tuple[int, ...], found: dict[str, list[str]], path: str = "") -> None:
    if not isinstance(keys, list) or id(keys) in above or len(above) > _DEEPEST or len(found) > 10 * _MOST_KEYS:
        return
    for key in keys:
        inside = f"{path}.{key['key']}" if path else str(key["key"])
        found[f"{name}:{inside}"] = [_text(key.get("title")), _text(key.get("content"))]
        _collect_texts(name, key.get("subkeys"), (*above, id(keys)), found, inside)


def _text(value: Any) -> str:
    return " ".join(value.split())[:4000] if isinstance(value, str) else ""


def main(arguments: Sequence[str], write: Callable[[str], object]) -> None:
    """Compile the schema named on the command line into facts.json."""
    if len(arguments) != 1:
        sys.exit("usage: python -m protocol.schema.compile PATH-TO-APPLE-SCHEMA")
    write(render(compile_schema(read_folder(Path(arguments[0])))))


if __name__ == "__main__":
    main(sys.argv[1:], lambda text: FACTS_FILE.write_text(text, encoding="utf-8"))
