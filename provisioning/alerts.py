"""Telling IT of provisioning: ends with coverage and stragglers, certificates, renewals that need somebody, keys.

One open alert per cause; whatever no longer holds is resolved. `follow` says it at once when a renewal changes,
`warn` is the job that says the rest and heals what was missed. Device names appear, UDIDs never.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import Max, QuerySet

from devices.models import Device
from operations import alerts
from operations.models import Alert
from provisioning import rollout
from provisioning.models import (
    ROLLING_STATES,
    ApiKey,
    KeyState,
    Lineage,
    Policy,
    Renewal,
    RenewalState,
)
from provisioning.timing import THRESHOLDS, Timing, from_settings, lead_of

_PREFIX = "provisioning:"
_CRITICAL_DAYS = 7
_NAMES = 20
_CERTIFICATE_DAYS = (60, 30, 14, 7)
_HORIZON = timedelta(days=90)
_NEEDS = {
    RenewalState.BLOCKED: "needs somebody",
    RenewalState.REJECTED: "was stopped: the new profile was refused",
}


@dataclass(frozen=True, slots=True)
class _Warning:
    key: str
    title: str
    text: str
    is_critical: bool = False
    path: str = ""


def follow(renewal: Renewal, now: datetime) -> None:
    """Raise the alert of a renewal that needs somebody, or resolve the ones it had."""
    warning = _of_renewal(renewal)
    stale = Alert.objects.filter(key__startswith=f"{_PREFIX}renewal:{renewal.lineage_id}:", resolved_at=None)
    if warning is not None:
        _raise(warning, now)
        stale = stale.exclude(key=warning.key)
    stale.update(resolved_at=now)


def warn(now: datetime) -> int:
    """Raise what is due and resolve what no longer holds; returns how many alerts hold."""
    lineages = list(Lineage.objects.active().exclude(current=None).select_related("current").defer("current__data"))
    renewals = _last_renewals()
    holding = [
        *(warning for lineage in lineages for warning in _ends(lineage, renewals.get(lineage.pk), now)),
        *(warning for lineage in lineages for warning in _certificates(lineage, now)),
        *(warning for renewal in renewals.values() if (warning := _of_renewal(renewal)) is not None),
        *(warning for renewal in renewals.values() if (warning := _late(renewal, now)) is not None),
        *map(_of_key, ApiKey.objects.filter(state=KeyState.FAILING).select_related("team").defer("private_key")),
    ]
    for warning in holding:
        _raise(warning, now)
    gone = Alert.objects.filter(key__startswith=_PREFIX, resolved_at=None)
    gone.exclude(key__in=[warning.key[:200] for warning in holding]).update(resolved_at=now)
    return len(holding)


def _raise(warning: _Warning, now: datetime) -> None:
    severity = Alert.Severity.CRITICAL if warning.is_critical else Alert.Severity.WARNING
    alerts.raise_alert(warning.key, warning.title, text=warning.text, now=now, severity=severity, path=warning.path)


def _last_renewals() -> dict[int, Renewal]:
    """The last renewal of each active lineage."""
    rows = Renewal.objects.filter(lineage__retired_at=None).select_related("lineage", "old_profile", "new_profile")
    rows = rows.defer("old_profile__data", "new_profile__data").order_by("lineage_id", "-pk")
    last: dict[int, Renewal] = {}
    for row in _open_or_rejected(rows):
        last.setdefault(row.lineage_id, row)
    return last


def _open_or_rejected(rows: "QuerySet[Renewal]") -> "QuerySet[Renewal]":
    latest = Lineage.objects.annotate(last=Max("renewals")).values("last")
    return rows.filter(pk__in=latest).exclude(state__in=[RenewalState.DONE, RenewalState.SUPERSEDED])


# --- ends --------------------------------------------------------------------------------------------------------------


def _ends(lineage: Lineage, renewal: Renewal | None, now: datetime) -> Iterator[_Warning]:
    """What apps run under ends soon: the current profile, or the old one where the new one has not arrived yet."""
    ends = lineage.effective_end
    is_rolling = renewal is not None and renewal.state in ROLLING_STATES
    if renewal is not None and is_rolling and rollout.stragglers(lineage).exists():
        ends = renewal.old_profile.effective_end
    profile = renewal.old_profile if renewal is not None else lineage.current
    if ends is None or profile is None:
        return
    # A profile whose whole life is a few days would only ever be critical: nobody is told before its last sixth.
    if ends - now > min(timedelta(days=THRESHOLDS[0]), (profile.expires_at - profile.created_at) / 6):
        return
    left = ends - now
    threshold = min(days for days in THRESHOLDS if left <= timedelta(days=days))
    yield _Warning(
        key=f"{_PREFIX}ends:{lineage.pk}:{ends:%Y%m%d}:{threshold}",
        title=f"{lineage} {'has ended' if left <= timedelta(0) else f'ends within {threshold} days'}",
        text=f"Apps under {lineage} run until {ends:%Y-%m-%d %H:%M} UTC. {_standing(lineage, renewal)}",
        is_critical=threshold <= _CRITICAL_DAYS,
    )


def _standing(lineage: Lineage, renewal: Renewal | None) -> str:
    """What is being done, how many devices are safe, and who is not."""
    state = renewal.get_state_display() if renewal is not None else "none has begun"
    parts = [f"Renewal: {state}."]
    is_rolling = renewal is not None and renewal.state in ROLLING_STATES
    if not is_rolling and lineage.policy == Policy.MANUAL:
        parts.append("Somebody must upload the new file.")
    coverage, which = rollout.coverage(lineage), "new" if is_rolling else "present"
    if coverage.devices:
        # Before there is a new one everybody needs it: how many there are says how much is at stake.
        parts.append(f"{coverage.current} of {coverage.devices} devices have the {which} profile.")
    names = [_name(one.device) for one in rollout.stragglers(lineage)[: _NAMES + 1]]
    if names:
        more = " and more" if len(names) > _NAMES else ""
        parts.append(f"Without it: {', '.join(names[:_NAMES])}{more}.")
    return " ".join(parts)


def _name(device: Device) -> str:
    return device.name or device.serial_number or f"device {device.pk}"


# --- certificates ------------------------------------------------------------------------------------------------------


def _certificates(lineage: Lineage, now: datetime) -> Iterator[_Warning]:
    """No renewal helps an app past its certificate: it must be signed again by then."""
    ends = [datetime.fromisoformat(str(one["not_after"])).astimezone(UTC) for one in _listed(lineage)]
    if not ends or lineage.effective_end is None:
        return
    last, lifetime = max(ends), from_settings().lifetime
    advice = f"The certificate behind {lineage} ends on {last:%Y-%m-%d}: the app must be signed again with a new one."
    thresholds = [days for days in _CERTIFICATE_DAYS if last - now <= timedelta(days=days)]
    if thresholds:
        yield _Warning(
            key=f"{_PREFIX}certificate:{lineage.pk}:{min(thresholds)}",
            title=f"The certificate of {lineage} ends within {min(thresholds)} days",
            text=advice,
            is_critical=min(thresholds) <= _CRITICAL_DAYS,
        )
    elif now >= lineage.effective_end - _HORIZON and last < lineage.effective_end + lifetime:
        yield _Warning(
            key=f"{_PREFIX}certificate:{lineage.pk}:horizon",
            title=f"The next renewal of {lineage} will be short",
            text=f"{advice} Until then a renewed profile ends with it.",
        )


def _listed(lineage: Lineage) -> list[dict[str, object]]:
    return list(lineage.current.certificates) if lineage.current is not None else []


# --- renewals and keys ---------------------------------------------------------------------------------------------------


def _of_renewal(renewal: Renewal) -> _Warning | None:
    """What somebody must do about a renewal; None when it goes by itself."""
    name, stem = str(renewal.lineage), f"{_PREFIX}renewal:{renewal.lineage_id}:{renewal.pk}"
    if renewal.state in _NEEDS:
        title = f"The renewal of {name} {_NEEDS[RenewalState(renewal.state)]}"
        sentences = [finding["sentence"] for finding in renewal.findings if finding.get("severity") == "error"]
        text = renewal.error or " ".join(sentences)
        return _Warning(f"{stem}:{renewal.state}:{renewal.error_kind}", title, text, is_critical=True)
    if renewal.paused_at is not None:
        return _Warning(f"{stem}:paused", f"The roll-out for {name} is paused", renewal.error or "Somebody paused it.")
    if renewal.state == RenewalState.DUE:
        what = "a new file must be uploaded" if renewal.lineage.policy == Policy.MANUAL else "it waits for approval"
        ends = f"{renewal.old_profile.effective_end:%Y-%m-%d}"
        text = f"Apps under {name} run until {ends}; until somebody acts, nothing is renewed."
        return _Warning(f"{stem}:due", f"The renewal of {name} is due: {what}", text)
    return None


def _late(renewal: Renewal, now: datetime) -> _Warning | None:
    """A renewal that still has no new profile when half of its lead is used up, and keeps trying."""
    if renewal.state not in {RenewalState.PLANNED, RenewalState.CREATING} or not renewal.error:
        return None
    old, timing = renewal.old_profile, from_settings()
    if now < old.effective_end - _half_lead(renewal, timing):
        return None
    return _Warning(
        key=f"{_PREFIX}late:{renewal.pk}",
        title=f"The renewal of {renewal.lineage} is late",
        text=f"It ends on {old.effective_end:%Y-%m-%d}, and Apple has made no new one yet: {renewal.error}",
        is_critical=True,
    )


def _half_lead(renewal: Renewal, timing: Timing) -> timedelta:
    old, days = renewal.old_profile, renewal.lineage.lead_days
    return lead_of(created_at=old.created_at, ends=old.effective_end, lead_days=days, timing=timing) / 2


def _of_key(key: ApiKey) -> _Warning:
    title = f"The API key {key} does not work"
    return _Warning(
        f"{_PREFIX}key:{key.pk}:{key.error_kind}", title, key.error or "Apple refuses it.", is_critical=True
    )
