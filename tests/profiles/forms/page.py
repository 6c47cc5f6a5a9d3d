"""A page's form as a browser sees and posts it, from the HTML alone."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import QueryDict
from django.utils.datastructures import MultiValueDict


@dataclass
class Field:
    tag: str
    attributes: dict[str, str | None]
    text: str = ""
    options: list[tuple[str, bool]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.attributes.get("name") or ""

    @property
    def kind(self) -> str:
        return self.attributes.get("type") or "text" if self.tag == "input" else self.tag

    @property
    def value(self) -> str | None:
        """What a browser posts for it untouched; None when it posts nothing."""
        if self.tag == "textarea":
            return self.text.removeprefix("\n")
        if self.tag == "select":
            chosen = [value for value, selected in self.options if selected]
            return chosen[-1] if chosen else self.options[0][0]
        value = self.attributes.get("value") or ""
        if self.kind in {"checkbox", "radio"}:
            return value or "on" if "checked" in self.attributes else None
        if self.kind == "file":
            return None
        if self.kind == "datetime-local":
            return value.removesuffix(":00") if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?", value) else ""
        # Value sanitization: one line.
        return value if self.kind == "hidden" else value.replace("\r", "").replace("\n", "")


class Page(HTMLParser):
    """The controls of a piece of HTML, and what is posted after somebody changed some of them."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.html = html
        self.fields: list[Field] = []
        self.buttons: list[str] = []
        self.ids: list[str] = []
        self.labelled: set[str] = set()
        self.described: set[str] = set()
        self.changed: dict[str, str | None] = {}
        self.files: dict[str, SimpleUploadedFile] = {}
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if "id" in attributes:
            self.ids.append(attributes["id"])
        self.described.update((attributes.get("aria-describedby") or "").split())
        if tag == "label" and "for" in attributes:
            self.labelled.add(attributes["for"])
        if tag in {"input", "textarea", "select"}:
            self.fields.append(Field(tag, attributes))
        if tag == "option":
            self.fields[-1].options.append((attributes["value"], "selected" in attributes))
        if tag == "button":
            self.buttons.append(attributes.get("value") or "")
        self._tag = tag

    def handle_endtag(self, tag):
        self._tag = ""

    def handle_data(self, data):
        if self.fields and getattr(self, "_tag", "") == "textarea":
            self.fields[-1].text += data

    @property
    def names(self) -> set[str]:
        return {found.name for found in self.fields}

    def value(self, name: str) -> str | None:
        return next(found.value for found in self.fields if found.name == name)

    def options(self, name: str) -> list[str]:
        return [value for found in self.fields if found.name == name for value, _ in found.options]

    def type(self, name: str, value: str | None) -> "Page":
        """Type into a field, choose in a select; None unticks a box."""
        assert name in self.names, f"no field {name}"
        self.changed[name] = value
        return self

    def upload(self, name: str, data: bytes, file_name: str = "file.bin") -> "Page":
        assert name in self.names, f"no field {name}"
        self.files[name] = SimpleUploadedFile(file_name, data)
        return self

    def post(self, press: str = "") -> tuple[QueryDict, MultiValueDict]:
        """What arrives at the server; `press` is the button's value."""
        data = QueryDict(mutable=True)
        for found in self.fields:
            value = self.changed.get(found.name, found.value)
            if value is not None and found.kind != "file":
                data.appendlist(found.name, re.sub("\r\n|\r|\n", "\r\n", value))
        if press:
            assert press in self.buttons, f"no button {press}: {self.buttons}"
            data["_op"] = press
        files = MultiValueDict()
        for name, upload in self.files.items():
            files[name] = upload
        return data, files
