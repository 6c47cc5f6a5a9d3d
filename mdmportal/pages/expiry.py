"""Everything that ends, from all apps, on one line: push certificates, authorities, identities, provisioning profiles."""

from datetime import datetime

from django.http import HttpRequest
from django.urls import reverse

from certificates.models import CertificateAuthority, PushCertificate
from devices.models import EnrollmentState, Identity
from portal_ui.charts import Dot
from provisioning.models import Lineage

RED_DAYS, WARN_DAYS = 14, 60
SHOWN = 12


def endings(request: HttpRequest, now: datetime) -> list[Dot]:
    """What this person may see, the nearest end first; identities as one dot, for there are thousands."""
    found: list[Dot] = []
    if request.user.has_perm("certificates.view_pushcertificate"):
        for row in PushCertificate.objects.filter(replaced_at=None).only("topic", "not_after"):
            address = reverse("admin:certificates_pushcertificate_change", args=[row.pk])
            found.append(_dot(f"Push certificate {row.topic}", row.not_after, now=now, url=address))
    if request.user.has_perm("certificates.view_certificateauthority"):
        for authority in CertificateAuthority.objects.only("name", "not_after"):
            address = reverse("admin:certificates_certificateauthority_change", args=[authority.pk])
            found.append(_dot(f"Authority {authority.name}", authority.not_after, now=now, url=address))
    if request.user.has_perm("devices.view_device"):
        enrolled = Identity.objects.filter(enrollment__state=EnrollmentState.ENROLLED)
        first = enrolled.order_by("not_after").values_list("not_after", flat=True).first()
        if first is not None:
            found.append(_dot("First device identity", first, now=now, url=reverse("admin:devices_device_changelist")))
    if request.user.has_perm("provisioning.view_lineage"):
        nearest = Lineage.objects.active().exclude(effective_end=None).order_by("effective_end")
        for lineage in nearest.only("name", "effective_end")[:SHOWN]:
            if lineage.effective_end is not None:
                address = reverse("admin:provisioning_lineage_change", args=[lineage.pk])
                found.append(_dot(f"Provisioning profile {lineage}", lineage.effective_end, now=now, url=address))
    return sorted(found, key=lambda dot: dot.days)[:SHOWN]


def _dot(label: str, ends: datetime, *, now: datetime, url: str) -> Dot:
    days = (ends - now).days
    tone = "bad" if days < RED_DAYS else "warn" if days < WARN_DAYS else "good"
    return Dot(label, days, url=url, tone=tone)
