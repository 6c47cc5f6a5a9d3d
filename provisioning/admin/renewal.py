"""Renewals: the list, and the page of one with its steps, what happened, what differs, and where the devices stand.

What is decided here is done by `provisioning.renewals`, which records it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from devices.models import Device, LadderState
from operations.confirmation import ask
from portal_ui.admin import ReadOnlyAdmin, moment_column
from portal_ui.charts import Share, stacked
from provisioning import renewals, rollout
from provisioning.admin.frame import RUN, look_only, render, state_pill
from provisioning.errors import ProvisioningRefused
from provisioning.models import (
    FINAL_STATES,
    ROLLING_STATES,
    Policy,
    ProvisioningInstallation,
    Renewal,
    RenewalEvent,
    RenewalState,
)

# In the order they are passed; the ends other than DONE stand at the step they were reached from.
STEPS = (
    (RenewalState.DUE, "Due"),
    (RenewalState.PLANNED, "Planned"),
    (RenewalState.CREATING, "Made at Apple"),
    (RenewalState.FETCHED, "Checked"),
    (RenewalState.VALIDATED, "Accepted"),
    (RenewalState.CANARY, "First devices"),
    (RenewalState.ROLLING_OUT, "All devices"),
    (RenewalState.CLEANUP, "Old one removed"),
    (RenewalState.DONE, "Done"),
)
_EVENTS = 200
_GROUPS = 40
_TONES = {LadderState.INSTALLED: "good", LadderState.FAILED: "bad", LadderState.DRIFTED: "bad"}
_DONE_WORDS = {
    "approve": "Approved: it goes on.",
    "pause": "Paused: no further device gets the new profile.",
    "resume": "It goes on.",
    "retry": "It is tried again.",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the bar: `state` is passed, here, stopped or ahead."""

    label: str
    state: str

    @property
    def words(self) -> str:
        """Its state for those who do not see the bar."""
        return {"passed": "done", "here": "now", "stopped": "stopped here", "ahead": "to come"}[self.state]


@admin.register(Renewal)
class RenewalAdmin(ReadOnlyAdmin):
    list_title = "Renewals"
    list_display = ["lineage", "standing", "why", "started", "next_step"]
    list_select_related = ["lineage"]
    list_filter = ["state", "lineage"]
    search_fields = ["lineage__name", "lineage__application_identifier"]
    ordering = ["-pk"]
    list_tabs = [("All", ""), ("Needs somebody", "state__in=blocked,due,rejected")]
    empty_words = "No renewals yet. One begins by itself before a profile ends, or by hand on the lineage's page."

    started = moment_column("started_at", "begun")
    next_step = moment_column("next_at", "next step")

    @admin.display(description="state", ordering="state")
    def standing(self, renewal: Renewal) -> SafeString:
        return state_pill(renewal)

    @admin.display(description="why")
    def why(self, renewal: Renewal) -> str:
        return renewal.error

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("<int:pk>/cancel/", wrap(never_cache(self.cancel_page)), name="provisioning_renewal_cancel"),
            path("<int:pk>/<str:act>/act/", require_POST(wrap(self.act)), name="provisioning_renewal_act"),
        ]
        return own + super().get_urls()

    def _renewal(self, request: HttpRequest, pk: int, *, right: str = "") -> Renewal:
        if not (request.user.has_perm(right) if right else self.has_view_permission(request)):
            raise PermissionDenied
        rows = Renewal.objects.select_related(
            "lineage__team", "old_profile", "new_profile", "started_by", "approved_by"
        ).defer("old_profile__data", "new_profile__data")
        renewal = rows.filter(pk=pk).first()
        if renewal is None:
            raise Http404
        return renewal

    # --- one renewal ------------------------------------------------------------------------------------------------

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        look_only(request)
        renewal = self._renewal(request, int(object_id) if object_id.isdecimal() else 0)
        events = list(RenewalEvent.objects.filter(renewal=renewal).order_by("-pk")[:_EVENTS])
        progress = rollout.progress(renewal) if renewal.new_profile_id is not None else None
        return render(
            self, request, "renewal.html", title=f"Renewal of {renewal.lineage}", renewal=renewal, now=timezone.now(),
            pill=state_pill(renewal), steps=steps_of(renewal, events), acts=acts_for(renewal), progress=progress,
            chart=_chart(progress) if progress is not None else "",
            events=[(event, details_in_words(event)) for event in events],
            groups=_groups(renewal), is_open=renewal.state not in FINAL_STATES,
        )  # fmt: skip

    def act(self, request: HttpRequest, pk: int, act: str) -> HttpResponse:
        """POST: approve, pause, resume or retry; each can be taken back by another."""
        renewal = self._renewal(request, pk, right=RUN)
        done: dict[str, Callable[..., None]] = {
            "approve": renewals.approve,
            "pause": renewals.pause,
            "resume": renewals.resume,
            "retry": renewals.retry,
        }
        if act not in done:
            raise Http404
        try:
            done[act](renewal, by=request.user, now=timezone.now())
        except ProvisioningRefused as error:
            messages.error(request, error.reason)
        else:
            messages.success(request, _DONE_WORDS[act])
        return redirect("admin:provisioning_renewal_change", pk)

    def cancel_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET says what stops, POST cancels."""
        renewal = self._renewal(request, pk, right=RUN)
        reached = ProvisioningInstallation.objects.filter(profile=renewal.new_profile_id).exclude(state="installed")
        devices = (
            Device.objects.filter(pk__in=reached.values("enrollment__device"))
            if renewal.new_profile_id
            else Device.objects.none()
        )
        ends = f"{renewal.old_profile.effective_end:%Y-%m-%d}"
        sentence = (
            f"Devices that have the new profile keep it, those listed here do not get it. Apps under the old one run until "
            f"{ends}. It is not renewed again by itself: somebody must start the next renewal."
        )
        answer = ask(
            self, request, queryset=devices, action="cancel", title=f"Cancel the renewal of {renewal.lineage}",
            sentence=sentence,
        )  # fmt: skip
        if isinstance(answer, HttpResponse):
            return answer
        try:
            renewals.cancel(renewal, by=request.user, now=timezone.now(), reason=answer.reason)
        except ProvisioningRefused as error:
            messages.error(request, error.reason)
        else:
            messages.success(request, "The renewal is cancelled.")
        return redirect("admin:provisioning_renewal_change", pk)


def steps_of(renewal: Renewal, events: list[RenewalEvent]) -> list[Step]:
    """The bar: which steps are passed, where it is, and what is ahead. `events` are the newest first."""
    order = [state.value for state, _ in STEPS]
    state = renewal.blocked_state if renewal.state == RenewalState.BLOCKED else renewal.state
    is_stopped = renewal.state in {RenewalState.BLOCKED, *FINAL_STATES} and renewal.state != RenewalState.DONE
    if state not in order:
        # An end: it stands where it was before.
        state = next((event.state for event in events if event.state in order), RenewalState.DUE.value)
    here = order.index(state)
    steps = []
    for place, (_, label) in enumerate(STEPS):
        if place < here or renewal.state == RenewalState.DONE:
            steps.append(Step(label, "passed"))
        elif place == here:
            steps.append(Step(label, "stopped" if is_stopped else "here"))
        else:
            steps.append(Step(label, "ahead"))
    return steps


def acts_for(renewal: Renewal) -> list[tuple[str, str]]:
    """Name and label of what may be done now, the most likely first."""
    found = []
    if renewal.state == RenewalState.DUE and renewal.lineage.policy != Policy.MANUAL:
        found.append(("approve", "Approve"))
    if renewal.state in ROLLING_STATES and renewal.paused_at is not None:
        found.append(("resume", "Go on"))
    waits = renewal.state in {RenewalState.PLANNED, RenewalState.CREATING} and renewal.error
    if renewal.state == RenewalState.BLOCKED or waits:
        found.append(("retry", "Try again now"))
    if renewal.state in {RenewalState.CANARY, RenewalState.ROLLING_OUT} and renewal.paused_at is None:
        found.append(("pause", "Pause"))
    return found


def details_in_words(event: RenewalEvent) -> str:
    """What Apple said beside the sentence: codes and numbers, for its support."""
    return ", ".join(
        f"{str(name).replace('_', ' ')} {value}" for name, value in event.details.items() if value not in ("", None)
    )


def _chart(progress: rollout.Progress) -> SafeString:
    shares = [
        Share("have it", progress.installed, "good"),
        Share("failed", progress.failed, "bad"),
        Share("waiting", progress.waiting, "note"),
    ]
    return stacked(shares, title="Devices by how far the new profile got")


def _groups(renewal: Renewal) -> list[tuple[SafeString, str, int, str]]:
    """Devices by state and reason, the largest group first: pill, reason, how many, where they are listed."""
    if renewal.new_profile_id is None:
        return []
    rows: QuerySet[Any] = ProvisioningInstallation.objects.filter(profile=renewal.new_profile_id, wanted=True)
    counted = rows.values_list("state", "reason").annotate(n=Count("pk")).order_by("-n", "state", "reason")[:_GROUPS]
    base = reverse("admin:provisioning_provisioninginstallation_changelist")
    return [
        (
            format_html('<span class="portal-pill portal-{}">{}</span>', _TONES.get(state, "warn"), state),
            reason,
            number,
            f"{base}?profile__id__exact={renewal.new_profile_id}&state__exact={state}",
        )
        for state, reason, number in counted
    ]
