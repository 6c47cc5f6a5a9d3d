"""A person at a page without JavaScript: reads forms as a browser does, fills them by their labels, presses buttons."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

from django.test import Client
from django.test.client import MULTIPART_CONTENT

VOID_TYPES = {"submit", "button", "reset", "image", "file"}


@dataclass
class Control:
    """One field of a form that a browser would send, or a button."""

    tag: str
    attributes: dict
    value: str = ""
    checked: bool = False
    options: list = field(default_factory=list)
    text: str = ""

    @property
    def name(self) -> str:
        return self.attributes.get("name") or ""

    @property
    def is_button(self) -> bool:
        return self.tag == "button" or self.attributes.get("type") == "submit"


@dataclass
class Form:
    attributes: dict
    controls: list = field(default_factory=list)


class _Reader(HTMLParser):
    """Forms, labels and texts of a page; controls that name their form by `form=` belong to it."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.forms, self.loose, self.labels = [], [], {}
        self.open_form = self.select = self.textarea = self.button = self.label = self.option = None

    def handle_starttag(self, tag, attrs):
        said = {name: value if value is not None else "" for name, value in attrs}
        if tag == "form":
            self.open_form = Form(said)
            self.forms.append(self.open_form)
        elif tag == "br" and self.label is not None:
            self.label[1] += " "
        elif tag == "label":
            self.label = [said.get("for"), ""]
        elif tag in {"input", "select", "textarea", "button"}:
            control = Control(tag, said, said.get("value", ""), "checked" in said)
            if said.get("type") in {"checkbox", "radio"} and "value" not in said:
                control.value = "on"
            if self.label is not None and self.label[0] is None:
                self.label[0] = said.setdefault("id", f"inside-{id(control)}")
            if "form" in said:
                self.loose.append(control)
            elif self.open_form is not None:
                self.open_form.controls.append(control)
            setattr(self, tag, control) if tag != "input" else None
        elif tag == "option" and self.select is not None:
            self.option = [said.get("value"), "selected" in said, ""]
            self.select.options.append(self.option)

    def handle_data(self, data):
        if self.textarea is not None:
            self.textarea.value += data
        if self.button is not None:
            self.button.text += data
        if self.option is not None:
            self.option[2] += data
        elif self.label is not None:
            self.label[1] += data

    def handle_endtag(self, tag):
        if tag == "label" and self.label is not None:
            self.labels.setdefault(" ".join(self.label[1].split()), []).append(self.label[0])
            self.label = None
        elif tag == "option":
            self.option = None
        elif tag == "select" and self.select is not None:
            chosen = [option for option in self.select.options if option[1]] or self.select.options[:1]
            self.select.value = (chosen[0][2].strip() if chosen[0][0] is None else chosen[0][0]) if chosen else ""
            self.select = None
        elif tag == "textarea" and self.textarea is not None:
            # The line end right after the tag is not content.
            self.textarea.value = self.textarea.value.removeprefix("\n")
            self.textarea = None
        elif tag == "button":
            self.button = None
        elif tag == "form":
            self.open_form = None


class Page:
    """What a person sees at an address, after any redirects."""

    def __init__(self, client: Client, address: str, response=None):
        self.client = client
        self.files = {}
        self._read(response or client.get(address, follow=True), address)

    def _read(self, response, address):
        chain = getattr(response, "redirect_chain", [])
        self.address = urljoin(address, chain[-1][0]) if chain else address
        self.response, self.status = response, response.status_code
        self.html = response.content.decode()
        reader = _Reader()
        reader.feed(self.html)
        for control in reader.loose:
            owner = next(form for form in reader.forms if form.attributes.get("id") == control.attributes["form"])
            owner.controls.append(control)
        self.forms, self.labels = reader.forms, reader.labels

    def control(self, label: str) -> Control:
        """The control that a label belongs to; the label's own words, or what they begin with."""
        for text, ids in self.labels.items():
            if text == label or text.startswith(f"{label} "):
                for form in self.forms:
                    for control in form.controls:
                        if control.attributes.get("id") in ids:
                            return control
        raise AssertionError(f"no field is called {label!r}: {sorted(self.labels)}")

    def fill(self, label: str, text: str) -> "Page":
        self.control(label).value = text
        return self

    def choose(self, label: str, option: str) -> "Page":
        """An option of a select by its words, or a radio button by its label."""
        control = self.control(label)
        values = [
            value if value is not None else words for value, _, words in control.options if words.strip() == option
        ]
        assert values, [words for _, _, words in control.options]
        control.value = values[0]
        return self

    def tick(self, label: str, *, on: bool = True) -> "Page":
        control = self.control(label)
        if control.attributes.get("type") == "radio":
            for form in self.forms:
                for other in form.controls:
                    if other.name == control.name and form.controls.count(control):
                        other.checked = False
        control.checked = on
        return self

    def buttons(self) -> list[str]:
        return [_words(control) for form in self.forms for control in form.controls if control.is_button]

    def press(self, words: str) -> "Page":
        """Press the first button with these words and follow where it leads."""
        for form in self.forms:
            for control in form.controls:
                if control.is_button and _words(control) == words and "hidden" not in control.attributes:
                    return self._send(form, control)
        raise AssertionError(f"no button says {words!r}: {self.buttons()}")

    def _send(self, form: Form, button: Control) -> "Page":
        data: dict[str, list] = {}
        for control in form.controls:
            kind = control.attributes.get("type", "")
            if not control.name or "disabled" in control.attributes:
                continue
            if control.is_button and control is not button:
                continue
            if kind in VOID_TYPES and control is not button:
                continue
            if kind in {"checkbox", "radio"} and not control.checked:
                continue
            value = (
                control.value.replace("\r\n", "\n").replace("\n", "\r\n")
                if control.tag == "textarea"
                else control.value
            )
            data.setdefault(control.name, []).append(value)
        for name, file in self.files.items():
            data[name] = [file]
        target = urljoin(self.address, form.attributes.get("action") or self.address)
        if form.attributes.get("method", "get").lower() == "get":
            return Page(self.client, target, self.client.get(target, data, follow=True))
        assert "csrfmiddlewaretoken" in data
        return Page(self.client, target, self.client.post(target, data, content_type=MULTIPART_CONTENT, follow=True))


def _words(control: Control) -> str:
    words = control.attributes.get("aria-label") or control.text or control.value
    return " ".join(words.split())
