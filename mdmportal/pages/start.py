"""The admin's start page: what the fleet is like in numbers, each leading to the list behind it."""

from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from certificates.models import CertificateAuthority, PushCertificate
from devices.models import Device, EnrollmentState, Identity
from operations.models import Alert

SOON = timedelta(days=60)


def start_page(request: HttpRequest) -> HttpResponse:
    """GET /admin/"""
    return admin.site.index(request, {"numbers": _numbers(request)})


def _numbers(request: HttpRequest) -> list[dict[str, Any]]:
    """Label, number and list of everything that this person may see."""
    now, user = timezone.now(), request.user
    rows: list[dict[str, Any]] = []
    if user.has_perm("devices.view_device"):
        rows += _devices()
    if user.has_perm("operations.view_alert"):
        rows.append(_row("Open alerts", Alert.objects.filter(resolved_at=None).count(), "operations_alert", bad=True,
                         query="resolved_at__isempty=1"))  # fmt: skip
    if user.has_perm("certificates.view_issuedcertificate"):
        rows += _expiring(now)
    return rows


def _devices() -> list[dict[str, Any]]:
    states = {f"state_{state}": Count("pk", filter=Q(state=state)) for state in Device.State.values}
    counted = Device.objects.aggregate(
        **states, waiting=Count("pk", filter=Q(waiting_count__gt=0)), failed=Count("pk", filter=Q(failed_count__gt=0))
    )
    rows = [
        _row(f"Devices {label.lower()}", counted[f"state_{state}"], "devices_device", query=f"state__exact={state}")
        for state, label in Device.State.choices
    ]
    waiting = _row("Devices with something waiting", counted["waiting"], "devices_device", query="trouble=waiting")
    failed = _row("Devices with a failure", counted["failed"], "devices_device", query="trouble=failed", bad=True)
    return [*rows, waiting, failed]


def _expiring(now: datetime) -> list[dict[str, Any]]:
    before = now + SOON
    identities = Identity.objects.filter(not_after__lt=before, enrollment__state=EnrollmentState.ENROLLED).count()
    push = PushCertificate.objects.expiring(before).count()
    authorities = CertificateAuthority.objects.filter(not_after__lt=before).count()
    return [
        _row("Push certificates ending in 60 days", push, "certificates_pushcertificate", bad=True),
        _row("Authorities ending in 60 days", authorities, "certificates_certificateauthority", bad=True),
        _row("Device identities ending in 60 days", identities, "devices_device", query="o=-12", bad=True),
    ]


def _row(label: str, number: int, where: str, *, query: str = "", bad: bool = False) -> dict[str, Any]:
    url = reverse(f"admin:{where}_changelist")
    return {"label": label, "number": number, "url": f"{url}?{query}" if query else url, "bad": bad and number > 0}
