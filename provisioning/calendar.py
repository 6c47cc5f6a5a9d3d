"""A calendar feed (RFC 5545): one event for each end of a lineage and of a certificate behind it.

No device is named. The address holds a secret of the account; a changed password makes it another one.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.utils.crypto import constant_time_compare, salted_hmac

from provisioning.models import Lineage

VIEW = "provisioning.view_lineage"
CONTENT_TYPE = "text/calendar; charset=utf-8"
_SALT = "provisioning.calendar.feed"
# Octets of a line, without its end (RFC 5545, 3.1).
_LINE = 75


def token_for(user: User) -> str:
    """The secret part of the address of this person's feed."""
    return f"{user.pk}-{_signature(user)}"


def user_of(token: str) -> User | None:
    """Whose feed a token opens: somebody who may still see lineages; None for everybody else. In constant time."""
    number, _, signature = token.partition("-")
    if not number.isascii() or not number.isdigit() or len(number) > 18:
        return None
    user: Any = get_user_model().objects.filter(pk=int(number), is_active=True, is_staff=True).first()
    if user is None or not constant_time_compare(_signature(user), signature) or not user.has_perm(VIEW):
        return None
    found: User = user
    return found


def _signature(user: User) -> str:
    return salted_hmac(_SALT, f"{user.pk}:{user.password}", algorithm="sha256").hexdigest()


def feed(now: datetime, *, host: str) -> str:
    """The ends of all active lineages as one calendar; `host` makes the events' identifiers ours."""
    rows = Lineage.objects.active().exclude(current=None).select_related("team", "current").defer("current__data")
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//MDM Portal//Provisioning//EN", "CALSCALE:GREGORIAN"]
    lines.append("X-WR-CALNAME:Provisioning profiles")
    for lineage in rows.order_by("effective_end", "pk"):
        for event in _events(lineage, now, host):
            lines += event
    return "".join(f"{folded}\r\n" for line in [*lines, "END:VCALENDAR"] for folded in _fold(line))


def _events(lineage: Lineage, now: datetime, host: str) -> Iterator[list[str]]:
    about = f"{lineage.application_identifier}, team {lineage.team.identifier}"
    if lineage.effective_end is not None:
        summary = f"{lineage}: provisioning profile ends"
        yield _event(f"lineage-{lineage.pk}@{host}", lineage.effective_end, summary=summary, about=about, now=now)
    for number, (end, name) in enumerate(_certificates(lineage.current.certificates if lineage.current else [])):
        summary = f"{lineage}: certificate ends, sign the app again"
        uid = f"lineage-{lineage.pk}-certificate-{number}@{host}"
        yield _event(uid, end, summary=summary, about=f"{about}; {name}", now=now)


def _certificates(rows: Iterable[dict[str, Any]]) -> list[tuple[datetime, str]]:
    return sorted((datetime.fromisoformat(str(row["not_after"])), str(row.get("common_name", ""))) for row in rows)


def _event(uid: str, at: datetime, *, summary: str, about: str, now: datetime) -> list[str]:
    return [
        "BEGIN:VEVENT",
        f"UID:{uid}",
        f"DTSTAMP:{_moment(now)}",
        f"DTSTART:{_moment(at)}",
        f"SUMMARY:{_escape(summary)}",
        f"DESCRIPTION:{_escape(about)}",
        "TRANSP:TRANSPARENT",
        "END:VEVENT",
    ]


def _moment(value: datetime) -> str:
    return f"{value.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _escape(text: str) -> str:
    """TEXT of RFC 5545, 3.3.11; control characters would end a line or worse."""
    text = text.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,").replace("\r\n", "\n").replace("\n", "\\n")
    return "".join(character for character in text if character.isprintable())


def _fold(line: str) -> Iterator[str]:
    """Lines of at most 75 octets, never cut within a character (3.1)."""
    piece, size = "", 0
    for character in line:
        octets = len(character.encode("utf-8", "replace"))
        if size + octets > _LINE:
            yield piece
            # A folded line begins with a space, which counts.
            piece, size = " ", 1
        piece, size = piece + character, size + octets
    yield piece
