"""The form of a payload whose type Apple does not document: one property list as XML.

The same interface as `PayloadForm`. The common keys (PayloadType, PayloadUUID ...) are the portal's: a vendor's example
brings them along, and they are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from html import escape

from django.http import QueryDict
from django.utils.safestring import SafeString

from profiles.forms.fragments import fragment_of, read_fragment
from profiles.forms.payload_form import OPERATION, Files
from profiles.forms.texts import TextError
from protocol.plist import PlistValue
from protocol.schema import Problem, packaged

__all__ = ["RawForm"]

_NAME = "p~raw"


class RawForm:
    """One text area. Its problems have no path: they are about the text as a whole."""

    needs_multipart = True
    is_multipart = True

    def __init__(
        self,
        *,
        content: Mapping[str, PlistValue] | None,
        data: QueryDict | None = None,
        files: Files | None = None,
    ) -> None:
        self._data = data
        self._judge = False
        self._text = fragment_of(_without_common(content or {})) if data is None else str(data.get(_NAME, ""))

    @property
    def is_bound(self) -> bool:
        """Whether something was posted."""
        return self._data is not None

    @property
    def operation(self) -> str | None:
        """As in PayloadForm; this form has no buttons of its own."""
        return self._data.get(OPERATION) or None if self._data is not None else None

    def is_valid(self) -> bool:
        """Whether the text is a dictionary. From then on the error is shown."""
        self._judge = self.is_bound
        return self.is_bound and not self.operation and not self.problems

    @property
    def content(self) -> dict[str, PlistValue]:
        """The dictionary without the common keys; empty while it cannot be read."""
        return self._read[0]

    @property
    def new_secrets(self) -> Mapping[str, bytes]:
        """None: text that nobody described has no marked secrets."""
        return {}

    @property
    def problems(self) -> list[Problem]:
        """What is wrong with the text."""
        return self._read[1]

    @property
    def keys_set(self) -> int:
        """How many keys the dictionary has."""
        return len(self.content)

    keys_total = keys_set

    def render(self) -> SafeString:
        """The HTML of the text area."""
        errors = " ".join(problem.sentence for problem in self.problems) if self._judge else ""
        said = f'<p class="f-error" id="{_NAME}~error">The property list {escape(errors)}</p>' if errors else ""
        aria = (
            f' aria-invalid="true" aria-describedby="{_NAME}~help {_NAME}~error"'
            if errors
            else f' aria-describedby="{_NAME}~help"'
        )
        return SafeString(
            f'<div class="f-form" id="payload-form"><div class="f-pair"><label for="{_NAME}">Keys as a property list</label>'
            f'<p class="f-help" id="{_NAME}~help">A &lt;dict&gt;, or a whole .plist. PayloadType, PayloadIdentifier,'
            " PayloadUUID and the other common keys are written by the portal and left out here.</p>"
            f'<textarea id="{_NAME}" name="{_NAME}" rows="24" spellcheck="false"{aria}>\n{escape(self._text)}</textarea>'
            f"{said}</div></div>"
        )

    def __str__(self) -> SafeString:
        return self.render()

    def __html__(self) -> SafeString:
        return self.render()

    @cached_property
    def _read(self) -> tuple[dict[str, PlistValue], list[Problem]]:
        if not self._text.strip():
            return {}, []
        try:
            value = read_fragment(self._text)
        except TextError as error:
            return {}, [Problem((), str(error))]
        if not isinstance(value, dict):
            return {}, [Problem((), "must be a dictionary: <dict> … </dict>.")]
        return _without_common(value), []


def _without_common(content: Mapping[str, PlistValue]) -> dict[str, PlistValue]:
    common = {key.name for key in packaged().common.keys}
    return {key: value for key, value in content.items() if key not in common}
