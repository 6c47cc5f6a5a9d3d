"""Assigning a bundle to a group, in two steps: to whom, and then how many devices that reaches."""

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
from profiles import acts
from profiles.admin.frame import get_bundle, render
from profiles.models import Assignment, Bundle
from profiles.scope import devices_reached


class AssignForm(forms.Form):
    """Step one of assigning: to whom. Step two says how many devices that is."""

    group = forms.ModelChoiceField(queryset=DeviceGroup.objects.all())
    excluded = forms.BooleanField(
        required=False,
        label="Exclude",
        help_text="Devices of this group never get the bundle, whatever else they are in.",
    )


def assign_page(admin: ModelAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """GET asks for the group, GET with a group says how many devices that is, POST does it."""
    bundle = get_bundle(admin, request, pk)
    form = AssignForm(request.GET if "group" in request.GET else None)
    if not form.is_valid():
        sentence = "The next page says how many devices this reaches."
        status = 400 if form.errors else 200
        return render(
            admin, request, "bundle_form.html", bundle=bundle, title="Assign", status=status, form=form,
            sentence=sentence, method="get",
        )  # fmt: skip
    group, excluded = form.cleaned_data["group"], form.cleaned_data["excluded"]
    devices, sentence = _effect(bundle, group, excluded=excluded)
    answer = ask(
        admin,
        request,
        queryset=devices,
        action="assign",
        title=f"Assign {bundle}",
        sentence=sentence,
        describe=full_name,
    )
    if isinstance(answer, HttpResponse):
        return answer
    acts.assign(bundle, group, excluded=excluded, reason=answer.reason, actor=request.user, now=timezone.now())
    messages.success(request, f"{bundle} is {'never' if excluded else 'now'} wanted on the devices of {group}.")
    return redirect("admin:profiles_bundle_change", pk)


def _effect(bundle: Bundle, group: DeviceGroup, *, excluded: bool) -> tuple[QuerySet[Any], str]:
    """The devices that get or lose the bundle by one more assignment, and what happens to them in words."""
    present = list(bundle.assignments.select_related("group"))
    others = [row for row in present if row.group_id != group.pk]
    before = devices_reached(present)
    after = devices_reached([*others, Assignment(bundle=bundle, group=group, excluded=excluded)])
    lost, gained = before.exclude(pk__in=after.values("pk")), after.exclude(pk__in=before.values("pk"))
    when = "" if bundle.current_revision_id else " It is not published yet: they get it once it is."
    if excluded:
        return lost, f"{lost.count()} devices of {group} lose {bundle}; {after.count()} keep it."
    return gained, f"{gained.count()} more devices get {bundle} by {group}; it then is on {after.count()}.{when}"
