"""The device page's sentences: why something waits, what happens next, and until when."""

import re
from datetime import timedelta

import pytest

from devices.models import Verdict
from devices.words import sentence
from mdmportal.pages.words import outlook
from profiles.models import Installation

HOUR = timedelta(hours=1)


def said(now, verdict=None, **row):
    """The outlook as plain text."""
    html = outlook(Installation(**{"part": "whole", **row}), verdict, now=now)
    return re.sub(r"<[^>]+>", "", html).replace("\xa0", " ").replace("&#x27;", "'")


def test_a_waiting_capability_says_when_it_is_asked_again_and_until_when(now):
    verdict = Verdict(state="not_compliant", judged_at=now - HOUR, next_poll_at=now + HOUR, deadline=now + 24 * HOUR)
    assert said(now, verdict, part="capability", state="waiting") == (
        "Goes out as soon as the device proves it. Last answer 1 hour ago. Asked again in 1 hour. "
        "If it is not proved by 2026-11-24 12:00 UTC, an alert is raised."
    )


def test_after_the_deadline_the_alert_is_named(now):
    verdict = Verdict(state="unknown", next_poll_at=now - HOUR, deadline=now - HOUR, alerted_at=now - HOUR)
    text = said(now, verdict, part="capability", state="waiting")
    assert "Asked again now." in text
    assert "An alert was raised 1 hour ago." in text
    assert "if it is not proved" not in text.lower()


def test_what_cannot_be_proved_says_what_to_do(now):
    text = said(now, Verdict(state="unprovable"), part="capability", state="waiting")
    assert text == "It stays off this device: exclude it, or deliver the bundle's parts together."


def test_a_failure_says_whether_the_portal_tries_again(now, settings):
    settings.RETRY_CEILING = 8
    again = said(now, state="failed", next_at=now + HOUR, attempts=2)
    assert again == "The portal tries again in 1 hour. 2 of 8 tries are used up."
    for_good = said(now, state="failed")
    assert for_good == "Nothing more happens by itself: mend the cause, then retry it in Installations."


def test_installed_says_how_we_know(now):
    assert said(now, state="installed", proved_at=now - HOUR) == "Seen in the device's own list 1 hour ago."


def test_the_rule_together_says_that_nothing_is_held_back(now):
    verdict = Verdict(state="not_compliant", reasons=["no passcode is set"])
    row = {"state": "installed", "proved_at": now - HOUR, "reason": "Passcode due by about 12:50 UTC"}
    assert "No passcode is set. This rule holds nothing back" in said(now, verdict, **row)
    assert "holds nothing back" not in said(now, Verdict(state="compliant"), **row)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("removing", "the portal looks again in 1 hour."),
        ("drifted", "It will be sent again in 1 hour."),
        ("acknowledged", "asked for its list again in 1 hour"),
    ],
)
def test_what_is_under_way_says_when_it_goes_on(now, state, words):
    assert words in said(now, state=state, next_at=now + HOUR)


def test_what_is_gone_says_since_when(now):
    assert said(now, state="removed", removed_at=now) == "Gone since 2026-11-23 12:00 UTC."


def test_what_a_device_says_is_never_markup(now):
    verdict = Verdict(state="not_compliant", reasons=["<b>no</b>"])
    row = Installation(part="whole", state="installed", proved_at=now, reason="Passcode due")
    assert "<b>" not in outlook(row, verdict, now=now)


@pytest.mark.parametrize(
    ("reason", "shown"),
    [("no passcode is set", "No passcode is set."), ("Done.", "Done."), ("", ""), ("  it waits!", "It waits!")],
)
def test_a_reason_becomes_a_sentence(reason, shown):
    assert sentence(reason) == shown
