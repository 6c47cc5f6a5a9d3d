"""Raising and resolving alerts; `operations.tasks` delivers them by mail and signed webhook."""

from datetime import datetime

from operations.models import Alert


def raise_alert(
    key: str, title: str, *, text: str, now: datetime, severity: str = Alert.Severity.WARNING, path: str = ""
) -> bool:
    """Open an alert for `key` unless one is open already; True when it is new."""
    fresh = Alert(key=key[:200], title=title[:255], text=text, severity=severity, path=path, raised_at=now)
    # ignore_conflicts closes the race of two workers that see the same cause: the unique key lets one through.
    before = Alert.objects.filter(key=fresh.key, resolved_at=None).exists()
    if before:
        return False
    Alert.objects.bulk_create([fresh], ignore_conflicts=True)
    return True


def resolve(key: str, *, now: datetime) -> int:
    """Close the open alert of `key`, if there is one."""
    return Alert.objects.filter(key=key[:200], resolved_at=None).update(resolved_at=now)
