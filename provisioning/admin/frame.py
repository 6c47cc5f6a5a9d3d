"""What the pages of provisioning share: who may see them, how ends are shown, and the frame around them.

Only what is shown; what a person does is `provisioning.acts`.
"""

from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from portal_ui.admin import ModelAdmin, moment
from provisioning.models import FINAL_STATES, Lineage, Renewal, RenewalState

CHANGE = "provisioning.change_lineage"
RUN = "provisioning.change_renewal"
UPLOAD = "provisioning.add_provisioningprofile"
RED, SOON = timedelta(days=14), timedelta(days=45)


def get_lineage(admin: ModelAdmin, request: HttpRequest, pk: int, *, right: str = "") -> Lineage:
    """The lineage, for those who have the right, or may see it. Raises PermissionDenied or Http404."""
    allowed = request.user.has_perm(right) if right else admin.has_view_permission(request)
    if not allowed:
        raise PermissionDenied
    rows = Lineage.objects.select_related("team", "current", "api_key__team", "canary_group")
    lineage = rows.defer("current__data", "api_key__private_key").filter(pk=pk).first()
    if lineage is None:
        raise Http404
    return lineage


def look_only(request: HttpRequest) -> None:
    """Pages that only show: what may be done there has addresses of its own. Raises PermissionDenied."""
    if request.method not in {"GET", "HEAD"}:
        raise PermissionDenied


def render(
    admin: ModelAdmin, request: HttpRequest, template: str, *, title: str, status: int = 200, **context: Any
) -> TemplateResponse:
    """A page inside the admin."""
    base = {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "title": title,
        "may_change": request.user.has_perm(CHANGE),
        "may_run": request.user.has_perm(RUN),
        "may_upload": request.user.has_perm(UPLOAD),
    }
    return TemplateResponse(request, f"provisioning/{template}", {**base, **context}, status=status)


def tone(ends: datetime | None, now: datetime) -> str:
    """How near an end is: the class of a pill or a bar."""
    if ends is None:
        return "note"
    return "bad" if ends - now < RED else "warn" if ends - now < SOON else "good"


def end_pill(ends: datetime | None, now: datetime) -> SafeString | str:
    """An end in words, with its tone."""
    if ends is None:
        return ""
    word = "ended" if ends <= now else "ends"
    return format_html('<span class="portal-pill portal-{}">{} {}</span>', tone(ends, now), word, moment(ends, now=now))


def state_pill(renewal: Renewal) -> SafeString:
    """A renewal's state in a word with its tone."""
    shown = "paused" if renewal.paused_at is not None else renewal.get_state_display()
    if renewal.state in {RenewalState.BLOCKED, RenewalState.REJECTED}:
        css = "bad"
    elif renewal.state == RenewalState.DONE:
        css = "good"
    else:
        css = "note" if renewal.state in FINAL_STATES else "warn"
    return format_html('<span class="portal-pill portal-{}">{}</span>', css, shown)
