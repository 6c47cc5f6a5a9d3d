"""The page of one lineage: its line of profiles, where each is, who is left without, and what may be done about it."""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from devices.models import Device, Enrollment, LadderState
from operations.confirmation import ask
from portal_ui.admin import ModelAdmin
from portal_ui.charts import Share, stacked
from provisioning import lineages, renewals, rollout, vendor_mail
from provisioning.admin.frame import RUN, get_lineage, look_only, render, state_pill
from provisioning.errors import ProvisioningRefused, UnreadableProfile
from provisioning.models import (
    AppBundle,
    Lineage,
    ListedProvisioningProfile,
    Policy,
    ProvisioningInstallation,
    ProvisioningProfile,
    Renewal,
)

SHOWN = 50
_ON_THE_WAY = [LadderState.WAITING, LadderState.QUEUED, LadderState.SENT, LadderState.ACKNOWLEDGED]


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """One profile of the line, and on how many devices it is."""

    profile: ProvisioningProfile
    is_current: bool
    installed: int
    waiting: int
    failed: int
    listed: int


@dataclass(frozen=True, slots=True)
class Straggler:
    """A device without the wanted profile, and why."""

    enrollment: Enrollment
    state: str
    reason: str


def lineage_page(admin: ModelAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """GET shows everything about one lineage."""
    look_only(request)
    lineage, now = get_lineage(admin, request, pk), timezone.now()
    profiles = list(lineage.profiles.defer("data").order_by("-created_at", "-pk"))
    runs = list(Renewal.objects.filter(lineage=lineage).order_by("-pk")[:10])
    current = next((row for row in profiles if row.pk == lineage.current_id), None)
    found, more = _stragglers(lineage)
    context: dict[str, Any] = {
        "lineage": lineage,
        "now": now,
        "rows": _profile_rows(lineage, profiles),
        "open_renewal": next((row for row in runs if row.finished_at is None), None),
        "renewals": [(row, state_pill(row)) for row in runs],
        "certificates": _certificates(current),
        "coverage": rollout.coverage(lineage),
        "stragglers": found,
        "more_stragglers": more,
        "apps": _apps(lineage),
        "assignments": list(lineage.assignments.select_related("group").order_by("group__name")),
        "mail": _mail(lineage),
    }
    context["coverage_chart"] = _coverage_chart(context["coverage"])
    return render(admin, request, "lineage.html", title=str(lineage), **context)


def _profile_rows(lineage: Lineage, profiles: Sequence[ProvisioningProfile]) -> list[ProfileRow]:
    """How far each profile got, in two statements for the whole line."""
    on_ladder = ProvisioningInstallation.objects.filter(lineage=lineage).values("profile_id").annotate(
        installed=Count("pk", filter=Q(state=LadderState.INSTALLED)),
        waiting=Count("pk", filter=Q(state__in=_ON_THE_WAY, wanted=True)),
        failed=Count("pk", filter=Q(state__in=[LadderState.FAILED, LadderState.DRIFTED], wanted=True)),
    )  # fmt: skip
    counted: dict[int, Any] = {row["profile_id"]: row for row in on_ladder.order_by()}
    keys = [profile.uuid_key for profile in profiles]
    listed = ListedProvisioningProfile.objects.filter(uuid_key__in=keys).values_list("uuid_key")
    lists = Counter(dict(listed.annotate(n=Count("pk")).order_by()))
    rows = []
    for profile in profiles:
        on_devices = counted.get(profile.pk, {})
        rows.append(
            ProfileRow(
                profile,
                profile.pk == lineage.current_id,
                installed=on_devices.get("installed", 0),
                waiting=on_devices.get("waiting", 0),
                failed=on_devices.get("failed", 0),
                listed=lists[profile.uuid_key],
            )
        )
    return rows


def _certificates(profile: ProvisioningProfile | None) -> list[dict[str, Any]]:
    if profile is None:
        return []
    rows = [{**row, "ends": datetime.fromisoformat(str(row["not_after"]))} for row in profile.certificates]
    return sorted(rows, key=lambda row: row["ends"])


def _coverage_chart(coverage: rollout.Coverage) -> str:
    shares = [
        Share("have the wanted profile", coverage.current, "good"),
        Share("have only another one", coverage.only_old, "warn"),
        Share("list none", coverage.none, "bad"),
    ]
    return stacked(shares, title="Devices by the profile they hold")


def _stragglers(lineage: Lineage) -> tuple[list[Straggler], int]:
    """The first devices without the wanted profile, and how many more there are."""
    wanted = rollout.wanted_profile(lineage)
    if wanted is None:
        return [], 0
    waiting = rollout.stragglers(lineage)
    shown = list(waiting[:SHOWN])
    total = len(shown) if len(shown) < SHOWN else waiting.count()
    return _with_reasons(shown, wanted.pk), total - len(shown)


def _with_reasons(enrollments: Sequence[Enrollment], profile_id: int) -> list[Straggler]:
    rows = ProvisioningInstallation.objects.filter(profile=profile_id, enrollment__in=enrollments)
    by_enrollment = {row.enrollment_id: row for row in rows}
    found = []
    for enrollment in enrollments:
        row = by_enrollment.get(enrollment.pk)
        state, reason = (row.state, row.reason) if row is not None else (LadderState.WAITING, "Not planned yet")
        found.append(Straggler(enrollment, state, reason))
    return found


def _apps(lineage: Lineage) -> list[AppBundle]:
    """The newest uploaded bundle of each app under this lineage."""
    rows = AppBundle.objects.filter(lineage=lineage).select_related("version__app", "profile").defer("profile__data")
    newest: dict[tuple[int, str], AppBundle] = {}
    for row in rows.order_by("-version__uploaded_at", "-pk")[:200]:
        newest.setdefault((row.version.app_id, row.bundle_identifier), row)
    return list(newest.values())


def _mail(lineage: Lineage) -> str:
    """The letter to whoever makes the files, where somebody must ask for them."""
    if lineage.policy != Policy.MANUAL or lineage.current_id is None:
        return ""
    try:
        # The page's own row comes without its bytes.
        return vendor_mail.write(lineage, lineages.read(ProvisioningProfile.objects.get(pk=lineage.current_id)))
    except UnreadableProfile:
        return ""


def stragglers_csv(admin: ModelAdmin, request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """GET: all devices without the wanted profile, as a table. Names and serial numbers, no UDIDs."""
    lineage = get_lineage(admin, request, pk)
    response = StreamingHttpResponse(_csv_lines(lineage), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="stragglers-{lineage.pk}.csv"'
    return response


class _Echo:
    """A file that gives back what is written to it."""

    def write(self, text: str) -> str:
        return text


def _csv_lines(lineage: Lineage) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield writer.writerow(["device", "serial number", "last seen", "state", "reason"])
    wanted = rollout.wanted_profile(lineage)
    if wanted is None:
        return
    chunk: list[Enrollment] = []
    for enrollment in rollout.stragglers(lineage).iterator(chunk_size=500):
        chunk.append(enrollment)
        if len(chunk) == 500:
            yield from _csv_rows(writer, chunk, wanted.pk)
            chunk = []
    yield from _csv_rows(writer, chunk, wanted.pk)


def _csv_rows(writer: Any, enrollments: Sequence[Enrollment], profile_id: int) -> Iterator[str]:
    for row in _with_reasons(enrollments, profile_id):
        device, seen = row.enrollment.device, row.enrollment.last_seen_at
        cells = [
            str(device),
            device.serial_number,
            f"{seen:%Y-%m-%d %H:%M}" if seen else "never",
            row.state,
            row.reason,
        ]
        yield writer.writerow([_cell(cell) for cell in cells])


def _cell(text: str) -> str:
    # A device names itself: spreadsheets would run what begins like this as a formula.
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


def renew_page(admin: ModelAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """GET says what renewing now would do, POST begins it."""
    lineage = get_lineage(admin, request, pk, right=RUN)
    devices = Device.objects.filter(pk__in=rollout.targets(lineage).values("device"))
    way = {
        Policy.AUTO: "The portal makes a new profile at Apple now, checks it, and rolls it out by itself.",
        Policy.PROPOSE: "The portal makes a new profile at Apple now, checks it, and rolls it out: this is the approval.",
        Policy.MANUAL: "A renewal is opened. It waits for the new file: upload it on the lineage's page.",
    }
    sentence = f"{way[Policy(lineage.policy)]} The old profile stays on every device until the new one is proved there."
    answer = ask(admin, request, queryset=devices, action="renew", title=f"Renew {lineage} now", sentence=sentence)
    if isinstance(answer, HttpResponse):
        return answer
    try:
        renewal = renewals.start(lineage, by=request.user, now=timezone.now(), reason=answer.reason)
    except ProvisioningRefused as error:
        messages.error(request, error.reason)
        return redirect("admin:provisioning_lineage_change", pk)
    messages.success(request, "The renewal has begun.")
    return redirect(reverse("admin:provisioning_renewal_change", args=[renewal.pk]))
