"""What people decide of a lineage: its policy, lead, first devices and key; and whether it is used any more."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from devices.models import Device
from operations.confirmation import ask
from portal_ui.admin import ModelAdmin
from provisioning import acts, rollout
from provisioning.admin.frame import CHANGE, get_lineage, render
from provisioning.models import ApiKey, Lineage, Policy, Program


class SettingsForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    class Meta:
        model = Lineage
        fields = acts.DECIDED
        labels = {
            "lead_days": "Lead in days",
            "canary_group": "First devices",
            "api_key": "API key",
            "delete_at_apple": "Delete the old profile at Apple",
        }
        help_texts = {
            "policy": "By itself: nothing to do. Propose: somebody approves each renewal. Manual: no API key, as with a vendor's app.",
            "api_key": "Empty: a key of the team, where there is one.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        keys: Any = self.fields["api_key"]
        keys.queryset = ApiKey.objects.filter(team=self.instance.team).select_related("team").defer("private_key")

    def clean(self) -> dict[str, Any]:
        said = super().clean() or {}
        key, days = said.get("api_key"), said.get("lead_days")
        if key is not None and self.instance.kind == "in_house" and key.program != Program.ENTERPRISE:
            self.add_error("api_key", "In-house profiles exist in the Enterprise Program only: choose one of its keys.")
        if days is not None and not 1 <= days <= 300:
            self.add_error("lead_days", "Between 1 and 300 days.")
        return said


def settings_page(admin: ModelAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """GET shows what was decided, POST changes it."""
    lineage = get_lineage(admin, request, pk, right=CHANGE)
    form = SettingsForm(request.POST if request.method == "POST" else None, instance=lineage)
    if form.is_valid():
        changed = acts.change_settings(lineage, form.cleaned_data, actor=request.user, now=timezone.now())
        messages.success(request, "Saved." if changed else "Nothing was changed.")
        if form.cleaned_data["policy"] == Policy.AUTO and not _has_key(lineage):
            messages.warning(request, "There is no API key that fits: add one, or nothing can be renewed by itself.")
        return redirect("admin:provisioning_lineage_change", pk)
    sentence = "How this lineage is renewed. Changes hold from the next renewal on."
    return render(
        admin, request, "form.html", title="Settings", status=400 if form.is_bound else 200, form=form, method="post",
        sentence=sentence, button="Save", lineage=Lineage.objects.get(pk=pk),
    )  # fmt: skip


def _has_key(lineage: Lineage) -> bool:
    keys = ApiKey.objects.filter(team=lineage.team)
    return (keys.filter(program=Program.ENTERPRISE) if lineage.kind == "in_house" else keys).exists()


def retire_page(admin: ModelAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """GET says what stops, POST stops it."""
    lineage = get_lineage(admin, request, pk, right=CHANGE)
    devices = Device.objects.filter(pk__in=rollout.targets(lineage).values("device"))
    sentence = (
        "Nobody is told of its end any more, it is not renewed, and devices do not get it. What devices have stays on them "
        "until it ends; then apps under it stop."
    )
    answer = ask(admin, request, queryset=devices, action="retire", title=f"Retire {lineage}", sentence=sentence)
    if isinstance(answer, HttpResponse):
        return answer
    acts.retire(lineage, reason=answer.reason, actor=request.user, now=timezone.now())
    messages.success(request, f"{lineage} is retired.")
    return redirect("admin:provisioning_lineage_change", pk)


def revive(admin: ModelAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """POST: use it again."""
    lineage = get_lineage(admin, request, pk, right=CHANGE)
    acts.revive(lineage, actor=request.user, now=timezone.now())
    messages.success(request, f"{lineage} is used again.")
    return redirect("admin:provisioning_lineage_change", pk)
