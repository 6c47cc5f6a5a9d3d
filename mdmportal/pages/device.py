"""The device page: what is wanted, what is installed, what is waiting and why; every fact is read-only.

Acts are buttons that post to the device list's own actions, so there is one confirmation and one audit for both.
"""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.utils import timezone

from devices.models import (
    Command,
    CommandState,
    Device,
    EnrollmentState,
    EscrowedSecret,
    Inventory,
    InventoryKind,
    Verdict,
)
from devices.words import COMMAND_TONES, COMMAND_WORDS, LADDER_WORDS, UNREACHABLE, command_sentence, sentence
from mdmportal.pages.words import outlook, soon
from portal_ui.admin import moment
from profiles.models import Installation
from profiles.wishes import requirement_key

COMMANDS_SHOWN = 50
NOT_ASKED = "the device has not been asked yet"
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
    installations = (
        # Rows of channels that ended say nothing about the device as it is now.
        Installation.objects.filter(enrollment__device=device, enrollment__state=EnrollmentState.ENROLLED)
        .select_related("bundle", "profile__revision", "enrollment")
        .defer("bundle__original", "profile__content", "profile__signed", "profile__revision__draft")
        .order_by("bundle__name", "-part")
    )
    verdicts = Verdict.objects.filter(enrollment__device=device, enrollment__state=EnrollmentState.ENROLLED)
    by_requirement = {(one.enrollment_id, one.requirement_key): one for one in verdicts}
    bundles = {requirement_key(row.bundle_id): row.bundle.name for row in installations}
    secrets = EscrowedSecret.objects.filter(enrollment__device=device, withdrawn_at=None).defer("value")
    rows = [
        {
            "row": row,
            "words": LADDER_WORDS.get(row.state, row.state),
            "why": sentence(row.reason),
            "next": outlook(row, by_requirement.get((row.enrollment_id, requirement_key(row.bundle_id))), now=now),
        }
        for row in installations
    ]
    return {
        "seen": moment(device.last_seen_at, now=now),
        # What a row below says need not be said twice.
        "reason": "" if any(row.reason == device.state_reason for row in installations) else device.state_reason,
        "installations": rows,
        "verdicts": [
            {
                "row": row,
                "requirement": bundles.get(row.requirement_key, row.requirement_key),
                "why": sentence("; ".join(row.reasons) or ("" if row.judged_at else NOT_ASKED)),
                "proved": moment(row.proved_at, now=now),
                "next": row.next_poll_at and soon(row.next_poll_at, now=now),
            }
            for row in sorted(verdicts, key=lambda one: one.requirement_key)
        ],
        "enrollments": device.enrollments.order_by("-pk"),
        "inventory": _newest_answers(device),
        "unreachable": _unreachable(device),
        # Enrolling again leaves the earlier ones in place, numbered anew.
        "escrow": sorted({f"{one.get_kind_display()} (version {one.version})" for one in secrets}),
        "memberships": device.memberships.select_related("group"),
        **_commands(device, now=now),
    }


def _newest_answers(device: Device) -> list[Inventory]:
    """One of each kind, whichever enrollment it came by."""
    rows = Inventory.objects.filter(enrollment__device=device).defer("content").order_by("reported_at")
    return list({row.kind: row for row in rows}.values())


def _unreachable(device: Device) -> str:
    """Why Apple does not wake the device, in words; empty when nothing is known against it."""
    channel = device.enrollments.enrolled().device_channel().order_by("-pk").first()
    return UNREACHABLE.get(channel.push_state, "") if channel else ""


def _commands(device: Device, *, now: datetime) -> dict[str, Any]:
    """The newest commands, without the answered questions, of which there are thousands: those are only counted."""
    commands = Command.objects.filter(enrollment__device=device)
    answered = {"state": CommandState.ACKNOWLEDGED, "request_type__in": InventoryKind.values}
    shown = commands.exclude(**answered).select_related("enrollment").defer("params", "result")
    return {
        "commands": [
            {
                "row": row,
                "tone": COMMAND_TONES.get(row.state, ""),
                "words": COMMAND_WORDS.get(row.state, str(row.state)),
                "sentence": sentence(command_sentence(row, now=now)),
                "created": moment(row.created_at, now=now),
            }
            for row in shown.order_by("-pk")[:COMMANDS_SHOWN]
        ],
        "answered": commands.filter(**answered).count(),
    }
