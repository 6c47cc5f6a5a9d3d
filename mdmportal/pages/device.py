"""The device page: what is wanted, what is installed, what is waiting and why; every fact is read-only.

Acts are buttons that post to the device list's own actions, so there is one confirmation and one audit for both.
"""

from typing import Any

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.utils import timezone

from devices.models import Command, Device, EnrollmentState, EscrowedSecret, Inventory, Verdict
from mdmportal.pages.words import COMMAND_TONES, COMMAND_WORDS, LADDER_WORDS, command_sentence
from portal_ui.admin import moment
from profiles.models import Installation
from profiles.wishes import requirement_key

COMMANDS_SHOWN = 50
# Button, the device list's action, the right it needs, whether it is dangerous.
BUTTONS = (
    ("Push now", "push_now", "devices.push_device", False),
    ("Refresh inventory", "refresh_inventory", "devices.push_device", False),
    ("Restart…", "restart", "devices.restart_device", False),
    ("Lock…", "lock", "devices.lock_device", False),
    ("Clear passcode…", "clear_passcode", "devices.clear_passcode", True),
    ("Erase…", "erase", "devices.erase_device", True),
)


@permission_required("devices.view_device", raise_exception=True)
def device_page(request: HttpRequest, pk: int) -> HttpResponse:
    """GET /admin/device/<pk>/"""
    device = get_object_or_404(Device, pk=pk)
    context = {**admin.site.each_context(request), **_facts(device), "title": str(device), "device": device}
    context["buttons"] = [
        {"label": label, "action": action, "dangerous": dangerous}
        for label, action, permission, dangerous in BUTTONS
        if request.user.has_perm(permission)
    ]
    context["checkbox"] = ACTION_CHECKBOX_NAME
    return TemplateResponse(request, "pages/device.html", context)


def _facts(device: Device) -> dict[str, Any]:
    now = timezone.now()
    commands = Command.objects.filter(enrollment__device=device).select_related("enrollment").defer("params", "result")
    installations = (
        # Rows of channels that ended say nothing about the device as it is now.
        Installation.objects.filter(enrollment__device=device, enrollment__state=EnrollmentState.ENROLLED)
        .select_related("bundle", "profile__revision", "enrollment")
        .order_by("bundle__name", "-part")
    )
    bundles = {requirement_key(row.bundle_id): row.bundle.name for row in installations}
    verdicts = Verdict.objects.filter(enrollment__device=device, enrollment__state=EnrollmentState.ENROLLED)
    return {
        "seen": moment(device.last_seen_at, now=now),
        "installations": [
            {
                "row": row,
                "words": LADDER_WORDS.get(row.state, row.state),
                "next": row.next_at and moment(row.next_at, now=now),
            }
            for row in installations
        ],
        "commands": [
            {
                "row": row,
                "tone": COMMAND_TONES.get(row.state, ""),
                "words": COMMAND_WORDS.get(row.state, str(row.state)),
                "sentence": command_sentence(row, now=now),
                "created": moment(row.created_at, now=now),
            }
            for row in commands.order_by("-pk")[:COMMANDS_SHOWN]
        ],
        "verdicts": [
            {
                "row": row,
                "requirement": bundles.get(row.requirement_key, row.requirement_key),
                "proved": moment(row.proved_at, now=now),
                "next": row.next_poll_at and moment(row.next_poll_at, now=now),
            }
            for row in verdicts.order_by("requirement_key")
        ],
        "enrollments": device.enrollments.order_by("-pk"),
        "inventory": Inventory.objects.filter(enrollment__device=device).defer("content"),
        "escrow": EscrowedSecret.objects.filter(enrollment__device=device, withdrawn_at=None).defer("value"),
        "memberships": device.memberships.select_related("group"),
    }
