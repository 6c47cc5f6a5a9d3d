"""The roll-out of a checked profile: the first devices, then waves, then the end of the old one.

Steps as in `provisioning.steps`; who gets a command when is `provisioning.rollout`. A wave only says whom we wake.
Devices that do not come hold nobody up, and the old profile goes from none that has not proved the new one.
"""

from datetime import datetime
from typing import Any

from django.db import transaction

from devices.models import EnrollmentState
from provisioning import creating, lineages, rollout, transitions
from provisioning.appstoreconnect import AppStoreConnectError, Client
from provisioning.context import Context
from provisioning.errors import ProvisioningError
from provisioning.models import ListedProvisioningProfile, Renewal, RenewalEvent, RenewalState
from provisioning.rollout import Progress

# Of a hundred devices; and how many at least, so that one of three does not stop everybody.
_MOST_FAILED, _LEAST_FAILED = 5, 3
# Soaks after which the others follow though no canary has come: all of them may be on holiday.
_SILENT_CANARY = 3


def canary(renewal: Renewal, context: Context) -> None:
    now, timing = context.now, context.timing
    if renewal.wave_at is None:
        targets = rollout.begin(renewal, now, waves=timing.waves)
        awake = rollout.open_wave(renewal, now)
        details = {"targets": targets, "woken": awake}
        sentence = f"Queued for {targets} devices; {awake} of them are woken first"
        transitions.move(renewal, RenewalState.CANARY, sentence, now=now, details=details, wave_at=now)
        return
    progress = rollout.progress(renewal)
    if _stopped(renewal, progress, failed=progress.awake_failed, limit=1, context=context):
        return
    soak = timing.soak(renewal.wave_at, renewal.old_profile.effective_end)
    if progress.targets and now < renewal.wave_at + soak * (1 if progress.installed else _SILENT_CANARY):
        _look_again(renewal, context)
        return
    sentence = f"{progress.installed} of {progress.targets} devices have proved it; the others follow"
    if progress.targets and not progress.installed:
        sentence = "None of the first devices has come yet, and none refused it; the others follow"
    with transaction.atomic():
        is_ours = transitions.move(
            renewal, RenewalState.ROLLING_OUT, sentence, now=now, details=_counts(progress), wave=2, wave_at=None
        )
        if is_ours and renewal.new_profile is not None:
            # From here on whoever enrolls gets the new one, and the lineage's end is the new one's.
            lineages.set_current(renewal.lineage, renewal.new_profile)


def rolling_out(renewal: Renewal, context: Context) -> None:
    now, timing = context.now, context.timing
    if renewal.wave_at is None:
        awake = rollout.open_wave(renewal, now)
        sentence = f"Wave {renewal.wave - 1} of {len(timing.waves)}: {awake} devices are woken"
        transitions.move(renewal, RenewalState.ROLLING_OUT, sentence, now=now, details={"woken": awake}, wave_at=now)
        return
    progress, ends = rollout.progress(renewal), renewal.old_profile.effective_end
    limit = max(_LEAST_FAILED, progress.installed * _MOST_FAILED // (100 - _MOST_FAILED) + 1)
    if _stopped(renewal, progress, failed=progress.failed, limit=limit, context=context):
        return
    if progress.installed == progress.targets:
        _clean(renewal, f"All {progress.targets} devices have proved it", progress, context=context)
    elif now >= ends + timing.cleanup_after or _is_due_again(renewal, now):
        left = progress.targets - progress.installed
        _clean(renewal, f"The old one has ended; {left} devices have not proved the new one", progress, context=context)
    elif renewal.wave <= len(timing.waves) and now >= renewal.wave_at + timing.interval(renewal.wave_at, ends):
        sentence = f"{progress.installed} of {progress.targets} devices have proved it; the next wave follows"
        transitions.move(
            renewal, RenewalState.ROLLING_OUT, sentence, now=now, details=_counts(progress), wave=renewal.wave + 1,
            wave_at=None,
        )  # fmt: skip
    else:
        _look_again(renewal, context)


def _stopped(renewal: Renewal, progress: Progress, *, failed: int, limit: int, context: Context) -> bool:
    """Pause when too many refused it since somebody last said to go on."""
    if failed - accepted_failures(renewal) < limit:
        return False
    sentence = f"{failed} devices refused the new profile: look at their reasons, then resume or cancel."
    if transitions.pause(renewal, sentence, now=context.now, details=_counts(progress)):
        rollout.replan(renewal)
    return True


def accepted_failures(renewal: Renewal) -> int:
    """How many refusals somebody has seen and resumed in spite of."""
    resumed = RenewalEvent.objects.filter(renewal=renewal, details__has_key="accepted_failures").last()
    return int(resumed.details["accepted_failures"]) if resumed is not None else 0


def _clean(renewal: Renewal, sentence: str, progress: Progress, *, context: Context) -> None:
    transitions.move(renewal, RenewalState.CLEANUP, sentence, now=context.now, details=_counts(progress), wave_at=None)


def cleanup(renewal: Renewal, context: Context) -> None:
    """The old one goes from each device that has proved the new one; last of all it may go at Apple."""
    now = context.now
    if renewal.wave_at is None:
        rollout.replan(renewal)
        transitions.move(renewal, RenewalState.CLEANUP, "The old one is being removed", now=now, wave_at=now)
        return
    old = renewal.old_profile
    listed = ListedProvisioningProfile.objects.filter(
        uuid_key=old.uuid_key, enrollment__state=EnrollmentState.ENROLLED
    ).count()
    if listed and now < renewal.wave_at + context.timing.cleanup_after and not _is_due_again(renewal, now):
        _look_again(renewal, context)
        return
    progress = rollout.progress(renewal)
    told = f"; {listed} devices still list the old one" if listed else ""
    if renewal.lineage.delete_at_apple and not _delete_at_apple(renewal, progress, context=context):
        return
    details = _counts(progress)
    transitions.move(renewal, RenewalState.DONE, f"Renewed{told}", now=now, details=details)


def _delete_at_apple(renewal: Renewal, progress: Progress, *, context: Context) -> bool:
    """Delete the old profile in the portal when nobody can need it; False when that will be tried again."""
    now, key = context.now, lineages.key_for(renewal.lineage)
    if progress.installed < progress.targets or key is None:
        transitions.tell(renewal, "The old profile stays at Apple: not every device has the new one", now=now)
        return True
    try:
        with context.client_for(key) as client:
            apple_id = renewal.old_profile.apple_id or _find_at_apple(renewal, client)
            if apple_id:
                client.delete_profile(apple_id)
                transitions.tell(
                    renewal, "The old profile was deleted at Apple", now=now, details={"apple_profile": apple_id}
                )
    except AppStoreConnectError as error:
        if not error.permanent and renewal.attempts < len(context.timing.back_off):
            pause = context.timing.retry_after(renewal.attempts + 1)
            transitions.wait(renewal, error.sentence, now=now, until=now + pause, kind=error.kind)
            return False
        transitions.tell(renewal, f"The old profile stays at Apple: {error.sentence}", now=now)
    except (creating.CannotCreate, ProvisioningError):
        transitions.tell(renewal, "The old profile was not found at Apple", now=now)
    return True


def _find_at_apple(renewal: Renewal, client: Client) -> str:
    bundle_id = creating.find_bundle_id(client, lineages.read(renewal.old_profile))
    wanted = renewal.old_profile.uuid_key
    listed = client.profiles_of_bundle_id(bundle_id.id)
    return next((one.id for one in listed if one.uuid.casefold() == wanted), "")


def _is_due_again(renewal: Renewal, now: datetime) -> bool:
    """The new profile is itself due: this run must not stand in the way of the next."""
    lineage = renewal.lineage
    is_current = lineage.current_id == renewal.new_profile_id
    return is_current and lineage.renew_at is not None and lineage.renew_at <= now


def _look_again(renewal: Renewal, context: Context) -> None:
    transitions.look_again(renewal, context.now, next_at=context.now + context.timing.poll_interval)


def _counts(progress: Progress) -> dict[str, Any]:
    return {
        "targets": progress.targets,
        "installed": progress.installed,
        "failed": progress.failed,
        "waiting": progress.waiting,
    }
