"""The end of an enrollment: by CheckOut, or because a newer one of the same device replaced it.

The row, its identities, secrets, commands and inventory stay as history; nothing is handed out or pushed any more.
What the layers above keep about it (installations) they end themselves, by the ids that are returned.
"""

from datetime import datetime

from django.db.models import Q

from devices import commands
from devices.identities import OPEN_STATES
from devices.models import Command, Device, Enrollment, EnrollmentState, PushState, Verdict


def end(enrollment: Enrollment, state: EnrollmentState, *, now: datetime, reason: str) -> tuple[int, ...]:
    """End a channel and the user channels below it; the primary keys of those that were still open."""
    family = Enrollment.objects.filter(Q(pk=enrollment.pk) | Q(parent=enrollment), state__in=OPEN_STATES)
    ended = tuple(family.order_by("pk").values_list("pk", flat=True))
    Enrollment.objects.filter(pk__in=ended).update(
        state=state,
        ended_at=now,
        token=b"",
        push_magic="",
        push_state=PushState.NO_TOKEN,
        push_reason="",
        next_push_at=None,
    )
    commands.cancel(Command.objects.filter(enrollment__in=ended), now=now, reason=reason)
    Verdict.objects.filter(enrollment__in=ended).update(next_poll_at=None, deadline=None)
    return ended


def refresh_state(device: Device, reason: str) -> None:
    """Show whether the device still has an enrolled device channel; `reason` says why when it has none."""
    channels = Enrollment.objects.filter(device=device, parent=None)
    if channels.filter(state=EnrollmentState.ENROLLED).exists():
        state, reason = Device.State.ENROLLED, ""
    elif channels.filter(state=EnrollmentState.PENDING).exists():
        state, reason = Device.State.PENDING, "Waiting for the device's first TokenUpdate."
    else:
        state = Device.State.UNENROLLED
    Device.objects.filter(pk=device.pk).update(state=state, state_reason=reason)
