"""The least that a payload needs, and a person who fills it into the payload's page without scripts.

What to fill in is Apple's schema and our conditions; where it goes is read from the page as a browser would.
"""

import re
from datetime import UTC, datetime
from typing import Any

from profiles import overlay
from profiles.forms.nodes import escape_step
from profiles.forms.posted import ROOT
from profiles.forms.texts import text_of
from protocol.schema import KeyFacts, PayloadFacts
from tests.profiles.person import Control, Page

UUID = "0A1B2C3D-1111-2222-3333-444455556666"
# The first that matches a key's pattern is typed.
PATTERNED = (UUID, "https://mdm.example.com/", "1.1.1", "example")
TYPED: dict[str, Any] = {
    "boolean": True,
    "data": b"data",
    "date": datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC).replace(tzinfo=None),
    "any": "text",
    "real": 1.5,
}
KINDS = {str: "string", bool: "boolean", int: "integer", float: "real", bytes: "data", datetime: "date"}


def least(facts: PayloadFacts) -> dict[str, Any]:
    """The required keys of a payload, those left out that our conditions hide while nothing else is set."""
    found = _required(facts.keys)
    return _without_hidden(facts.variant, found, found, ())


def _required(keys: tuple[KeyFacts, ...]) -> dict[str, Any]:
    return {"example" if key.name == "ANY" else key.name: value(key) for key in keys if key.required}


def _without_hidden(variant: str, root: dict[str, Any], here: Any, path: tuple[str | int, ...]) -> Any:
    if not isinstance(here, dict):
        return here
    hides = overlay.visible(variant, root).hides
    kept = {name: inner for name, inner in here.items() if not hides((*path, name))}
    return {name: _without_hidden(variant, root, inner, (*path, name)) for name, inner in kept.items()}


def value(key: KeyFacts) -> Any:
    """Something small that the key may hold."""
    if key.values:
        return key.values[0]
    if key.pattern:
        return next(text for text in PATTERNED if re.fullmatch(key.pattern, text))
    if key.type == "array":
        return [value(key.item)] * (key.item.min_items or 1) if key.item else ["text"]
    if key.type == "dictionary":
        return _required(key.subkeys)
    if key.type == "string":
        return {"url": "https://www.example.com/", "hostname": "host.example.com"}.get(key.value_type, "example")
    if key.type == "integer":
        return 1 if key.minimum is None else int(key.minimum)
    return TYPED[key.type]


class PayloadPage:
    """A payload's page and somebody who fills it in by the names of its fields."""

    def __init__(self, client, address: str) -> None:
        self.page = Page(client, address)
        assert self.page.status == 200, (address, self.page.status)

    @property
    def form(self):
        return next(form for form in self.page.forms if form.attributes.get("id") == "compose-form")

    def find(self, name: str) -> Control | None:
        return next((one for one in self.form.controls if one.name == name and not one.is_button), None)

    def control(self, name: str) -> Control:
        """The field; one that another key's value brings is asked for first."""
        found = self.find(name)
        if found is None and self.has("refresh"):
            self.press("refresh")
            found = self.find(name)
        assert found is not None, f"no field {name}"
        return found

    def has(self, operation: str) -> bool:
        return any(one.is_button and one.attributes.get("value") == operation for one in self.form.controls)

    def press(self, operation: str) -> None:
        if not self.has(operation) and self.has("refresh"):
            self._send("refresh")
        assert self.has(operation), f"no button {operation}"
        self._send(operation)
        assert self.page.status == 200, operation

    def _send(self, operation: str) -> None:
        button = next(one for one in self.form.controls if one.attributes.get("value") == operation)
        self.page = self.page._send(self.form, button)

    def save(self) -> Page:
        button = next(one for one in self.form.controls if one.name == "_save")
        self.page = self.page._send(self.form, button)
        return self.page

    # --- filling in --------------------------------------------------------------------------------------------

    def fill(self, keys: tuple[KeyFacts, ...], content: dict[str, Any], at: str = ROOT) -> "PayloadPage":
        """Every key of the content, in its own field."""
        named = {key.name: key for key in keys}
        free = [name for name in content if name not in named]
        for name, wanted in content.items():
            if name in named:
                self._key(named[name], wanted, f"{at}/{escape_step(name)}")
        for number, name in enumerate(free):
            row = f"{at}/~r/{number}"
            if self.find(f"{row}~k") is None:
                self.press(f"add:{at}")
            self.control(f"{row}~k").value = name
            self._key(named.get("ANY"), content[name], row)
        return self

    def _key(self, key: KeyFacts | None, wanted: Any, at: str) -> None:
        if isinstance(wanted, dict):
            if self.find(f"{at}~d") is None:
                self.press(f"configure:{at}")
            self.fill(key.subkeys if key else (), wanted, at)
        elif isinstance(wanted, list):
            if self.find(f"{at}~n") is None:
                self.press(f"configure:{at}")
            while int(self.control(f"{at}~n").value) < len(wanted):
                self.press(f"add:{at}")
            for number, one in enumerate(wanted):
                self._key(key.item if key else None, one, f"{at}/{number}")
        else:
            self._single(wanted, at)

    def _single(self, wanted: Any, at: str) -> None:
        control, kind = self.control(at), self.find(f"{at}~t")
        text = text_of(wanted)
        if kind is not None:
            kind.value = "base64" if isinstance(wanted, bytes) and kind.options[0][0] == "text" else KINDS[type(wanted)]
        if control.tag == "select" and text not in [option[0] for option in control.options]:
            control = self.control(f"{at}~o")
        control.value = text
