"""What one step of a renewal does on the way to a checked new profile; `provisioning.waves` has those that follow.

Each step gets a renewal that it alone has claimed, makes its requests outside any transaction, and ends in one of
`provisioning.transitions`. Every step may be repeated after a crash: what it did before is looked for first.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from django.db import transaction

from protocol.errors import MobileprovisionError
from protocol.mobileprovision import ProvisioningProfile as ProfileFile
from protocol.mobileprovision import read_provisioning_profile
from provisioning import creating, keys, lineages, transitions, validation, waves
from provisioning.appstoreconnect import AppleProfile, AppStoreConnectError, Client, ErrorKind
from provisioning.context import Context
from provisioning.errors import ProvisioningError
from provisioning.models import Policy, ProvisioningProfile, Renewal, RenewalState, Source
from provisioning.timing import least_gain

# These fail again until somebody changes the App ID or the portal itself.
_NO_RETRY = {ErrorKind.CAPABILITY, ErrorKind.BUG}
_AGREEMENT_TRIES = 3


def take(renewal: Renewal, context: Context) -> None:
    """Do the step of the renewal's state."""
    _STEPS[RenewalState(renewal.state)](renewal, context)


# --- towards a new profile -----------------------------------------------------------------------------------------------


def _due(renewal: Renewal, context: Context) -> None:
    """Waiting for a person; the policy may have changed since."""
    if renewal.lineage.policy == Policy.AUTO:
        transitions.move(renewal, RenewalState.PLANNED, "The policy is to renew by itself now", now=context.now)
        return
    transitions.look_again(
        renewal, context.now, next_at=context.now + context.timing.retry_after(len(context.timing.back_off))
    )


def _planned(renewal: Renewal, context: Context) -> None:
    now, lineage = context.now, renewal.lineage
    if lineage.current_id != renewal.old_profile_id:
        transitions.move(renewal, RenewalState.SUPERSEDED, "Another profile has become the current one", now=now)
        return
    newer = _newer(renewal)
    if newer is not None:
        sentence = f"A newer profile is there already: {newer.name}"
        transitions.move(renewal, RenewalState.FETCHED, sentence, now=now, new_profile=newer)
        return
    if lineages.key_for(lineage) is None:
        sentence = f"There is no API key for the team {lineage.team}: add one, or upload the new profile."
        _block(renewal, ErrorKind.KEY, sentence, context=context)
        return
    name = renewal.planned_name or creating.plan_name(renewal, now=now)
    transitions.move(renewal, RenewalState.CREATING, f"The new profile will be “{name}”", now=now, planned_name=name)


def _newer(renewal: Renewal) -> ProvisioningProfile | None:
    """A profile of the lineage that would replace the old one and was not refused before: somebody renewed by hand."""
    old = renewal.old_profile
    gain = least_gain(created_at=old.created_at, ends=old.expires_at)
    refused = Renewal.objects.filter(lineage=renewal.lineage_id, state=RenewalState.REJECTED).exclude(new_profile=None)
    newer = renewal.lineage.profiles.filter(effective_end__gte=old.effective_end + gain, created_at__gt=old.created_at)
    return newer.exclude(pk__in=refused.values("new_profile")).defer("data").order_by("-effective_end").first()


def _creating(renewal: Renewal, context: Context) -> None:
    key = lineages.key_for(renewal.lineage)
    if key is None:
        _block(renewal, ErrorKind.KEY, "The API key was removed: add one, or upload the new profile.", context=context)
        return
    exchange: dict[str, Any] = {}
    try:
        with context.client_for(key) as client:
            try:
                result = creating.create(renewal, client, now=context.now, timing=context.timing)
            finally:
                exchange = _exchange(client)
    except AppStoreConnectError as error:
        keys.record_refusal(key.pk, error, now=context.now)
        _refused(renewal, error, context=context, details=exchange)
    except creating.CannotCreate as error:
        _block(renewal, error.kind, error.sentence, context=context, details=exchange)
    except ProvisioningError as error:
        _block(renewal, "content", error.reason, context=context)
    else:
        if isinstance(result, creating.Later):
            until = context.now + result.after
            transitions.wait(renewal, result.reason, now=context.now, until=until, kind=renewal.error_kind)
        else:
            keys.record_success(key.pk, now=context.now)
            _fetch(renewal, result, context=context, details=exchange)


def _exchange(client: Client) -> dict[str, Any]:
    last = client.last_exchange
    if last is None:
        return {}
    details = {
        "method": last.method, "path": last.path, "status": last.status, "milliseconds": last.milliseconds,
        "remaining": last.remaining, "apple_code": last.apple_code, "apple_error": last.apple_id,
    }  # fmt: skip
    return {name: value for name, value in details.items() if value not in {None, ""}}


def _refused(renewal: Renewal, error: AppStoreConnectError, *, context: Context, details: Mapping[str, Any]) -> None:
    """Apple did not do it: try again later, or stop for somebody."""
    now, timing = context.now, context.timing
    back_off = timing.retry_after(renewal.attempts + 1)
    if error.kind is ErrorKind.AGREEMENT and renewal.attempts < _AGREEMENT_TRIES:
        # Now and then Apple says so for no reason.
        back_off = timing.retry_after(len(timing.back_off))
    elif error.permanent or (error.kind is ErrorKind.NOT_FOUND and renewal.attempts):
        _block(renewal, error.kind, error.sentence, context=context, details=details)
        return
    pause = max(back_off, timedelta(seconds=min(error.retry_after or 0, 24 * 3600)))
    transitions.wait(renewal, error.sentence, now=now, until=now + pause, kind=error.kind, details=details)


def _block(
    renewal: Renewal, kind: str, sentence: str, *, context: Context, details: Mapping[str, Any] | None = None
) -> None:
    retry_at = None if kind in _NO_RETRY else context.now + context.timing.slow_retry
    transitions.block(renewal, kind, sentence, now=context.now, retry_at=retry_at, details=details)


def _blocked(renewal: Renewal, context: Context) -> None:
    """Somebody may have put it right: try where it stopped."""
    transitions.unblock(renewal, context.now)


def _fetch(renewal: Renewal, made: AppleProfile, *, context: Context, details: Mapping[str, Any]) -> None:
    """Keep what Apple made: bytes and resource id in one transaction."""
    now = context.now
    try:
        file = read_provisioning_profile(made.content or b"", roots=lineages.roots())
        if not _is_of(renewal, file):
            _reject(renewal, _compared(renewal, file, context=context), context=context, apple_id=made.id)
            return
        with transaction.atomic():
            row = lineages.adopt(file, source=Source.API, actor=None, now=now, apple_id=made.id)
            told = {**details, "apple_profile": made.id, "uuid": row.uuid}
            is_ours = transitions.move(
                renewal, RenewalState.FETCHED, f"Apple made the profile {made.name}", now=now, details=told,
                new_profile=row, apple_id=made.id,
            )  # fmt: skip
            if not is_ours:
                sentence = "Apple made a profile, but this renewal had gone on without it"
                transitions.tell(renewal, sentence, now=now, details=told)
    except MobileprovisionError as error:
        _block(renewal, "content", f"What Apple made cannot be used: {error}", context=context, details=details)
    except ProvisioningError as error:
        _block(renewal, "content", f"What Apple made cannot be used: {error.reason}", context=context, details=details)


def _is_of(renewal: Renewal, file: ProfileFile) -> bool:
    """Whether it belongs to the renewal's lineage; another one must not come to life by mistake."""
    lineage = renewal.lineage
    found = (file.team_identifier, file.application_identifier, file.kind.value, lineages.platform_of(file))
    return found == (lineage.team.identifier, lineage.application_identifier, lineage.kind, lineage.platform)


# --- the check -----------------------------------------------------------------------------------------------------------


def _fetched(renewal: Renewal, context: Context) -> None:
    if renewal.new_profile is None:
        transitions.move(renewal, RenewalState.PLANNED, "There is no new profile; starting again", now=context.now)
        return
    try:
        findings = _compared(renewal, lineages.read(renewal.new_profile), context=context)
    except AppStoreConnectError as error:
        _refused(renewal, error, context=context, details={})
        return
    except ProvisioningError as error:
        _block(renewal, "content", error.reason, context=context)
        return
    if validation.is_refused(findings):
        _reject(renewal, findings, context=context, apple_id=renewal.apple_id)
        return
    told = [finding.as_json() for finding in findings]
    sentence = f"The new profile fits ({len(findings)} remarks)" if findings else "The new profile fits"
    transitions.move(renewal, RenewalState.VALIDATED, sentence, now=context.now, findings=told)


def _compared(renewal: Renewal, file: ProfileFile, *, context: Context) -> list[validation.Finding]:
    old = lineages.read(renewal.old_profile)
    dismissed: list[str] = []
    key = lineages.key_for(renewal.lineage)
    if renewal.apple_id and key is not None and renewal.lineage.kind in creating.LISTED_KINDS:
        with context.client_for(key) as client:
            dismissed = creating.disabled_devices(client)
    return validation.compare(old, file, signing_sha256=frozenset(), now=context.now, dismissed=dismissed)


def _reject(renewal: Renewal, findings: list[validation.Finding], *, context: Context, apple_id: str) -> None:
    errors = [finding.sentence for finding in findings if finding.severity is validation.Severity.ERROR]
    transitions.move(
        renewal,
        RenewalState.REJECTED,
        f"Nothing is rolled out: {' '.join(errors)}",
        now=context.now,
        details={"apple_profile": apple_id, "keys": [finding.key for finding in findings]},
        findings=[finding.as_json() for finding in findings],
        apple_id=apple_id,
        error=" ".join(errors)[:1000],
    )


def _validated(renewal: Renewal, context: Context) -> None:
    transitions.move(
        renewal, RenewalState.CANARY, "It goes to the first devices", now=context.now, wave=1, wave_at=None
    )


_STEPS: Mapping[RenewalState, Callable[[Renewal, Context], None]] = {
    RenewalState.DUE: _due,
    RenewalState.PLANNED: _planned,
    RenewalState.CREATING: _creating,
    RenewalState.BLOCKED: _blocked,
    RenewalState.FETCHED: _fetched,
    RenewalState.VALIDATED: _validated,
    RenewalState.CANARY: waves.canary,
    RenewalState.ROLLING_OUT: waves.rolling_out,
    RenewalState.CLEANUP: waves.cleanup,
}
