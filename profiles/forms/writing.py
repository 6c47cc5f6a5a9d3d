"""From the fields of a form to a plist, with everything that is wrong on the way.

Whether a text says a value of its type is found here; everything else (required, ranges, patterns, listed values) is
judged by `protocol.schema` over the whole result, so that form and publish never disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias, cast

from profiles.forms.fragments import read_fragment
from profiles.forms.nodes import AnyValue, Array, Data, Dictionary, Fragment, Node, Scalar, Secret
from profiles.forms.shapes import Shape
from profiles.forms.texts import TextError, check_characters, value_of
from protocol.plist import PlistValue
from protocol.schema import KeyFacts, Problem, check_keys, has_variable

__all__ = ["OTHER_KEYS", "Path", "Written", "hidden_paths", "write"]

Path: TypeAlias = tuple[str | int, ...]

# How a sentence about the fragment with the keys that have no field begins.
OTHER_KEYS = "(other keys)"


class _Absent(Enum):
    UNSET = 0


@dataclass(slots=True)
class Written:
    """A payload's content, the secrets typed into it by name, and what is wrong. Values are kept out of the repr."""

    content: dict[str, PlistValue] = field(repr=False)
    secrets: dict[str, bytes] = field(repr=False)
    problems: list[Problem]


# None stands where a field has no readable value, so that what follows it in a list keeps its place.
_Value: TypeAlias = "PlistValue | _Absent | None"


def write(root: Dictionary, *, secret_name: Callable[[str], str], reserved: Collection[str] = ()) -> Written:
    """The content of a form. `secret_name` gives a new name for a schema path; `reserved` keys are the portal's own."""
    writer = _Writer(secret_name)
    found = cast("dict[str, PlistValue]", writer.dictionary(root, (), reserved=reserved))
    hidden = hidden_paths(root, found)
    judged = [
        problem
        for problem in check_keys(_keys(root.shape), found)
        if not any(problem.path[:length] in writer.unreadable for length in range(1, len(problem.path) + 1))
        and not (problem.path in hidden and _at(found, problem.path) is _Absent.UNSET)
    ]
    return Written(_readable(found), writer.secrets, [*writer.problems, *judged])


def hidden_paths(root: Dictionary, content: Mapping[str, PlistValue]) -> frozenset[Path]:
    """The value paths of the keys that do not apply, as the overlay's conditions say."""
    return frozenset(_hidden(root, content, root=content, path=()))


class _Writer:
    def __init__(self, secret_name: Callable[[str], str]) -> None:
        self.problems: list[Problem] = []
        self.unreadable: set[Path] = set()
        self.secrets: dict[str, bytes] = {}
        self._secret_name = secret_name

    def value(self, node: Node, path: Path) -> _Value:
        try:
            return self._value(node, path)
        except TextError as error:
            self.problems.append(Problem(path, str(error)))
            self.unreadable.add(path)
            return None

    def _value(self, node: Node, path: Path) -> _Value:
        if isinstance(node, Array | Dictionary):
            if not node.present:
                return _Absent.UNSET
            return self._array(node, path) if isinstance(node, Array) else self.dictionary(node, path)
        if isinstance(node, Secret):
            return self._secret(node)
        if isinstance(node, Fragment):
            return read_fragment(node.text) if node.text.strip() else _Absent.UNSET
        return _single(node)

    def _array(self, node: Array, path: Path) -> _Value:
        found: list[_Value] = []
        for number, item in enumerate(node.items):
            value = self.value(item, (*path, number))
            if value is _Absent.UNSET:
                self.problems.append(Problem((*path, number), "is empty: fill it in or remove it."))
                self.unreadable.add((*path, number))
                value = None
            found.append(value)
        return cast("PlistValue", found)

    def dictionary(self, node: Dictionary, path: Path, *, reserved: Collection[str] = ()) -> _Value:
        found: dict[str, _Value] = {}
        for name, child in node.children.items():
            value = self.value(child, (*path, name))
            if value is not _Absent.UNSET:
                found[name] = value
        for number, row in enumerate(node.rows):
            self._row(row.key, row.value, found=found, node=node, path=path, number=number, reserved=reserved)
        self._unknown(node, found, path=path, reserved=reserved)
        return cast("PlistValue", found)

    def _row(
        self,
        key: str,
        value: Node,
        *,
        found: dict[str, _Value],
        node: Dictionary,
        path: Path,
        number: int,
        reserved: Collection[str],
    ) -> None:
        read = self.value(value, (*path, key))
        sentence = ""
        if not key:
            if read is _Absent.UNSET or read == "":
                # A row that nobody has touched.
                return
            sentence = f"needs a name for entry {number + 1}."
        elif read is _Absent.UNSET:
            sentence = "is empty: fill it in or remove it."
        elif key in found:
            sentence = "is there twice: give one of them another name."
        else:
            sentence = _reserved(key, node.shape, reserved)
        try:
            check_characters(key)
        except TextError as error:
            sentence, key = str(error), ""
        if sentence:
            self.problems.append(Problem((*path, key) if key else path, sentence))
        else:
            found[key] = read

    def _unknown(self, node: Dictionary, found: dict[str, _Value], *, path: Path, reserved: Collection[str]) -> None:
        if not node.unknown.strip():
            return
        try:
            others = read_fragment(node.unknown)
        except TextError as error:
            self.problems.append(Problem(path, f"{OTHER_KEYS} {error}"))
            return
        if not isinstance(others, dict):
            self.problems.append(Problem(path, f"{OTHER_KEYS} must be a <dict>."))
            return
        for key, value in others.items():
            sentence = _reserved(key, node.shape, reserved)
            if key in found and not sentence:
                sentence = f"has “{key}”, which is also in the list above: remove one of them."
            if sentence:
                self.problems.append(Problem(path, f"{OTHER_KEYS} {sentence}"))
            else:
                found[key] = value

    def _secret(self, node: Secret) -> _Value:
        if node.problem:
            raise TextError(node.problem)
        if node.typed is not None:
            return self._typed(node.shape, node.typed)
        if node.choice.startswith("name:"):
            return _placeholder(node.shape, node.choice.removeprefix("name:"))
        return _Absent.UNSET if node.literal is None else node.literal

    def _typed(self, shape: Shape, typed: bytes) -> PlistValue:
        try:
            text = typed.decode("utf-8")
        except UnicodeDecodeError:
            if shape.type == "string":
                raise TextError("must be text in UTF-8.") from None
        else:
            # "{{ user.name }}" is no secret: it says where each device's own comes from.
            if text.startswith("{{") and text.endswith("}}") and has_variable(text):
                return text if shape.type == "string" else typed
            if shape.type == "string":
                check_characters(text)
        name = self._secret_name(shape.schema_path)
        self.secrets[name] = typed
        return _placeholder(shape, name)


def _placeholder(shape: Shape, name: str) -> PlistValue:
    text = "{{ secret." + name + " }}"
    return text.encode("ascii") if shape.type == "data" else text


def _single(node: Scalar | Data | AnyValue) -> _Value:
    if isinstance(node, Scalar):
        return _scalar(node)
    return _data(node) if isinstance(node, Data) else _any(node)


def _scalar(node: Scalar) -> _Value:
    if not node.text:
        return "" if node.explicit and node.shape.type == "string" else _Absent.UNSET
    if node.whole and node.text == node.whole:
        return value_of("integer", node.text)
    return value_of(node.shape.type, node.text)


def _data(node: Data) -> _Value:
    if node.problem:
        raise TextError(node.problem)
    if node.value is not None:
        return node.value
    if not node.text:
        return b"" if node.explicit else _Absent.UNSET
    if node.encoding == "base64":
        return value_of("data", node.text)
    text = value_of("string", node.text)
    return text.encode("utf-8") if isinstance(text, str) else None


def _any(node: AnyValue) -> _Value:
    if node.kind == "plist":
        return read_fragment(node.text)
    if not node.kind:
        return value_of("string", node.text) if node.text else _Absent.UNSET
    return value_of(node.kind, node.text)


def _reserved(key: str, shape: Shape, reserved: Collection[str]) -> str:
    if key in shape.children:
        return f"has “{key}”, which has a field of its own: fill that in and remove it here."
    return f"has “{key}”, which the portal writes itself: remove it here." if key in reserved else ""


def _keys(shape: Shape) -> list[KeyFacts]:
    named = [child.facts for child in shape.children.values()]
    return [*named, shape.free.facts] if shape.free is not None else named


def _hidden(node: Node, value: object, *, root: Mapping[str, PlistValue], path: Path) -> Iterator[Path]:
    if isinstance(node, Array) and isinstance(value, list):
        for number, (item, inside) in enumerate(zip(node.items, value, strict=False)):
            yield from _hidden(item, inside, root=root, path=(*path, number))
    elif isinstance(node, Dictionary) and isinstance(value, Mapping):
        siblings = cast("Mapping[str, PlistValue]", value)
        for name, child in node.children.items():
            condition = child.shape.condition
            if condition is not None and not condition.holds(siblings, root):
                yield (*path, name)
            elif name in siblings:
                yield from _hidden(child, siblings[name], root=root, path=(*path, name))


def _at(content: Mapping[str, PlistValue], path: Path) -> object:
    value: object = content
    for step in path:
        if isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            value = value.get(step, _Absent.UNSET) if isinstance(value, dict) else _Absent.UNSET
    return value


def _readable(value: Mapping[str, PlistValue]) -> dict[str, PlistValue]:
    """The content without the places where nothing could be read."""
    return {key: _kept(item) for key, item in value.items() if item is not None}


def _kept(value: PlistValue) -> PlistValue:
    if isinstance(value, dict):
        return _readable(value)
    return [_kept(item) for item in value if item is not None] if isinstance(value, list) else value
