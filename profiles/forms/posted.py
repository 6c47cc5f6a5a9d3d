"""From what a browser posted to the fields that show it again: nothing typed is judged, refused or lost here.

A field's name is a JSON Pointer from "p" ("p/IKEv2/OnDemandRules/0/Action"), with a suffix after "~" where one key
needs several controls. Sections and lists exist only where their marker was posted, so depth is bounded by the form.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.http import QueryDict
from django.utils.datastructures import MultiValueDict

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
from profiles.forms.reading import secret_name_in, show_data, stored_at
from profiles.forms.shapes import Shape
from protocol.plist import PlistValue

__all__ = ["ROOT", "Posted"]

ROOT = "p"
SPARE_ITEMS = 100
_KINDS = frozenset({"string", "integer", "real", "boolean", "date", "data", "plist"})
_GONE = "was kept for a day and is gone: give it again."


class Posted:
    """One POST of a form, and where the values are that it names without carrying them."""

    def __init__(
        self,
        data: QueryDict,
        files: MultiValueDict[str, UploadedFile[Any]],
        *,
        content: Mapping[str, PlistValue],
        held: Callable[[str], bytes | None],
    ) -> None:
        self._data = data
        self._files = files
        self._content = content
        self._held = held
        # Every item of a list posts a field at least: a number that says more was not made by a page of ours.
        self._items_left = len(data) + SPARE_ITEMS

    def root(self, shape: Shape) -> Dictionary:
        """The whole payload."""
        return self._dictionary(shape, ROOT, depth=0)

    def _text(self, name: str) -> str:
        value = self._data.get(name, "")
        return value if isinstance(value, str) else ""

    def _count(self, name: str) -> int:
        text = self._text(name)
        wanted = int(text) if text.isascii() and text.isdigit() and len(text) < 8 else 0
        count = min(wanted, MOST_ITEMS * 4, self._items_left)
        self._items_left -= count
        return count

    def _node(self, shape: Shape, name: str, *, depth: int) -> Node:
        if f"{name}~x" in self._data:
            return Fragment(shape, self._text(f"{name}~x"))
        if shape.type == "dictionary":
            is_there = f"{name}~d" in self._data and depth < DEEPEST
            return self._dictionary(shape, name, depth=depth) if is_there else blank(shape)
        return self._array(shape, name, depth=depth) if shape.type == "array" else self._single(shape, name)

    def _single(self, shape: Shape, name: str) -> Node:
        if shape.is_secret:
            return self._secret(shape, name)
        if shape.type == "data":
            return self._file(shape, name)
        if shape.type == "any":
            kind = self._text(f"{name}~t")
            return AnyValue(shape, kind=kind if kind in _KINDS else "", text=self._text(name))
        # A picker has a field for what is not in its list.
        text = self._text(f"{name}~o") or self._text(name)
        return Scalar(shape, text, explicit=not text and f"{name}~e" in self._data, whole=self._text(f"{name}~w"))

    def _dictionary(self, shape: Shape, name: str, *, depth: int) -> Dictionary:
        node = Dictionary(shape, present=True, unknown=self._text(f"{name}~u"))
        for key, child in shape.children.items():
            node.children[key] = self._node(child, f"{name}/{escape_step(key)}", depth=depth + 1)
        if shape.free is not None:
            for number in range(self._count(f"{name}~n")):
                row = f"{name}/~r/{number}"
                node.rows.append(Row(self._text(f"{row}~k"), self._node(shape.free, row, depth=depth + 1)))
        return node

    def _array(self, shape: Shape, name: str, *, depth: int) -> Array:
        if f"{name}~n" not in self._data or depth >= DEEPEST:
            return Array(shape)
        items = []
        for number in range(self._count(f"{name}~n")):
            item = f"{name}/{number}"
            items.append(self._node(shape.kind(self._text(f"{item}~c")), item, depth=depth + 1))
        return Array(shape, present=True, items=items)

    def _file(self, shape: Shape, name: str) -> Data:
        node = Data(shape)
        upload = self._files.get(f"{name}~f")
        token, digest = self._text(f"{name}~h"), self._text(f"{name}~s")
        if upload is not None:
            show_data(node, upload.read())
            node.file_name = upload.name or ""
        elif f"{name}~z" in self._data:
            pass
        elif token or digest:
            value = self._held(token) if token else self._large.get(digest)
            if value is None:
                node.problem = _GONE
            else:
                show_data(node, value)
                node.token, node.file_name = token, self._text(f"{name}~fn")
        else:
            node.text = self._text(name)
            node.encoding = "base64" if self._text(f"{name}~t") == "base64" else "text"
            node.explicit = not node.text and f"{name}~e" in self._data
        return node

    def _secret(self, shape: Shape, name: str) -> Secret:
        typed, choice = self._text(name), self._text(f"{name}~s")
        node = Secret(shape)
        upload = self._files.get(f"{name}~f")
        if upload is not None:
            node.typed = upload.read()
        elif typed:
            node.typed = typed.encode("utf-8", "surrogatepass")
        elif choice.startswith("held:"):
            node.choice, node.typed = choice, self._held(choice.removeprefix("held:"))
            node.problem = _GONE if node.typed is None else ""
        elif choice.startswith("at:"):
            literal = stored_at(self._content, choice.removeprefix("at:"))
            node.choice, node.literal = choice, literal if isinstance(literal, str | bytes) else None
            node.problem = "" if node.literal is not None else "was changed meanwhile: give it again."
        elif choice:
            node.choice = choice
            known = secret_name_in("{{ secret." + choice.removeprefix("name:") + " }}")
            node.problem = "" if choice.startswith("name:") and known else "must name a stored secret."
        return node

    @cached_property
    def _large(self) -> Mapping[str, bytes]:
        """The large data of the stored content by digest: it stays the same wherever its place moved."""
        return {hashlib.sha256(value).hexdigest(): value for value in _data_in(self._content) if len(value) > SMALL}


def _data_in(root: Mapping[str, PlistValue]) -> Iterator[bytes]:
    todo: list[PlistValue] = [*root.values()]
    while todo:
        value = todo.pop()
        if isinstance(value, bytes):
            yield value
        elif isinstance(value, dict | list):
            todo.extend(value.values() if isinstance(value, dict) else value)
