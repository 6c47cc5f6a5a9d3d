"""Pictures of numbers: well-formed, harmless whatever the labels are, and the same facts as a table."""

import re
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest

from portal_ui.charts import Bar, Dot, Lane, Share, bars, lanes, stacked, timeline

HOSTILE = '"><script>alert("1")</script>'


def parsed(html):
    assert not re.search(r"\sstyle=|\son\w+=|<script", html)
    return ET.fromstring(f"<div>{html}</div>")


def drawn(html, tag):
    return list(parsed(html).iter(tag))


def table(html):
    rows = parsed(html).findall(".//tbody/tr")
    return {row.find("th").text: row.find("td").text for row in rows}


def test_a_timeline_places_each_end_and_says_it_in_words():
    html = timeline([Dot("push", 18), Dot("gone", -3, tone="bad"), Dot("far", 5000)], title="Ends", days=180)
    assert [circle.get("cx") for circle in drawn(html, "circle")] == ["10%", "1%", "99%"]
    assert table(html) == {"push": "18 days", "gone": "ended 3 days ago", "far": "5000 days"}


def test_one_day_is_not_days():
    assert Dot("x", 1).words == "1 day"
    assert Dot("x", -1).words == "ended 1 day ago"
    assert Dot("x", 0).words == "0 days"


def test_a_dot_with_an_address_is_a_link():
    (link,) = drawn(timeline([Dot("push", 18, url="/x?a=1&b=2")], title="Ends"), "a")
    assert link.get("href") == "/x?a=1&b=2"


def test_the_longest_bar_fills_the_picture():
    html = bars([Share("a", 10), Share("b", 5)], title="Systems")
    widths = [one.get("width") for one in drawn(html, "rect") if "track" not in one.get("class")]
    assert widths == ["100%", "50%"]
    assert table(html) == {"a": "10", "b": "5"}


def test_stacked_shares_fill_the_whole():
    html = stacked([Share("a", 1, "good"), Share("b", 0, "bad"), Share("c", 3, "warn")], title="Devices")
    pieces = [one for one in drawn(html, "rect") if "track" not in one.get("class")]
    assert [(one.get("x"), one.get("width")) for one in pieces] == [("0%", "25%"), ("25%", "75%")]
    assert table(html) == {"a": "1", "b": "0", "c": "3"}


@pytest.mark.parametrize("draw", [bars, stacked])
def test_nothing_is_drawn_of_nothing(draw):
    assert table(draw([], title="Nothing")) == {}
    assert table(draw([Share("a", 0)], title="Nothing")) == {"a": "0"}


def test_labels_are_text():
    for html in (
        timeline([Dot(HOSTILE, 3, url=HOSTILE)], title=HOSTILE),
        bars([Share(HOSTILE, 3, url=HOSTILE)], title=HOSTILE, heads=(HOSTILE, HOSTILE)),
        stacked([Share(HOSTILE, 3)], title=HOSTILE),
    ):
        assert HOSTILE in table(html)


NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def lane(label="App", **more):
    year = Bar(NOON - timedelta(days=100), NOON + timedelta(days=265), "a year")
    return Lane(label, "to 2027-08-15", [year], **more)


def test_lanes_say_in_a_table_what_they_draw():
    mark = (NOON + timedelta(days=50), "certificate ends")
    html = lanes([lane(marks=[mark], url="/x/")], title="Ends", now=NOON)
    assert "<caption>Ends</caption>" in html
    assert '<th scope="row">App</th><td>to 2027-08-15</td>' in html
    assert "<title>certificate ends</title>" in html
    assert 'href="/x/"' in html


def test_what_lies_far_away_stays_within_the_picture():
    ages = Bar(NOON - timedelta(days=4000), NOON + timedelta(days=6570), "eighteen years")
    html = lanes([Lane("Mac", "long", [ages], [(NOON + timedelta(days=9000), "far")])], title="Ends", now=NOON)
    places = [float(place) for place in re.findall(r'x[12]?="([\d.-]+)%"', html)]
    assert all(0 <= place <= 100 for place in places)
    assert 'width="100%"' in html


def test_lanes_that_begin_and_end_now_are_drawn_too():
    instant = Lane("App", "now", [Bar(NOON, NOON, "none")])
    assert "<svg" in lanes([instant], title="Ends", now=NOON)
    assert "<svg" in lanes([], title="Ends", now=NOON)


def test_a_name_in_a_lane_is_no_markup():
    assert "<b>" not in lanes([lane("<b>")], title="<b>", now=NOON)
