"""The calendar feed: one event for each end, harmless text, and an address that only its owner's account opens."""

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from provisioning import calendar
from provisioning.models import Lineage
from tests.protocol.provisioning_files import NOW, in_house
from tests.provisioning.test_uploading import take

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_roots")]


@pytest.fixture
def ada():
    user = get_user_model().objects.create(username="ada", is_staff=True, password="one")
    user.user_permissions.add(Permission.objects.get(codename="view_lineage"))
    return user


def get(token):
    return Client().get(reverse("provisioning_calendar", args=[token]))


def unfolded(text):
    return text.replace("\r\n ", "").split("\r\n")


def test_there_is_an_event_for_the_profile_and_one_for_its_certificate():
    take(in_house())
    lines = unfolded(calendar.feed(NOW, host="mdm.example.com"))
    ends = Lineage.objects.get().effective_end
    assert f"DTSTART:{ends:%Y%m%dT%H%M%SZ}" in lines
    assert lines.count("BEGIN:VEVENT") == lines.count("END:VEVENT") == 2
    assert lines[0] == "BEGIN:VCALENDAR"
    assert lines[-2:] == ["END:VCALENDAR", ""]


def test_an_event_keeps_its_identifier_so_that_it_moves_instead_of_doubling():
    take(in_house())
    first = {line for line in unfolded(calendar.feed(NOW, host="h")) if line.startswith("UID")}
    later = NOW + timedelta(days=1)
    assert first == {line for line in unfolded(calendar.feed(later, host="h")) if line.startswith("UID")}


def test_text_cannot_end_its_line_or_begin_another_event():
    take(in_house())
    Lineage.objects.update(name="a;b,c\\d\r\nEND:VEVENT\nBEGIN:VALARM\x0b")
    lines = unfolded(calendar.feed(NOW, host="h"))
    assert lines.count("END:VEVENT") == 2
    assert "BEGIN:VALARM" not in lines
    assert any(line.startswith(r"SUMMARY:a\;b\,c\\d\nEND:VEVENT\nBEGIN:VALARM") for line in lines)
    # Not every database stores a NUL.
    assert calendar._escape("a\x00b\x0b\r\nc") == r"ab\nc"


def test_no_line_is_longer_than_75_octets_and_none_is_cut_within_a_character():
    take(in_house())
    Lineage.objects.update(name="収納代行アプリ 🧾" * 12)
    for line in calendar.feed(NOW, host="h").split("\r\n"):
        assert len(line.encode()) <= 75


def test_a_retired_lineage_is_not_in_it():
    take(in_house())
    Lineage.objects.update(retired_at=NOW)
    assert "VEVENT" not in calendar.feed(NOW, host="h")


def test_no_device_is_named():
    take(in_house(kind="ad_hoc", devices=["00008030-001A2B3C4D5E6F70"]))
    assert "00008030" not in calendar.feed(NOW, host="h")


def test_the_address_works_without_a_session(ada):
    response = get(calendar.token_for(ada))
    assert response.status_code == 200
    assert response["Content-Type"] == "text/calendar; charset=utf-8"
    assert response["Cache-Control"] == "no-store"


@pytest.mark.parametrize("token", ["x", "1-", "-1-abc", "999999-0", "1" * 30 + "-a", "\u0661-a"])
def test_a_wrong_address_opens_nothing(ada, token):
    assert get(token).status_code == 404


def test_the_address_ends_with_the_password_the_right_and_the_account(ada):
    token = calendar.token_for(ada)
    ada.user_permissions.clear()
    assert get(token).status_code == 404
    ada.is_superuser = True
    ada.save()
    assert get(token).status_code == 200
    ada.is_active = False
    ada.save()
    assert get(token).status_code == 404
    ada.is_active, ada.password = True, "two"
    ada.save()
    assert get(token).status_code == 404
