"""Assigning a lineage to a group, in two steps: to whom, and then how many devices that reaches."""

from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from devices.acts import full_name
from devices.models import DeviceGroup
from operations.confirmation import ask
from portal_ui.admin import ModelAdmin
from provisioning import acts
from provisioning.admin.frame import CHANGE, get_lineage, render
from provisioning.assignment import devices_reached
from provisioning.models import Lineage, LineageAssignment


class AssignForm(forms.Form):
    """Step one of assigning: to whom. Step two says how many devices that is."""

    group = forms.ModelChoiceField(queryset=DeviceGroup.objects.all())
    excluded = forms.BooleanField(
        required=False,
        label="Exclude",
        help_text="Devices of this group never get the profile from here, whatever else they are in.",
    )


def assign_page(admin: ModelAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """GET asks for the group, GET with a group says how many devices that is, POST does it."""
    lineage = get_lineage(admin, request, pk, right=CHANGE)
    form = AssignForm(request.GET if "group" in request.GET else None, label_suffix="")
    if not form.is_valid():
        sentence = (
            "The next page says how many devices this reaches. Devices that list a profile of this lineage already, because "
            "an app brought it, get the newest one without any assignment."
        )
        status = 400 if form.errors else 200
        return render(
            admin, request, "form.html", title="Assign", status=status, lineage=lineage, form=form, sentence=sentence,
            method="get",
        )  # fmt: skip
    group, excluded = form.cleaned_data["group"], form.cleaned_data["excluded"]
    devices, sentence = _effect(lineage, group, excluded=excluded)
    answer = ask(
        admin, request, queryset=devices, action="assign", title=f"Assign {lineage}", sentence=sentence,
        describe=full_name,
    )  # fmt: skip
    if isinstance(answer, HttpResponse):
        return answer
    acts.assign(lineage, group, excluded=excluded, reason=answer.reason, actor=request.user, now=timezone.now())
    messages.success(request, f"{lineage} is {'never' if excluded else 'now'} wanted on the devices of {group}.")
    return redirect("admin:provisioning_lineage_change", pk)


def _effect(lineage: Lineage, group: DeviceGroup, *, excluded: bool) -> tuple[QuerySet[Any], str]:
    """The devices that get or leave the lineage by one more assignment, and what happens to them in words."""
    present = list(lineage.assignments.select_related("group"))
    others = [row for row in present if row.group_id != group.pk]
    before = devices_reached(present)
    after = devices_reached([*others, LineageAssignment(lineage=lineage, group=group, excluded=excluded)])
    if excluded:
        lost = before.exclude(pk__in=after.values("pk"))
        return lost, (
            f"{lost.count()} devices of {group} are no longer kept up to date; {after.count()} are. What they have stays "
            "on them until it ends."
        )
    gained = after.exclude(pk__in=before.values("pk"))
    return gained, f"{gained.count()} more devices get {lineage} by {group}; it then is wanted on {after.count()}."
