"""The tree of fields as HTML: sections, lists, rows, labels, help, marks and errors around the controls.

Nested keys are fieldsets, so that a screen reader says where one is; every button is a submit button with an
operation of `operations` as its value. No inline script or style; forms.css and forms.js are the payload page's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from html import escape

from profiles.forms import controls
from profiles.forms.badges import badges
from profiles.forms.controls import Around, Control
from profiles.forms.nodes import (
    AnyValue,
    Array,
    Data,
    Dictionary,
    Fragment,
    Node,
    Scalar,
    Secret,
    escape_step,
    id_of,
    is_set,
)
from profiles.forms.posted import ROOT
from profiles.forms.shapes import Shape
from profiles.forms.writing import OTHER_KEYS, Path
from protocol.schema import PLATFORMS, Problem

__all__ = ["Renderer", "grouped", "search"]

_OTHERS = "Keys that Apple's schema does not describe"


class Renderer:
    """Renders one form once."""

    def __init__(self, problems: Sequence[Problem], *, hidden: frozenset[Path], around: Around) -> None:
        self._errors: dict[Path, list[str]] = {}
        for problem in problems:
            self._errors.setdefault(problem.path, []).append(problem.sentence)
        self._hidden = hidden
        self._around = around

    def root(self, node: Dictionary, *, groups: Sequence[tuple[str, Sequence[str]]], shown: frozenset[str]) -> str:
        """The whole payload. `groups` are titles and keys, "" for no heading; keys not in `shown` are hidden."""
        own = [found for found in self._errors.get((), []) if not found.startswith(OTHER_KEYS)]
        parts = [f'<p class="f-error">{escape(sentence)}</p>' for sentence in own]
        for title, names in groups:
            rows = [self._key(node.children[name], (name,), shown=name in shown) for name in names]
            inside = "".join(rows)
            if not title:
                parts.append(inside)
            elif inside:
                opened = " open" if any(self._is_open(node.children[name], (name,)) for name in names) else ""
                some = sum(1 for name in names if is_set(node.children[name]))
                # What a condition hides is no key that somebody could fill in here.
                total = sum(1 for row in rows if row)
                count = f'<span class="f-count">{f"{some} of " if some else ""}{total}</span>'
                gone = "" if any(name in shown for name in names) else " hidden"
                parts.append(
                    f'<details class="f-group"{opened}{gone}><summary><span class="f-title">{escape(title)}</span> {count}'
                    f"</summary>{inside}</details>"
                )
        parts.append(self._free(node, ROOT, ()))
        return "".join(parts)

    # --- keys of a dictionary ----------------------------------------------------------------------------------

    def _key(self, node: Node, path: Path, *, name: str = "", shown: bool = True) -> str:
        """One key: a line with its label and control, or a section of its own."""
        name = name or f"{ROOT}/{escape_step(str(path[-1]))}"
        note = ""
        if path in self._hidden:
            if not is_set(node):
                return ""
            note = f'<p class="f-note">{escape(node.shape.condition_note)} It stays until you remove it.</p>'
        top = f' data-words="{escape(node.shape.haystack)}"{_systems(node.shape)}' if len(path) == 1 else ""
        marks = f"{top}{' data-set' if is_set(node) or self._has_errors(path) else ''}{'' if shown else ' hidden'}"
        if isinstance(node, Dictionary | Array):
            return self._section(node, name, path, marks=marks, note=note)
        ident = id_of(name)
        control, after = self._labelled(node, name, path, label=node.shape.label)
        return (
            f'<div class="f-key"{marks}><div class="f-name">{_label(node.shape, ident)}</div>'
            f'<div class="f-value">{control}{after}{note}{self._drop(node, name)}</div></div>'
        )

    def _section(self, node: Dictionary | Array, name: str, path: Path, *, marks: str, note: str) -> str:
        shape, ident = node.shape, escape(id_of(name))
        if not node.present:
            verb = "Add" if isinstance(node, Array) else "Configure"
            errors = self._errors_of(path, ident)
            return (
                f'<div class="f-key" id="{ident}"{marks}><div class="f-name">{_label(shape, "")}</div>'
                f'<div class="f-value">{_button("configure", name, verb, shape.label)}{_help(shape, ident)}{errors}</div></div>'
            )
        inside = self._items(node, name, path) if isinstance(node, Array) else self._inside(node, name, path)
        errors = self._errors_of(path, ident, other_keys=False)
        return (
            f'<fieldset class="f-section" id="{ident}"{marks}><legend>{_label(shape, "")}</legend>'
            f"{_help(shape, ident)}{note}{errors}{inside}"
            f'<div class="f-foot">{_button("remove", name, "Remove", shape.label, quiet=True)}</div></fieldset>'
        )

    def _inside(self, node: Dictionary, name: str, path: Path) -> str:
        parts = [f'<input type="hidden" name="{escape(name)}~d" value="1">']
        for key, child in node.children.items():
            parts.append(self._key(child, (*path, key), name=f"{name}/{escape_step(key)}"))
        parts.append(self._free(node, name, path))
        return "".join(parts)

    def _free(self, node: Dictionary, name: str, path: Path) -> str:
        """Rows for keys of any name, and a fragment for those that have no field."""
        parts = []
        if node.shape.free is not None:
            parts.append(f'<input type="hidden" name="{escape(name)}~n" value="{len(node.rows)}">')
            for number, row in enumerate(node.rows):
                parts.append(self._row(row.key, row.value, f"{name}/~r/{number}", path, number=number))
            parts.append(f'<div class="f-foot">{_button("add", name, "Add an entry", node.shape.label)}</div>')
        # Inside a dictionary of free keys everything has a row, so a fragment is there only for odd keys.
        if node.shape.free is None or node.unknown:
            parts.append(self._unknown(node, name, path))
        return "".join(parts)

    def _unknown(self, node: Dictionary, name: str, path: Path) -> str:
        ident = escape(id_of(name))
        errors = [
            found.removeprefix(OTHER_KEYS) for found in self._errors.get(path, []) if found.startswith(OTHER_KEYS)
        ]
        count = node.unknown.count("\n\t<key>")
        if not node.unknown and not errors:
            if path:
                # A field for keys nobody has is offered once, for the whole payload.
                return ""
            title, opened = _OTHERS, ""
        else:
            named = f"{count} key{'' if count == 1 else 's'}" if count else "Keys"
            title, opened = f"{named} {_OTHERS.removeprefix('Keys ')}", " open"
        said = "".join(f'<p class="f-error" id="{ident}~u~error">{escape(text.strip())}</p>' for text in errors)
        aria = f' aria-describedby="{ident}~u~error" aria-invalid="true"' if errors else ""
        where = f" ({escape(node.shape.label)})" if path else ""
        return (
            f'<details class="f-unknown"{opened}><summary>{title}</summary>'
            f'<p class="f-help">Kept and delivered as they are. Written as a property list: &lt;dict&gt; … &lt;/dict&gt;.</p>'
            f'<textarea id="{ident}~u" name="{escape(name)}~u" rows="{4 if not node.unknown else 10}" spellcheck="false"'
            f' aria-label="{_OTHERS}{where}"{aria}>\n{escape(node.unknown)}</textarea>{said}</details>'
        )

    def _row(self, key: str, node: Node, name: str, path: Path, *, number: int) -> str:
        ident, here = escape(id_of(name)), (*path, key)
        remove = _button("remove", name, "Remove", f"entry {number + 1}", quiet=True)
        # A row without a name has its problems at the dictionary.
        key_input = (
            f'<label class="f-quiet" for="{ident}~k">Key</label><input type="text" id="{ident}~k" name="{escape(name)}~k"'
            f' value="{escape(key)}" autocomplete="off" spellcheck="false">'
        )
        return (
            f'<fieldset class="f-item"><legend>Entry {number + 1}</legend><div class="f-pair">{key_input}</div>'
            f'{self._bare(node, name, here, label="Value")}<div class="f-foot">{remove}</div></fieldset>'
        )

    # --- items of a list ---------------------------------------------------------------------------------------

    def _items(self, node: Array, name: str, path: Path) -> str:
        parts = [f'<input type="hidden" name="{escape(name)}~n" value="{len(node.items)}">']
        for number, item in enumerate(node.items):
            parts.append(
                self._item(item, f"{name}/{number}", (*path, number), last=number == len(node.items) - 1, of=node)
            )
        kinds = node.shape.kinds
        for kind in kinds:
            several = len(kinds) > 1
            suffix = f"~c{escape_step(kind.name)}" if several else ""
            words = f"Add {kind.label}" if several else "Add another" if node.items else "Add one"
            parts.append(_button("add", name + suffix, words, node.shape.label))
        return "".join(parts)

    def _item(self, node: Node, name: str, path: Path, *, last: bool, of: Array) -> str:
        number = int(path[-1]) + 1
        words = f"{of.shape.label} {number}"
        up = "" if number == 1 else _button("up", name, "↑", f"Move {words} up", instead=True)
        down = "" if last else _button("down", name, "↓", f"Move {words} down", instead=True)
        remove = _button("remove", name, "Remove", words, quiet=True)
        kind = ""
        if len(of.shape.kinds) > 1:
            kind = f'<input type="hidden" name="{escape(name)}~c" value="{escape(node.shape.name)}">'
        buttons = f'<div class="f-foot">{up}{down}{remove}</div>'
        if isinstance(node, Dictionary | Array):
            return (
                f'<fieldset class="f-item" id="{escape(id_of(name))}"><legend>{escape(words)}</legend>{kind}'
                f"{self._bare(node, name, path, label=words)}{buttons}</fieldset>"
            )
        return f'<div class="f-item f-flat">{kind}{self._bare(node, name, path, label=words)}{buttons}</div>'

    def _bare(self, node: Node, name: str, path: Path, *, label: str) -> str:
        """A value without a key of its own: an item or the value of a row."""
        ident = escape(id_of(name))
        if isinstance(node, Dictionary):
            errors = self._errors_of(path, ident, other_keys=False)
            return errors + (self._inside(node, name, path) if node.present else "")
        if isinstance(node, Array):
            return self._errors_of(path, ident) + self._items(node, name, path)
        control, after = self._labelled(node, name, path, label=label, in_list=True)
        return f'<div class="f-pair"><label class="f-quiet" for="{ident}">{escape(label)}</label>{control}{after}</div>'

    # --- single values -----------------------------------------------------------------------------------------

    def _labelled(self, node: Node, name: str, path: Path, *, label: str, in_list: bool = False) -> tuple[str, str]:
        """The control of a value, and its help and errors."""
        ident = id_of(name)
        errors = self._errors_of(path, escape(ident))
        text = "" if in_list else _help(node.shape, escape(ident))
        described = [f"{ident}~help"] * bool(text) + [f"{ident}~error"] * bool(errors)
        attributes = f' aria-describedby="{escape(" ".join(described))}"' if described else ""
        if errors:
            attributes += ' aria-invalid="true"'
        if node.shape.facts.required and not in_list:
            attributes += ' aria-required="true"'
        control = Control(name, ident, attributes, label, in_list)
        return _control(node, control, self._around), errors + text

    def _drop(self, node: Node, name: str) -> str:
        return _button("remove", name, "Remove", node.shape.label, quiet=True) if isinstance(node, Fragment) else ""

    def _errors_of(self, path: Path, ident: str, *, other_keys: bool = True) -> str:
        found = [text for text in self._errors.get(path, []) if other_keys or not text.startswith(OTHER_KEYS)]
        if not found:
            return ""
        return f'<p class="f-error" id="{ident}~error">{escape(" ".join(_sentence(text) for text in found))}</p>'

    def _has_errors(self, path: Path) -> bool:
        return any(known[: len(path)] == path for known in self._errors)

    def _is_open(self, node: Node, path: Path) -> bool:
        return is_set(node) or node.shape.facts.required or self._has_errors(path)


def _control(node: Node, control: Control, around: Around) -> str:
    match node:
        case Scalar():
            return controls.scalar(node, control, around)
        case Data():
            return controls.data(node, control)
        case Secret():
            return controls.secret(node, control, around)
        case AnyValue():
            return controls.any_value(node, control)
        case Fragment():
            return controls.fragment(node, control)
        case Dictionary() | Array():
            raise AssertionError("a section is no control")


@lru_cache(maxsize=20_000)
def _label(shape: Shape, ident: str) -> str:
    """The key's name for people and for Apple, and its marks; a label where there is a control to point at."""
    words = escape(shape.label)
    named = f'<label for="{escape(ident)}">{words}</label>' if ident else f'<span class="f-label">{words}</span>'
    required = ' <span class="f-required">required</span>' if shape.facts.required else ""
    return f"{named}{required} <code>{escape(shape.name)}</code>{_marks(shape)}"


def _marks(shape: Shape) -> str:
    """Systems in one quiet line; what a device must be stands out."""
    found = badges(shape.facts)
    if not found:
        return ""
    systems = ", ".join(escape(mark) for mark in found if mark.partition(" ")[0] in PLATFORMS)
    demands = "".join(
        f' <span class="portal-tag">{escape(mark)}</span>' for mark in found if mark.partition(" ")[0] not in PLATFORMS
    )
    return f'<span class="f-marks">{systems}{demands}</span>'


def _help(shape: Shape, ident: str) -> str:
    text = shape.help
    if not text:
        return ""
    if len(text) <= 300:
        return f'<p class="f-help" id="{ident}~help">{escape(text)}</p>'
    return f'<details class="f-help"><summary>{escape(text[:200])}…</summary><p id="{ident}~help">{escape(text)}</p></details>'


def _systems(shape: Shape) -> str:
    """Which platforms have the key, where it is not all of those the payload is for."""
    return f' data-os="{" ".join(shape.facts.platforms)}"' if shape.facts.differences else ""


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _button(verb: str, name: str, words: str, about: str, *, quiet: bool = False, instead: bool = False) -> str:
    label = f'{escape(words)}<span class="visually-hidden"> {escape(about)}</span>'
    if instead:
        label = f'<span aria-hidden="true">{escape(words)}</span><span class="visually-hidden">{escape(about)}</span>'
    kind = " f-plain" if quiet else ""
    return f'<button class="f-button{kind}" name="_op" value="{verb}:{escape(name)}">{label}</button>'


def search(shapes: Mapping[str, Shape], *, text: str, platform: str) -> frozenset[str]:
    """The keys that a search and a platform leave."""
    words = text.lower().split()
    return frozenset(
        name
        for name, shape in shapes.items()
        if all(word in shape.haystack for word in words) and (not platform or platform in shape.facts.platforms)
    )


def grouped(names: Iterable[str], groups: Sequence[tuple[str, Sequence[str]]]) -> list[tuple[str, Sequence[str]]]:
    """Every key in one group: those of the overlay that exist, and what is left under a heading of its own."""
    left = list(names)
    found: list[tuple[str, Sequence[str]]] = []
    for title, keys in groups:
        here = [key for key in keys if key in left]
        left = [key for key in left if key not in here]
        if here:
            found.append((title, here))
    if left:
        found.append(("Other keys" if found else "", left))
    return found
