"""The controls of single values as HTML: inputs, selects, text areas, files, secrets, pickers.

Strings are put together here rather than by templates: Restrictions has 190 keys and must open at once. Whatever
comes from content or schema goes through `escape`. Every control has an id, a label and its help and error named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape

from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.formats import date_format

from profiles.forms.nodes import AnyValue, Data, Fragment, Scalar, Secret
from profiles.forms.reading import secret_name_in
from profiles.forms.shapes import Shape
from protocol.schema import has_variable

__all__ = [
    "Around",
    "Control",
    "Reference",
    "StoredSecret",
    "any_value",
    "data",
    "fragment",
    "options",
    "scalar",
    "secret",
]

# Longer texts, and those with line ends, get a text area.
_LONG = 100
_KINDS = {
    "": "not set",
    "string": "text",
    "integer": "whole number",
    "real": "number",
    "boolean": "true or false",
    "date": "date (UTC)",
    "data": "data (base64)",
    "plist": "list or dictionary (XML)",
}


@dataclass(frozen=True, slots=True)
class Reference:
    """Another payload of the bundle, which a key may name by its UUID (or by another of its keys, in `others`)."""

    payload_type: str
    uuid: str
    name: str
    others: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """What may be shown of a stored secret."""

    name: str
    length: int
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Around:
    """What controls need to know of the world: other payloads, and stored secrets."""

    references: Sequence[Reference]
    secrets: Mapping[str, StoredSecret]


@dataclass(frozen=True, slots=True)
class Control:
    """Where a control stands: the field's name, its id, and the attributes that name its help and error."""

    name: str
    id: str
    # ' aria-describedby="..." aria-invalid="true"', escaped already.
    attributes: str = ""
    label: str = ""
    # In a list a missing value is no choice: the item is removed instead.
    in_list: bool = False

    @property
    def head(self) -> str:
        return f'id="{escape(self.id)}" name="{escape(self.name)}"{self.attributes}'

    def other(self, suffix: str, label: str) -> str:
        """The head of a further control of the same key, which has no label element of its own."""
        return f'id="{escape(self.id)}{suffix}" name="{escape(self.name)}{suffix}" aria-label="{escape(self.label)}: {label}"'


def scalar(node: Scalar, control: Control, around: Around) -> str:
    """A string, integer, real, boolean or date."""
    shape = node.shape
    whole = _hidden(f"{control.name}~w", node.whole) if node.whole else ""
    if shape.type == "boolean":
        return _select(control, _switch(shape), node.text, watched=shape.is_watched)
    if shape.choices:
        chosen = node.text
        return (
            _select(control, {"": _unset(shape), **shape.choices}, chosen, watched=shape.is_watched)
            + whole
            + _explicit(node, control)
        )
    if shape.said.reference and shape.type == "string":
        picker = _picker(node, control, around)
        if picker:
            return picker
    return _input(node, control) + whole + _explicit(node, control)


def data(node: Data, control: Control) -> str:
    """Bytes: what is there, a file to replace it, and small ones as text."""
    upload = f'<input type="file" {control.other("~f", "file")}>'
    if node.value is None:
        encodings = options({"text": "text", "base64": "base64"}, node.encoding)
        return (
            f'<textarea {control.head} rows="{_rows(node.text)}" spellcheck="false">\n{escape(node.text)}</textarea>'
            f'<span class="f-row"><select {control.other("~t", "read as")}>{encodings}</select>{upload}</span>'
            f"{_explicit(node, control)}{_lost(node)}"
        )
    kept = _hidden(f"{control.name}~s", node.digest)
    note = ""
    if node.file_name or node.token:
        kept = _hidden(f"{control.name}~h", node.token) + _hidden(f"{control.name}~fn", node.file_name)
        note = f"{escape(node.file_name)}, not saved yet: "
    size = f'<p class="f-file">{note}{filesizeformat(len(node.value))}, SHA-256 <code>{node.digest}</code></p>'
    # The label of the key belongs to the file input here: there is nothing else to fill in.
    replace = f'<input type="file" id="{escape(control.id)}" name="{escape(control.name)}~f"{control.attributes}>'
    remove = (
        f'<label class="f-check"><input type="checkbox" name="{escape(control.name)}~z" value="1"> Remove it</label>'
    )
    return f'{size}{kept}<span class="f-row">{replace}{remove}</span>'


def secret(node: Secret, control: Control, around: Around) -> str:
    """A secret: which one counts, and an input for a new one that never shows what it holds."""
    choices = {"": "not set"}
    choice = node.choice
    if node.typed is not None:
        choices[choice] = f"{_length(node.typed)}, not saved yet"
    elif node.literal is not None and choice.startswith("at:"):
        choices[choice] = _literal(node.literal)
    named = choice.removeprefix("name:") if choice.startswith("name:") else ""
    if named and named not in around.secrets:
        choices[choice] = f"{named}: nothing is stored under this name"
    choices |= {f"name:{name}": _stored(found) for name, found in around.secrets.items()}
    file = f'<input type="file" {control.other("~f", "file")}>' if node.shape.type == "data" else ""
    return (
        f'<span class="f-row"><select {control.other("~s", "which secret")}>{options(choices, choice)}</select>'
        f'<input type="password" {control.head} autocomplete="new-password" spellcheck="false"'
        f' placeholder="type a new one">{file}</span>{_lost(node)}'
    )


def any_value(node: AnyValue, control: Control) -> str:
    """A value whose type is chosen with it."""
    kinds = {key: word for key, word in _KINDS.items() if key or not control.in_list}
    kind = node.kind or ("string" if control.in_list else "")
    return (
        f'<span class="f-row"><select {control.other("~t", "type")}>{options(kinds, kind)}</select>'
        f'<textarea {control.head} rows="{_rows(node.text)}" spellcheck="false">\n{escape(node.text)}</textarea></span>'
    )


def fragment(node: Fragment, control: Control) -> str:
    """A value as XML, where its key's own field cannot show it."""
    name = f"{escape(control.name)}~x"
    return (
        f'<textarea id="{escape(control.id)}" name="{name}"{control.attributes} rows="{_rows(node.text)}"'
        f' spellcheck="false">\n{escape(node.text)}</textarea>'
    )


def options(choices: Mapping[str, str], chosen: str) -> str:
    """The options of a select."""
    return "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>{escape(title)}</option>'
        for value, title in choices.items()
    )


def _select(control: Control, choices: Mapping[str, str], chosen: str, *, watched: bool) -> str:
    if chosen not in choices:
        # Kept and shown: what is wrong with it is said beside it.
        title = chosen if has_variable(chosen) else f"{chosen} (not in Apple's list)"
        choices = {**choices, chosen: title}
    if not watched:
        return f"<select {control.head}>{options(choices, chosen)}</select>"
    # Other keys come and go with it: forms.js asks at once and hides the button.
    ask = f'Update<span class="visually-hidden"> the form for {escape(control.label)}</span>'
    return (
        f'<span class="f-row"><select {control.head} data-refresh>{options(choices, chosen)}</select>'
        f'<button class="f-button" name="_op" value="refresh">{ask}</button></span>'
    )


def _switch(shape: Shape) -> Mapping[str, str]:
    return {
        "": _unset(shape),
        "true": shape.said.values.get(True, "true"),
        "false": shape.said.values.get(False, "false"),
    }


def _unset(shape: Shape) -> str:
    return f"not set ({shape.default_text})" if shape.default_text else "not set"


def _input(node: Scalar, control: Control) -> str:
    kind, text = node.shape.type, node.text
    if kind == "string" and ("\n" in text or "\r" in text or len(text) > _LONG):
        return f'<textarea {control.head} rows="{_rows(text)}" spellcheck="false">\n{escape(text)}</textarea>'
    if kind == "date" and _is_date(text):
        return f'<input type="datetime-local" step="1" {control.head} value="{escape(text)}"> <span class="f-unit">UTC</span>'
    mode = {"integer": ' inputmode="numeric"', "real": ' inputmode="decimal"'}.get(kind, "")
    if node.shape.facts.value_type == "url":
        mode = ' inputmode="url"'
    short = ' class="f-short"' if kind in {"integer", "real"} else ""
    hint = f' placeholder="{escape(node.shape.default_text)}"' if node.shape.default_text else ""
    watched = " data-refresh" if node.shape.is_watched else ""
    return (
        f'<input type="text" {control.head} value="{escape(text)}"{mode}{short}{hint}{watched} autocomplete="off"'
        f' spellcheck="false">'
    )


def _is_date(text: str) -> bool:
    """Whether the browser's own date field would keep it: what it cannot read it would drop."""
    try:
        return not text or (datetime.fromisoformat(text).tzinfo is None and len(text) == 19)
    except ValueError:
        return False


def _explicit(node: Scalar | Data, control: Control) -> str:
    """Not set and an empty text are two things: the second has a mark, shown where it is so."""
    if not node.explicit or node.text:
        return ""
    return (
        f'<label class="f-check"><input type="checkbox" name="{escape(control.name)}~e" value="1" checked>'
        f" Set, but empty</label>"
    )


def _lost(node: Data | Secret) -> str:
    return f'<p class="f-note">What was given here {escape(node.problem)}</p>' if node.problem else ""


def _picker(node: Scalar, control: Control, around: Around) -> str:
    said = node.shape.said
    fitting = [found for found in around.references if found.payload_type in said.reference]
    values = {_named(found, said.reference_key): found.name for found in fitting}
    values.pop("", None)
    if node.text and (node.text not in values):
        if "\n" in node.text or "\r" in node.text:
            return ""
        lost = "" if has_variable(node.text) else " (no such payload in this bundle)"
        values[node.text] = f"{node.text}{lost}"
    choices = {"": "not set", **values}
    return (
        f'<span class="f-row"><select {control.head}>{options(choices, node.text)}</select>'
        f'<input type="text" {control.other("~o", "another UUID")} placeholder="another UUID" autocomplete="off"'
        f' spellcheck="false"></span>{_explicit(node, control)}'
    )


def _named(found: Reference, key: str) -> str:
    return found.uuid if key == "PayloadUUID" else found.others.get(key, "")


def _stored(found: StoredSecret) -> str:
    day = date_format(timezone.localtime(found.changed_at), "j M Y")
    return f"{found.name}: {found.length} characters, set {day}"


def _literal(value: str | bytes) -> str:
    text = value if isinstance(value, str) else value[:300].decode("utf-8", "replace")
    if text.startswith("{{") and has_variable(text) and not secret_name_in(text):
        return f"filled in for each device: {text}"
    return f"keep what is there: {_length(value if isinstance(value, bytes) else value.encode('utf-8', 'replace'))}"


def _length(value: bytes) -> str:
    try:
        return f"{len(value.decode('utf-8'))} characters"
    except UnicodeDecodeError:
        return f"{len(value)} bytes"


def _rows(text: str) -> int:
    return min(1 + text.count("\n") + len(text) // 400, 16)


def _hidden(name: str, value: str) -> str:
    return f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
