"""From a payload's content to the fields that show it. Every value finds a place, whatever type it has.

A value that its key's field cannot show (another type, too deep, too long a list) becomes a fragment of XML.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime

from profiles.forms.fragments import fragment_of
from profiles.forms.nodes import (
    DEEPEST,
    MOST_ITEMS,
    SMALL,
    AnyValue,
    Array,
    Data,
    Dictionary,
    Fragment,
    Node,
    Row,
    Scalar,
    Secret,
    blank,
    escape_step,
)
from profiles.forms.shapes import Shape
from profiles.forms.texts import TextError, check_characters, text_of
from protocol.plist import PlistValue

__all__ = ["node_of", "root_of", "secret_name_in", "show_data", "stored_at"]

_SECRET = re.compile(r"\{\{\s{0,20}secret\.([A-Za-z0-9_-]{1,100})\s{0,20}\}\}")
_FITS: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "real": (int, float),
    "boolean": (bool,),
    "date": (datetime,),
    "data": (bytes,),
    "array": (list,),
    "dictionary": (dict,),
}


def root_of(shape: Shape, content: Mapping[str, PlistValue], *, left_out: Collection[str] = ()) -> Dictionary:
    """The whole payload; keys named in `left_out` belong to somebody else. No content at all is a new payload."""
    own = {key: value for key, value in content.items() if key not in left_out or key in shape.children}
    if not own:
        new = blank(shape, present=True)
        assert isinstance(new, Dictionary)  # noqa: S101 (tells the type checker what a payload's shape is)
        return new
    return _dictionary(shape, own, path="", depth=0)


def node_of(shape: Shape, value: PlistValue, *, path: str, depth: int) -> Node:
    """The field that shows a value; `path` is where it stands in the stored content."""
    if shape.is_secret and isinstance(value, str | bytes):
        name = secret_name_in(value)
        return Secret(shape, choice=f"name:{name}" if name else f"at:{path}", literal=value)
    if shape.type == "any":
        return _any(shape, value)
    allowed = _FITS[shape.type]
    # A boolean is an int in Python, but not in a plist.
    fits = isinstance(value, allowed) and (bool in allowed or not isinstance(value, bool))
    if not fits or (isinstance(value, dict | list) and (depth >= DEEPEST or len(value) > MOST_ITEMS)):
        return Fragment(shape, fragment_of(value))
    if isinstance(value, dict):
        return _dictionary(shape, value, path=path, depth=depth)
    return _array(shape, value, path=path, depth=depth) if isinstance(value, list) else _single(shape, value)


def _single(shape: Shape, value: str | float | bytes | datetime) -> Node:
    if isinstance(value, bytes):
        node = Data(shape)
        show_data(node, value)
        return node
    text = text_of(value)
    whole = text if shape.type == "real" and isinstance(value, int) else ""
    return Scalar(shape, text, explicit=text == "", whole=whole)


def show_data(node: Data, value: bytes) -> None:
    """Put bytes into a field: small ones as text where they are text, else as base64."""
    node.value, node.text, node.explicit, node.encoding = None, "", value == b"", "text"
    if len(value) > SMALL:
        node.value = value
        return
    try:
        # A text area turns every line end into one kind.
        node.text = check_characters(value.decode("utf-8")) if b"\r" not in value else ""
    except (UnicodeDecodeError, TextError):
        node.text = ""
    if value and not node.text:
        node.text, node.encoding = text_of(value), "base64"


def secret_name_in(value: str | bytes) -> str:
    """The name of the stored secret that a value consists of; "" for anything else."""
    text = value if isinstance(value, str) else value[:200].decode("ascii", "replace")
    found = _SECRET.fullmatch(text)
    return found.group(1) if found else ""


def stored_at(content: Mapping[str, PlistValue], path: str) -> PlistValue | None:
    """What stands at a path ("/Relays/0/Password") of the stored content; None where nothing does."""
    value: PlistValue | None = dict(content)
    for step in path.split("/")[1:]:
        if isinstance(value, dict):
            value = value.get(step.replace("~1", "/").replace("~0", "~"))
        elif isinstance(value, list) and step.isascii() and step.isdigit() and len(step) < 6:
            value = value[int(step)] if int(step) < len(value) else None
        else:
            return None
    return value


def _any(shape: Shape, value: PlistValue) -> Node:
    for kind in ("boolean", "string", "integer", "real", "date", "data"):
        if isinstance(value, _FITS[kind]) and not (kind in {"integer", "real"} and isinstance(value, bool)):
            return AnyValue(shape, kind=kind, text=text_of(value))
    return AnyValue(shape, kind="plist", text=fragment_of(value))


def _array(shape: Shape, value: list[PlistValue], *, path: str, depth: int) -> Node:
    items: list[Node] = []
    for number, item in enumerate(value):
        kind = shape.kinds[0]
        if len(shape.kinds) > 1:
            name = item.get("Item") if isinstance(item, dict) else None
            kind = shape.kind(name if isinstance(name, str) else "")
        items.append(node_of(kind, item, path=f"{path}/{number}", depth=depth + 1))
    return Array(shape, present=True, items=items)


def _dictionary(shape: Shape, value: Mapping[str, PlistValue], *, path: str, depth: int) -> Dictionary:
    node = Dictionary(shape, present=True)
    for name, child in shape.children.items():
        if name in value:
            here = f"{path}/{escape_step(name)}"
            node.children[name] = node_of(child, value[name], path=here, depth=depth + 1)
        else:
            node.children[name] = blank(child, depth=depth + 1)
    others = {name: item for name, item in value.items() if name not in shape.children}
    if shape.free is not None:
        for name in [name for name in others if _fits_an_input(name)]:
            here = f"{path}/{escape_step(name)}"
            node.rows.append(Row(name, node_of(shape.free, others.pop(name), path=here, depth=depth + 1)))
    if others:
        node.unknown = fragment_of(others)
    return node


def _fits_an_input(name: str) -> bool:
    """Whether a text input gives a key back as it is: browsers drop line ends, and an empty key looks forgotten."""
    return bool(name) and "\n" not in name and "\r" not in name
