"""Pictures of numbers as inline SVG, drawn on the server: no script, no style attribute, and a table with the same facts.

Widths are percentages and text keeps its size, so that a picture is readable at any width. Colours come from
blocks.css by the tone (`good`, `warn`, `bad`, `note`), which never says anything that no word says too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

ROW = 38
AXIS = 26


@dataclass(frozen=True, slots=True)
class Dot:
    """Something that ends in `days` (negative: ended already)."""

    label: str
    days: int
    url: str = ""
    tone: str = "good"

    @property
    def words(self) -> str:
        if self.days < 0:
            return f"ended {-self.days} {_days(-self.days)} ago"
        return f"{self.days} {_days(self.days)}"


@dataclass(frozen=True, slots=True)
class Share:
    """A number with its name; `url` leads to what was counted."""

    label: str
    value: int
    tone: str = "note"
    url: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """Something that holds from `start` to `end`."""

    start: datetime
    end: datetime
    words: str
    tone: str = "good"


@dataclass(frozen=True, slots=True)
class Lane:
    """One line of bars; `marks` are moments with their words."""

    label: str
    words: str
    bars: Sequence[Bar]
    marks: Sequence[tuple[datetime, str]] = ()
    url: str = ""


def _days(number: int) -> str:
    return "day" if number == 1 else "days"


def timeline(dots: Sequence[Dot], *, title: str, days: int = 180, red_days: int = 14) -> SafeString:
    """Dots on one axis of `days`; the first `red_days` are marked. Later ones stand at the end."""
    height = AXIS + ROW * len(dots) + 6
    parts = [
        _rect(x=0, y=AXIS, width=100 * red_days / days, height=height - AXIS, css="portal-chart-zone"),
        *(_tick(100 * day / days, day, height) for day in range(0, days + 1, 30)),
        *(_dot(dot, AXIS + ROW * number, days) for number, dot in enumerate(dots)),
    ]
    rows = [(dot.label, dot.words) for dot in dots]
    return _picture(parts, title=title, height=height, heads=("What", "Ends in"), rows=rows)


def _tick(x: float, day: int, height: int) -> SafeString:
    anchor = "start" if x == 0 else "end" if x == 100 else "middle"
    return format_html(
        '<line x1="{0}%" x2="{0}%" y1="{1}" y2="{2}" class="portal-chart-line"/>'
        '<text x="{0}%" y="15" text-anchor="{3}" class="portal-chart-quiet">{4}</text>',
        _number(x), AXIS - 5, height, anchor, "today" if day == 0 else f"{day} d",
    )  # fmt: skip


def _dot(dot: Dot, y: int, days: int) -> SafeString:
    x = 100 * min(max(dot.days, 0), days) / days
    drawn = format_html(
        '<text x="4" y="{0}">{1} <tspan class="portal-chart-strong">{2}</tspan></text>'
        '<line x1="4" x2="{3}%" y1="{4}" y2="{4}" class="portal-chart-way portal-chart-{5}"/>'
        '<circle cx="{3}%" cy="{4}" r="5" class="portal-chart-{5}"/>',
        y + 15, _short(dot.label), dot.words, _number(min(max(x, 1), 99)), y + 26, dot.tone,
    )  # fmt: skip
    return (
        format_html('<a href="{}"><title>{}: {}</title>{}</a>', dot.url, dot.label, dot.words, drawn)
        if dot.url
        else drawn
    )


def lanes(rows: Sequence[Lane], *, title: str, now: datetime, span: timedelta = timedelta(days=400)) -> SafeString:
    """One lane a row, with what held and holds in it, today's line, and marks; at most `span` to either side of today."""
    begin = max(min((bar.start for row in rows for bar in row.bars), default=now), now - span)
    end = min(max((bar.end for row in rows for bar in row.bars), default=now), now + span)
    axis = _Axis(min(begin, now), max(end, now + (now - begin) / 4, now + timedelta(minutes=1)))
    height = AXIS + ROW * len(rows) + 6
    today = axis.percent(now)
    parts = [
        format_html('<text x="{}%" y="15" text-anchor="{}" class="portal-chart-quiet">today</text>', _number(today), _anchor(today)),
        *(_lane(row, AXIS + ROW * number, axis) for number, row in enumerate(rows)),
        format_html('<line x1="{0}%" x2="{0}%" y1="{1}" y2="{2}" class="portal-chart-today"/>', _number(today), AXIS - 6, height),
    ]  # fmt: skip
    return _picture(
        parts, title=title, height=height, heads=("What", "When"), rows=[(row.label, row.words) for row in rows]
    )


@dataclass(frozen=True, slots=True)
class _Axis:
    begin: datetime
    end: datetime

    def percent(self, moment: datetime) -> float:
        """Where a moment lies; what is outside lies at the edge."""
        share = (moment - self.begin) / (self.end - self.begin)
        return 100 * min(max(share, 0.0), 1.0)


def _anchor(x: float) -> str:
    return "start" if x < 8 else "end" if x > 92 else "middle"


def _lane(row: Lane, y: int, axis: _Axis) -> SafeString:
    name = format_html(
        '<text x="4" y="{}">{} <tspan class="portal-chart-quiet">{}</tspan></text>',
        y + 15,
        _short(row.label),
        row.words,
    )
    parts = [format_html('<a href="{}">{}</a>', row.url, name) if row.url else name]
    parts.append(_rect(x=0, y=y + 21, width=100, height=9, css="portal-chart-track"))
    for bar in row.bars:
        x, end = axis.percent(bar.start), axis.percent(bar.end)
        shape = _rect(x=x, y=y + 21, width=max(end - x, 0.3), height=9, css=f"portal-chart-{bar.tone}")
        parts.append(format_html("<g><title>{}</title>{}</g>", bar.words, shape))
    for moment, words in row.marks:
        x = axis.percent(moment)
        line = '<g><title>{0}</title><line x1="{1}%" x2="{1}%" y1="{2}" y2="{3}" class="portal-chart-mark"/></g>'
        parts.append(format_html(line, words, _number(x), y + 17, y + 34))
    return mark_safe("".join(parts))  # noqa: S308 (each part was made by format_html)


def bars(shares: Sequence[Share], *, title: str, heads: tuple[str, str] = ("What", "How many")) -> SafeString:
    """Horizontal bars below each other, the longest as wide as the picture."""
    most = max((share.value for share in shares), default=0) or 1
    parts = []
    for number, share in enumerate(shares):
        y = ROW * number
        name = format_html(
            '<text x="0" y="{}">{} <tspan class="portal-chart-strong">{}</tspan></text>',
            y + 15,
            _short(share.label),
            share.value,
        )
        parts.append(format_html('<a href="{}">{}</a>', share.url, name) if share.url else name)
        parts.append(_rect(x=0, y=y + 21, width=100, height=8, css="portal-chart-track"))
        parts.append(_rect(x=0, y=y + 21, width=100 * share.value / most, height=8, css=f"portal-chart-{share.tone}"))
    rows = [(share.label, share.value) for share in shares]
    return _picture(parts, title=title, height=ROW * len(shares), heads=heads, rows=rows)


def stacked(shares: Sequence[Share], *, title: str) -> SafeString:
    """One bar of the whole, each share a piece of it."""
    total = sum(share.value for share in shares)
    parts, x = [_rect(x=0, y=0, width=100, height=12, css="portal-chart-track")], 0.0
    for share in shares:
        width = 100 * share.value / total if total else 0
        if width:
            parts.append(_rect(x=x, y=0, width=width, height=12, css=f"portal-chart-{share.tone}"))
        x += width
    rows = [(share.label, share.value) for share in shares]
    return _picture(parts, title=title, height=12, heads=("What", "How many"), rows=rows)


def _rect(*, x: float, y: float, width: float, height: float, css: str) -> SafeString:
    return format_html(
        '<rect x="{}%" y="{}" width="{}%" height="{}" class="{}"/>', _number(x), y, _number(width), height, css
    )


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _short(text: str, limit: int = 34) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _picture(
    parts: Iterable[SafeString],
    *,
    title: str,
    height: int,
    heads: tuple[str, str],
    rows: Iterable[tuple[object, object]],
) -> SafeString:
    drawn = mark_safe("".join(parts))  # noqa: S308 (each part was made by format_html)
    cells = format_html_join("", '<tr><th scope="row">{}</th><td>{}</td></tr>', rows)
    return format_html(
        '<svg class="portal-chart" role="group" aria-label="{0}" width="100%" height="{1}"><title>{0}</title>{2}</svg>'
        '<div class="visually-hidden"><table><caption>{0}</caption><thead><tr><th scope="col">{3}</th><th scope="col">{4}</th></tr></thead>'
        "<tbody>{5}</tbody></table></div>",
        title, height, drawn, *heads, cells,
    )  # fmt: skip
