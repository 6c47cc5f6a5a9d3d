"""Variables of payloads: `{{ device.serial_number }}` in any text of a parsed plist, replaced for each device. Pure.

Never a template engine: what a device calls itself is hostile. A value goes in as text, once, and is not read again.
A `data` value that is nothing but one variable, `{{ secret.NAME }}` in ASCII, becomes that secret's bytes. Where the
values come from is `profiles.rendering`.
"""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from profiles.errors import VariableError
from protocol.plist import PlistValue

__all__ = ["NAMES", "SECRET", "is_known", "names_in", "placeholder", "secret_names", "substitute", "unknown"]

NAMES: Mapping[str, str] = MappingProxyType({
    "device.serial_number": "Serial number",
    "device.udid": "UDID",
    "device.name": "What the device calls itself",
    "device.model": "Model number",
    "device.model_name": "Model, such as MacBook Pro",
    "device.product_name": "Product, such as iPhone16,1",
    "device.os_version": "Version of the system; a new one sends the profile again",
    "device.imei": "IMEI",
    "device.meid": "MEID",
    "device.asset_tag": "Asset tag, as IT entered it",
    "device.id": "The portal's own number of the device",
    "user.name": "The user's account name",
    "user.full_name": "The user's full name",
    "user.email": "The user's e-mail address",
    "enrollment.id": "The enrollment's identifier",
})  # fmt: skip
SECRET = "secret."
_PATTERN = re.compile(r"\{\{\s{0,20}([A-Za-z][A-Za-z0-9_.-]{0,150})\s{0,20}\}\}")
_IN_DATA = re.compile(_PATTERN.pattern.encode())
_SECRET_NAME = re.compile(r"secret\.[A-Za-z0-9_-]{1,100}")
# What tells payloads and profiles apart must be the same on every device (Apple's CommonPayloadKeys).
_FIXED = frozenset({"PayloadIdentifier", "PayloadUUID", "PayloadType"})


def placeholder(name: str) -> str:
    """How a payload names a variable."""
    return "{{ " + name + " }}"


def is_known(name: str) -> bool:
    """Whether it is a variable of a device, user or enrollment, or the name of a secret (which need not exist)."""
    return name in NAMES or _SECRET_NAME.fullmatch(name) is not None


def unknown(names: Iterable[str]) -> list[str]:
    """Those that nothing is ever filled in for, sorted."""
    return sorted(name for name in set(names) if not is_known(name))


def secret_names(names: Iterable[str]) -> list[str]:
    """The secrets among them, without "secret.", sorted."""
    return sorted(name.removeprefix(SECRET) for name in set(names) if _SECRET_NAME.fullmatch(name))


def names_in(value: PlistValue) -> frozenset[str]:
    """The names of all variables in it, known or not; keys of dictionaries and the fixed keys are not looked at."""
    if isinstance(value, str):
        return frozenset(_PATTERN.findall(value))
    if isinstance(value, bytes):
        whole = _whole(value)
        return frozenset({whole} if whole else ())
    if isinstance(value, dict):
        return frozenset().union(*(names_in(item) for key, item in value.items() if key not in _FIXED))
    if isinstance(value, list):
        return frozenset().union(*(names_in(item) for item in value))
    return frozenset()


def substitute(value: PlistValue, values: Mapping[str, str | bytes]) -> PlistValue:
    """The same value with what `values` knows filled in; other variables stay as they are.

    Raises VariableError when bytes that are no text (UTF-8) stand for a part of a text.
    """
    if isinstance(value, str):
        return _PATTERN.sub(lambda found: _text(found, values), value)
    if isinstance(value, bytes):
        whole = _whole(value)
        return value if whole is None else _data(values.get(whole, value))
    if isinstance(value, dict):
        return {key: item if key in _FIXED else substitute(item, values) for key, item in value.items()}
    return [substitute(item, values) for item in value] if isinstance(value, list) else value


def _whole(value: bytes) -> str | None:
    """The one variable that a data value consists of."""
    # Certificates and fonts are long and hold no variable.
    found = _IN_DATA.fullmatch(value) if len(value) < 200 else None
    return found.group(1).decode("ascii") if found else None


def _text(found: re.Match[str], values: Mapping[str, str | bytes]) -> str:
    value = values.get(found.group(1), found.group(0))
    if isinstance(value, str):
        return value
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise VariableError(f"{found.group(1)} holds data that is no text, and a text names it.") from None


def _data(value: str | bytes) -> bytes:
    return value.encode("utf-8") if isinstance(value, str) else value
