"""The state of a form as a tree: what each field shows, whether it makes sense or not.

Made from a payload's content (`reading`) or from what was posted (`posted`), changed by `operations`, turned into a
plist by `writing` and into HTML by `rendering`. Nodes do not know where they stand, so they can be moved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from profiles.forms.shapes import Shape

__all__ = [
    "DEEPEST",
    "MOST_ITEMS",
    "SMALL",
    "AnyValue",
    "Array",
    "Data",
    "Dictionary",
    "Fragment",
    "Node",
    "Row",
    "Scalar",
    "Secret",
    "blank",
    "count_set",
    "escape_step",
    "id_of",
    "is_set",
    "unescape_step",
]

# Containers below this depth and lists longer than this are edited as a property list: no schema needs them.
DEEPEST = 24
MOST_ITEMS = 500
# Data up to this many bytes travels with the form; larger data stays here and is named by its digest.
SMALL = 4096


@dataclass(slots=True)
class Scalar:
    """A string, integer, real, boolean or date as text. `explicit`: the empty text is a value.

    `whole` is the text of an integer that stands where Apple has a real: it stays one while nobody changes it.
    """

    shape: Shape
    text: str = ""
    explicit: bool = False
    whole: str = ""


@dataclass(slots=True)
class Data:
    """Bytes: small ones as text ("text" is UTF-8, else "base64"), larger ones and files as they are."""

    shape: Shape
    text: str = field(default="", repr=False)
    encoding: str = "text"
    explicit: bool = False
    value: bytes | None = field(default=None, repr=False)
    token: str = ""
    file_name: str = ""
    # What kept it from being read: the file is gone.
    problem: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 in hex, of a large value."""
        return hashlib.sha256(self.value or b"").hexdigest()


@dataclass(slots=True)
class Secret:
    """A value that is never shown again. `choice` says what counts unless something was typed or uploaded.

    "" not set, "name:NAME" a stored secret, "at:/path" what stands at that path of the stored content,
    "held:TOKEN" what was typed before the form came back.
    """

    shape: Shape
    choice: str = ""
    typed: bytes | None = field(default=None, repr=False)
    literal: str | bytes | None = field(default=None, repr=False)
    problem: str = ""


@dataclass(slots=True)
class AnyValue:
    """A value of any type: `kind` is a scalar's type, "plist" for a fragment, "" for not set."""

    shape: Shape
    kind: str = ""
    text: str = ""


@dataclass(slots=True)
class Fragment:
    """A value that its key's field cannot show, since it has another type or is too deep: as XML."""

    shape: Shape
    text: str = ""


@dataclass(slots=True)
class Row:
    """One entry of a dictionary with keys of any name."""

    key: str
    value: Node


@dataclass(slots=True)
class Dictionary:
    """A dictionary; absent until somebody configures it. `unknown` is a fragment with keys that have no field."""

    shape: Shape
    present: bool = False
    children: dict[str, Node] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    unknown: str = ""


@dataclass(slots=True)
class Array:
    """A list; absent until somebody adds an item."""

    shape: Shape
    present: bool = False
    items: list[Node] = field(default_factory=list)


Node: TypeAlias = Scalar | Data | Secret | AnyValue | Fragment | Dictionary | Array


def blank(shape: Shape, *, present: bool = False, depth: int = 0) -> Node:
    """An empty field. What a present section requires is present as well; a required list has one empty item."""
    if shape.is_secret:
        return Secret(shape)
    if shape.type == "dictionary":
        node = Dictionary(shape, present=present)
        if present:
            node.children = {
                name: blank(child, present=_opens(child, depth), depth=depth + 1)
                for name, child in shape.children.items()
            }
            if shape.free is not None and not shape.children:
                node.rows = [Row("", blank(shape.free, present=True, depth=depth + 1))]
        return node
    if shape.type == "array":
        one = present and depth < DEEPEST
        return Array(shape, present, [blank(shape.kinds[0], present=True, depth=depth + 1)] if one else [])
    if shape.type == "data":
        return Data(shape)
    return AnyValue(shape) if shape.type == "any" else Scalar(shape)


def is_set(node: Node) -> bool:
    """Whether it holds anything, sensible or not."""
    match node:
        case Scalar():
            return bool(node.text) or node.explicit
        case Data():
            return bool(node.text or node.value is not None or node.problem) or node.explicit
        case Secret():
            return bool(node.choice or node.problem) or node.typed is not None
        case AnyValue():
            return bool(node.kind or node.text)
        case Fragment():
            return bool(node.text.strip())
        case Dictionary() | Array():
            return node.present


def count_set(node: Node) -> tuple[int, int]:
    """How many keys below a node have a value, and how many there are to fill in."""
    if not isinstance(node, Dictionary | Array):
        return int(is_set(node)), 1
    if not node.present:
        return 0, 1
    counts = [count_set(child) for child in _inside(node)]
    return sum(count for count, _ in counts), sum(most for _, most in counts)


def escape_step(step: str) -> str:
    """A key as a part of a field's name, as in a JSON Pointer (RFC 6901)."""
    return step.replace("~", "~0").replace("/", "~1")


def id_of(name: str) -> str:
    """The id of a field's control: ids have no spaces, and lists of ids are divided by them."""
    return name.replace(" ", "~_")


def unescape_step(step: str) -> str:
    """The key again."""
    return step.replace("~1", "/").replace("~0", "~")


def _inside(node: Dictionary | Array) -> Iterator[Node]:
    if isinstance(node, Array):
        yield from node.items
    else:
        yield from node.children.values()
        yield from (row.value for row in node.rows)


def _opens(shape: Shape, depth: int) -> bool:
    # What a condition hides is not required; nothing of a blank section fulfils one that does not hold unset.
    if not shape.facts.required or depth >= DEEPEST:
        return False
    return shape.condition is None or shape.condition.holds({}, {})
