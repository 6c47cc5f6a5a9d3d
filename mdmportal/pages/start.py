"""The dashboard: what needs somebody, then the fleet in numbers and pictures, each leading to the list behind it.

A fixed number of statements, all of them counts over stored columns; every part is for those who may see its list.
"""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Count, Min, Q, Sum
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from certificates.models import PushCertificate
from devices.models import Device, LadderState
from mdmportal.pages.expiry import RED_DAYS, endings
from operations.models import Alert, AuditEvent
from portal_ui.admin import moment
from portal_ui.charts import Share, bars, stacked, timeline
from profiles.models import Installation

ALERTS_SHOWN = 8
SYSTEMS_SHOWN = 8
EVENTS_SHOWN = 10
STATE_TONES = {Device.State.ENROLLED: "good", Device.State.PENDING: "warn", Device.State.UNENROLLED: "note"}
# The ladder in four steps that people think in.
LADDER_SHARES = (
    ("Installed", "good", (LadderState.INSTALLED,)),
    ("On the way", "warn", (LadderState.WAITING, LadderState.QUEUED, LadderState.SENT, LadderState.ACKNOWLEDGED)),
    ("Failed or missing", "bad", (LadderState.FAILED, LadderState.DRIFTED)),
    ("Being removed", "note", (LadderState.REMOVING,)),
)


def start_page(request: HttpRequest) -> HttpResponse:
    """GET /admin/"""
    now, may = timezone.now(), request.user.has_perm
    fleet = _fleet(now) if may("devices.view_device") else {}
    rollout = _rollout() if may("profiles.view_installation") else {}
    dots = endings(request, now)
    context = {
        "title": "Dashboard",
        "attention": _attention(request, fleet, rollout),
        "fleet": fleet,
        "rollout": rollout,
        "endings": timeline(dots, title="What ends in the next 180 days", red_days=RED_DAYS) if dots else "",
        "systems": _systems() if may("devices.view_device") else "",
        "events": _events(now) if may("operations.view_auditevent") else [],
        "may_invite": may("devices.add_invitation"),
    }
    return TemplateResponse(request, "pages/start.html", {**admin.site.each_context(request), **context})


def _fleet(now: datetime) -> dict[str, Any]:
    states = {f"state_{state}": Count("pk", filter=Q(state=state)) for state in Device.State.values}
    counted = Device.objects.aggregate(
        **states,
        total=Count("pk"),
        waiting=Sum("waiting_count", default=0),
        waiting_devices=Count("pk", filter=Q(waiting_count__gt=0)),
        failed_devices=Count("pk", filter=Q(failed_count__gt=0)),
        oldest=Min("oldest_waiting_at"),
    )
    where = reverse("admin:devices_device_changelist")
    shares = [
        Share(
            label.capitalize(),
            counted[f"state_{state}"],
            STATE_TONES[Device.State(state)],
            f"{where}?state__exact={state}",
        )
        for state, label in Device.State.choices
    ]
    return {
        **counted,
        "shares": shares,
        "bar": stacked(shares, title="Devices by state"),
        "oldest": moment(counted["oldest"], now=now) if counted["oldest"] else "",
    }


def _rollout() -> dict[str, Any]:
    rows = Installation.objects.exclude(state=LadderState.REMOVED).values_list("state").annotate(number=Count("pk"))
    counted = dict(rows)
    where = reverse("admin:profiles_installation_changelist")
    shares = [
        Share(label, sum(counted.get(state, 0) for state in states), tone, f"{where}?state__in={','.join(states)}")
        for label, tone, states in LADDER_SHARES
    ]
    total = sum(counted.values())
    failed = next(share for share in shares if share.tone == "bad")
    return {"total": total, "shares": shares, "failed": failed, "bar": stacked(shares, title="Installations by state")}


def _attention(request: HttpRequest, fleet: dict[str, Any], rollout: dict[str, Any]) -> list[dict[str, str]]:
    """What somebody has to do, worst first: tone, a word for it, the sentence, and one link with what it does."""
    rows: list[dict[str, str]] = []
    if request.user.has_perm("certificates.add_pushcertificate") and not _has_push_certificate():
        rows.append(_row("bad", "Missing", "No push certificate: devices cannot be woken or enrolled.",
                         url=reverse("push_certificate"), link="Upload"))  # fmt: skip
    if request.user.has_perm("operations.view_alert"):
        for alert in sorted(Alert.objects.filter(resolved_at=None).order_by("-raised_at")[:ALERTS_SHOWN], key=_is_mild):
            tone = "warn" if _is_mild(alert) else "bad"
            url = reverse("admin:operations_alert_change", args=[alert.pk])
            rows.append(_row(tone, alert.get_severity_display().capitalize(), alert.title, url=url, link="Look"))
    if fleet.get("failed_devices"):
        number = fleet["failed_devices"]
        words = "1 device has a failure." if number == 1 else f"{number} devices have a failure."
        rows.append(
            _row(
                "bad", "Failed", words, url=reverse("admin:devices_device_changelist") + "?trouble=failed", link="Look"
            )
        )
    if rollout and rollout["failed"].value:
        number = rollout["failed"].value
        words = (
            "1 installation failed or went missing."
            if number == 1
            else f"{number} installations failed or went missing."
        )
        rows.append(_row("bad", "Failed", words, url=rollout["failed"].url, link="Retry"))
    return rows


def _has_push_certificate() -> bool:
    return PushCertificate.objects.filter(replaced_at=None).exists()


def _is_mild(alert: Alert) -> bool:
    return alert.severity != Alert.Severity.CRITICAL


def _row(tone: str, word: str, sentence: str, *, url: str, link: str) -> dict[str, str]:
    return {"tone": tone, "word": word, "sentence": sentence, "url": url, "link": link}


def _systems() -> str:
    counted = Device.objects.filter(state=Device.State.ENROLLED).values_list("platform", "os_version")
    rows = counted.annotate(number=Count("pk")).order_by("-number", "platform", "os_version")[:SYSTEMS_SHOWN]
    shares = [Share(f"{platform} {version}".strip() or "not told yet", number) for platform, version, number in rows]
    return bars(shares, title="Enrolled devices by system", heads=("System", "Devices")) if shares else ""


def _events(now: datetime) -> list[dict[str, Any]]:
    rows = AuditEvent.objects.order_by("-pk")[:EVENTS_SHOWN]
    return [
        {
            "row": row,
            "when": moment(row.at, now=now),
            "url": reverse("admin:operations_auditevent_change", args=[row.pk]),
        }
        for row in rows
    ]
