"""The form of one payload: its dictionary as an XML property list in a text area, read with nothing lost.

Type, identifier and UUID name a payload on every device that has it: they are set once and then only compared.
"""

import uuid
from typing import Any
from xml.parsers import expat

from django import forms
from django.db.models import Max

from profiles.importing import default_role
from profiles.models import Payload, Role
from protocol.errors import PlistError
from protocol.plist import PlistValue, dumps, loads_dict

# Larger ones (fonts) would not come back whole through Django's limit on form data.
LARGEST_TEXT = 64 * 1024
MAX_DEPTH = 64
NAMES = {"PayloadType": "payload_type", "PayloadIdentifier": "payload_identifier", "PayloadUUID": "payload_uuid"}
REFUSED_TYPES = frozenset({"com.apple.mdm"})


class PlistField(forms.CharField):
    """Text in, a dictionary out; an error says at which line the text stops being a property list."""

    widget = forms.Textarea

    def to_python(self, value: Any) -> Any:
        # Browsers send CRLF; an unchanged text must not look changed.
        text = super().to_python(value)
        return text.replace("\r\n", "\n") if isinstance(text, str) else text

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text:
            return None
        try:
            return loads_dict(text.encode(), max_depth=MAX_DEPTH)
        except PlistError as error:
            raise forms.ValidationError(where_it_breaks(text) or _sentence(str(error))) from None


def where_it_breaks(text: str) -> str:
    """A sentence with line and column when `text` is no well-formed XML, otherwise nothing. Quotes none of it."""
    parser = expat.ParserCreate()
    try:
        parser.Parse(text.encode(), True)  # noqa: FBT003 (expat takes it by position only)
    except expat.ExpatError as error:
        return f"This is no XML: {expat.ErrorString(error.code)} at line {error.lineno}, column {error.offset + 1}."
    return ""


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


class PayloadForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """Position, role and name may stay empty: the end, the usual role of the type, the payload's own name."""

    position = forms.IntegerField(min_value=0, required=False, help_text="Order in the profile; empty: at the end.")
    role = forms.ChoiceField(
        choices=[("", "the usual one of its type"), *Role.choices],
        required=False,
        help_text="A requirement restricts; a capability is given to devices that comply; neutral is neither.",
    )
    name = forms.CharField(max_length=255, required=False)
    text = PlistField(
        label="Content",
        widget=forms.Textarea(attrs={"rows": 16, "cols": 100, "spellcheck": "false", "class": "portal-plist"}),
        help_text="The payload's dictionary as an XML property list. PayloadType is needed; identifier and UUID are "
        "made when they are missing, and then never change.",
    )

    class Meta:
        model = Payload
        fields = ["position", "role", "name"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_new = self.instance.pk is None
        if self.is_new:
            self.initial = {"position": None, "role": "", "name": "", **kwargs.get("initial", {})}
            return
        text = bytes(self.instance.content).decode().strip()
        if len(text) > LARGEST_TEXT:
            # Shown empty and locked: half a text must not come back as the whole.
            self.fields["text"].disabled, self.fields["text"].required = True, False
            self.fields["text"].help_text = "The content is too large to be edited here; import it again to change it."
        else:
            self.initial["text"] = text

    def clean(self) -> dict[str, Any]:
        said = super().clean() or self.cleaned_data
        content = said.get("text")
        if content is not None:
            self._name_it(content)
            said["role"] = said.get("role") or default_role(self.instance.payload_type)
            said["name"] = said.get("name") or _own_name(content) or self.instance.payload_type[:255]
        elif not self.is_new:
            said["role"] = said.get("role") or self.instance.role
            said["name"] = said.get("name") or self.instance.name
        return said

    def _name_it(self, content: dict[str, PlistValue]) -> None:
        """Compare the three names with the stored ones, or set them; whatever is wrong is told at once."""
        problems = []
        if self.is_new:
            fresh = str(uuid.uuid4()).upper()
            content.setdefault("PayloadUUID", fresh)
            content.setdefault("PayloadIdentifier", f"mdmportal.payload.{fresh}")
        for key, column in NAMES.items():
            stored = getattr(self.instance, column)
            value = content.setdefault(key, stored) if stored and not self.is_new else content.get(key)
            limit = 64 if key == "PayloadUUID" else 255
            if not isinstance(value, str) or not value.strip() or len(value) > limit:
                problems.append(f"{key} must be a string of 1 to {limit} characters.")
            elif not self.is_new and value != stored:
                problems.append(f"{key} cannot change any more: it is {stored}. Add a new payload instead.")
            elif value in REFUSED_TYPES:
                problems.append("An enrollment (com.apple.mdm) cannot be in a bundle; devices get it by an invitation.")
            else:
                setattr(self.instance, column, value)
        content.setdefault("PayloadVersion", 1)
        if problems:
            self.add_error("text", [forms.ValidationError(problem) for problem in problems])
        else:
            self.instance.content = dumps(content)

    def save(self, commit: bool = True) -> Payload:  # noqa: FBT001, FBT002 (Django's contract)
        if self.cleaned_data.get("position") is None:
            rows = Payload.objects.filter(bundle=self.instance.bundle_id).exclude(pk=self.instance.pk)
            last = rows.aggregate(last=Max("position"))["last"]
            self.instance.position = 1 if last is None else last + 1
        saved: Payload = super().save(commit=commit)
        return saved


def _own_name(content: dict[str, PlistValue]) -> str:
    name = content.get("PayloadDisplayName")
    return name.strip()[:255] if isinstance(name, str) else ""


class PayloadFormSet(forms.BaseInlineFormSet):  # type: ignore[type-arg]
    """Payloads of one bundle; two with one identifier or UUID would be refused by every device."""

    def clean(self) -> None:
        super().clean()
        kept = [form.instance for form in self.forms if form.instance.payload_type and form not in self.deleted_forms]
        for column in ("payload_identifier", "payload_uuid"):
            values = [getattr(payload, column) for payload in kept]
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise forms.ValidationError(f"Several payloads share the {column.replace('_', ' ')} {twice[0]}.")
