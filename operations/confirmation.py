"""The page between a click and a destructive act: what it hits, why, and the number typed.

An admin action calls `ask`; until the person has confirmed it gets a page to return, then the reason. The page posts
the same action with the same selection, so it works without JavaScript and a reload repeats nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import models
from django.http import HttpRequest
from django.template.response import TemplateResponse

from portal_ui.admin import ModelAdmin

SHOWN = 50


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What the person answered: the reason, and the values of the act's own fields."""

    reason: str
    values: dict[str, Any]


class ConfirmationForm(forms.Form):
    """Reason and typed count; acts with parameters extend it."""

    reason = forms.CharField(max_length=500, label="Reason", help_text="Kept in the audit log.")
    count = forms.IntegerField(label="How many")

    def __init__(self, *args: Any, expected: int, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})
        self.expected = expected
        self.fields["count"].help_text = f"Type {expected} to confirm."
        if not expected:
            # Nothing is hit (yet): the reason alone confirms.
            del self.fields["count"]

    def clean_count(self) -> int:
        count: int = self.cleaned_data["count"]
        if count != self.expected:
            raise forms.ValidationError(f"This would hit {self.expected}, not {count}. Nothing was done.")
        return count


def ask(
    model_admin: ModelAdmin,
    request: HttpRequest,
    *,
    queryset: models.QuerySet[Any],
    action: str,
    title: str,
    sentence: str,
    form_class: type[ConfirmationForm] = ConfirmationForm,
    describe: Callable[[Any], str] = str,
) -> Confirmed | TemplateResponse:
    """The confirmed answer, or the page that asks for it. `sentence` says what will happen, in plain words.

    `describe` names one object so that nobody takes it for another.
    """
    expected = queryset.count()
    said = (request.POST, request.FILES) if "confirmed" in request.POST else ()
    form = form_class(*said, expected=expected)
    if form.is_bound and form.is_valid():
        values = {name: value for name, value in form.cleaned_data.items() if name not in {"reason", "count"}}
        return Confirmed(form.cleaned_data["reason"], values)
    context = {
        **model_admin.admin_site.each_context(request),
        "title": title,
        "sentence": sentence,
        "form": form,
        "objects": [describe(obj) for obj in queryset[:SHOWN]],
        "more": max(expected - SHOWN, 0),
        "expected": expected,
        "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
        "select_across": request.POST.get("select_across", "0"),
        "checkbox": ACTION_CHECKBOX_NAME,
        "action": action,
        "opts": model_admin.opts,
    }
    return TemplateResponse(request, "operations/confirm.html", context, status=400 if form.is_bound else 200)
