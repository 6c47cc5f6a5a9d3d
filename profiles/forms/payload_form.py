"""The form of a payload, made from Apple's schema: shown, posted, changed by its buttons, read as a plist.

Quacks like a Django form where views and templates look (`is_valid`, `str(form)`), without being one: its tree has no
fixed fields. It reads and writes no database; files, secrets and other payloads come and go through its arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from html import escape
from typing import Any, TypeAlias

from django.core.files.uploadedfile import UploadedFile
from django.http import QueryDict
from django.utils.datastructures import MultiValueDict
from django.utils.safestring import SafeString

from profiles import overlay
from profiles.errors import SecretError
from profiles.forms import operations
from profiles.forms.controls import Around, Reference, StoredSecret, options
from profiles.forms.keeping import keep
from profiles.forms.nodes import count_set, is_set
from profiles.forms.posted import Posted
from profiles.forms.reading import root_of
from profiles.forms.rendering import Renderer, grouped, search
from profiles.forms.shapes import Shape, Words, shape_of_keys, shape_of_payload
from profiles.forms.writing import Written, hidden_paths, write
from protocol.plist import PlistValue
from protocol.schema import Catalogue, KeyFacts, PayloadFacts, Problem

__all__ = ["Files", "PayloadForm", "SchemaForm", "build"]

Files: TypeAlias = "MultiValueDict[str, UploadedFile[Any]]"
# The name of the button that was pressed, when it is one of ours.
OPERATION = "_op"


def _held_nowhere(_value: bytes, _file_name: str) -> str:
    raise SecretError("Nothing is kept here.")


class SchemaForm:
    """A form for a dictionary that the schema describes. See `PayloadForm` for a payload, `build` for anything else."""

    needs_multipart = True
    is_multipart = True

    def __init__(
        self,
        shape: Shape,
        *,
        content: Mapping[str, PlistValue] | None,
        data: QueryDict | None = None,
        files: Files | None = None,
        references: Sequence[Reference] = (),
        secrets: Sequence[StoredSecret] = (),
        hold: Callable[[bytes, str], str] = _held_nowhere,
        held: Callable[[str], bytes | None] = lambda _token: None,
        secret_name: Callable[[str], str] = lambda _path: "new-secret",
        reserved: frozenset[str] = frozenset(),
    ) -> None:
        self._shape = shape
        self._data = data
        self._secret_name = secret_name
        self._reserved = reserved
        self._hold = hold
        self._around = Around(references, {found.name: found for found in secrets})
        self._judge = False
        stored = content or {}
        if data is None:
            self._root = root_of(shape, stored, left_out=reserved)
        else:
            self._root = Posted(data, files or MultiValueDict(), content=stored, held=held).root(shape)
            operations.apply(self._root, self.operation or "")

    @property
    def is_bound(self) -> bool:
        """Whether something was posted."""
        return self._data is not None

    @property
    def operation(self) -> str | None:
        """The value of the button that was pressed inside the form; then the form is just shown again."""
        return self._data.get(OPERATION) or None if self._data is not None else None

    def is_valid(self) -> bool:
        """Whether what was posted may be stored. From then on errors are shown at their keys."""
        self._judge = self.is_bound
        return self.is_bound and not self.operation and not self._written.problems

    @property
    def content(self) -> dict[str, PlistValue]:
        """What the fields say, without the common keys; what cannot be read is left out."""
        return self._written.content

    @property
    def new_secrets(self) -> Mapping[str, bytes]:
        """Secrets that were typed or uploaded, by the name under which the content has them."""
        return self._written.secrets

    @property
    def problems(self) -> list[Problem]:
        """Everything wrong, each with its path and what would be right."""
        return self._written.problems

    @property
    def keys_set(self) -> int:
        """How many keys have a value, at any depth."""
        return self._counts[0]

    @property
    def keys_total(self) -> int:
        """How many keys there are to fill in, those inside of sections that are not configured left out."""
        return self._counts[1]

    def render(self) -> SafeString:
        """The HTML of the whole tree, for a <form method="post" enctype="multipart/form-data">."""
        problems = self._written.problems if self._judge else ()
        hidden = hidden_paths(self._root, self._written.content)
        keep(self._root, self._hold)
        shown = search(self._shape.children, text=self._asked("f-find"), platform=self._asked("f-os"))
        renderer = Renderer(problems, hidden=hidden, around=self._around)
        groups = [(group.title, group.keys) for group in overlay.of(self._shape.words.variant).groups]
        inside = renderer.root(self._root, groups=grouped(self._shape.children, groups), shown=shown)
        there = {name for name, node in self._root.children.items() if (name,) not in hidden or is_set(node)}
        bar = self._bar(len(shown & there), len(there))
        only = " f-only-set" if self._asked("f-set") else ""
        return SafeString(f'<div class="f-form{only}" id="payload-form">{bar}{inside}</div>')

    def __str__(self) -> SafeString:
        return self.render()

    def __html__(self) -> SafeString:
        return self.render()

    @cached_property
    def _counts(self) -> tuple[int, int]:
        return count_set(self._root)

    @cached_property
    def _written(self) -> Written:
        # Names are given out only for what will be stored.
        naming = self._secret_name if self.is_bound and not self.operation else (lambda _path: "new-secret")
        return write(self._root, secret_name=naming, reserved=self._reserved)

    def _asked(self, name: str) -> str:
        value = self._data.get(name, "") if self._data is not None else ""
        return value if isinstance(value, str) else ""

    def _bar(self, shown: int, there: int) -> str:
        """Search, platform and "only what is set": the button asks the server, forms.js does it at once.

        `there` counts the keys that no condition hides, as forms.js does.
        """
        if len(self._shape.children) < 8:
            return ""
        platforms = next(iter(self._shape.children.values())).facts
        named = (
            sorted({name for child in self._shape.children.values() for name in child.facts.platforms})
            or platforms.platforms
        )
        choices = {"": "all platforms", **{name: name for name in named}}
        checked = " checked" if self._asked("f-set") else ""
        return (
            '<div class="f-bar"><input type="search" name="f-find" aria-label="Find keys" placeholder="Find keys"'
            f' value="{escape(self._asked("f-find"))}" autocomplete="off"><select name="f-os" aria-label="Platform">'
            f'{options(choices, self._asked("f-os"))}</select><label class="f-check"><input type="checkbox" name="f-set"'
            f' value="1"{checked}> Only keys that are set</label>'
            '<button class="f-button" name="_op" value="filter">Show</button>'
            f'<span class="f-count" role="status">{self.keys_set} set, {shown} of {there} shown</span></div>'
        )


class PayloadForm(SchemaForm):
    """The form of one payload. `content` is what is stored (also when `data` is given): kept files are found there."""

    def __init__(
        self,
        variant: PayloadFacts,
        *,
        catalogue: Catalogue,
        content: Mapping[str, PlistValue] | None,
        data: QueryDict | None = None,
        files: Files | None = None,
        references: Sequence[Reference] = (),
        secrets: Sequence[StoredSecret] = (),
        hold: Callable[[bytes, str], str] = _held_nowhere,
        held: Callable[[str], bytes | None] = lambda _token: None,
        secret_name: Callable[[str], str] = lambda _path: "new-secret",
    ) -> None:
        super().__init__(
            shape_of_payload(variant, catalogue),
            content=content,
            data=data,
            files=files,
            references=references,
            secrets=secrets,
            hold=hold,
            held=held,
            secret_name=secret_name,
            # A variant may have a key of such a name itself (PayloadContent is no common key).
            reserved=frozenset(key.name for key in catalogue.common.keys) - {key.name for key in variant.keys},
        )


def build(
    keys: Sequence[KeyFacts],
    *,
    name: str,
    catalogue: Catalogue,
    content: Mapping[str, PlistValue] | None,
    data: QueryDict | None = None,
    files: Files | None = None,
) -> SchemaForm:
    """The same form for a command (`name` is its RequestType) or a declaration (its type)."""
    shape = shape_of_keys(keys, words=Words(name, catalogue))
    return SchemaForm(shape, content=content, data=data, files=files)
