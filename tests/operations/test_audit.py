"""Audit events are append-only and chained."""

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext

from operations import audit
from operations.models import AppendOnlyError, AuditEvent, Lease

pytestmark = pytest.mark.django_db


def test_an_event_names_who_did_what_to_which_thing(now):
    ana = get_user_model().objects.create_user("ana")
    event = audit.record(ana, "group.rename", subject=ana, now=now, reason="typo", details={"old": "a", "new": "b"})
    assert (event.actor_name, event.action, event.object_id, event.reason) == (
        "ana",
        "group.rename",
        str(ana.pk),
        "typo",
    )


def test_the_command_line_is_an_actor_too(now):
    assert audit.record(None, "publish", subject=None, now=now, label="Office VPN").actor_name == "command line"


def test_an_event_can_be_neither_changed_nor_deleted(now):
    event = audit.record(None, "publish", subject=None, now=now)
    event.action = "nothing"
    with pytest.raises(AppendOnlyError):
        event.save()
    with pytest.raises(AppendOnlyError):
        event.delete()
    with pytest.raises(AppendOnlyError):
        AuditEvent.objects.all().delete()
    with pytest.raises(AppendOnlyError):
        AuditEvent.objects.update(action="nothing")


def test_a_chain_that_nobody_touched_is_whole(now):
    for number in range(5):
        audit.record(None, "act", subject=None, now=now, details={"number": number})
    assert audit.first_broken() is None


def test_many_events_of_one_act_are_links_of_the_same_chain(now):
    ana, ben = (get_user_model().objects.create_user(name) for name in ("ana", "ben"))
    audit.record(None, "before", subject=None, now=now)
    audit.record_each(ana, "user.wave", subjects=[ana, ben], now=now, reason="because")
    audit.record(None, "after", subject=None, now=now)
    assert audit.first_broken() is None
    said = AuditEvent.objects.order_by("pk").values_list("actor_name", "action", "object_id", "reason")
    assert list(said)[1:3] == [("ana", "user.wave", str(user.pk), "because") for user in (ana, ben)]
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM operations_auditevent WHERE object_id = %s", [str(ana.pk)])
    assert audit.first_broken().object_id == str(ben.pk)


def test_an_act_on_nothing_leaves_no_event(now):
    assert audit.record_each(None, "act", subjects=[], now=now) == []
    assert not AuditEvent.objects.exists()


def test_many_events_cost_a_few_statements(now):
    users = [get_user_model()(pk=number, username=f"user {number}") for number in range(1, 181)]
    with CaptureQueriesContext(connection) as queries:
        audit.record_each(None, "act", subjects=users, now=now)
    assert len(queries) <= 8
    assert audit.first_broken() is None


def test_an_event_changed_behind_our_back_is_found(now):
    events = [audit.record(None, "act", subject=None, now=now, details={"number": number}) for number in range(5)]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE operations_auditevent SET action = 'other' WHERE id = %s", [events[2].pk])
    assert audit.first_broken() == events[2]


def test_an_event_removed_behind_our_back_is_found(now):
    events = [audit.record(None, "act", subject=None, now=now, details={"number": number}) for number in range(5)]
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM operations_auditevent WHERE id = %s", [events[2].pk])
    assert audit.first_broken() == events[3]


def test_a_lease_has_one_holder_until_it_ends(now):
    from datetime import timedelta

    minute = timedelta(minutes=1)
    assert Lease.objects.claim("beat", "one", now=now, lifetime=minute)
    assert not Lease.objects.claim("beat", "two", now=now, lifetime=minute)
    assert Lease.objects.claim("beat", "one", now=now + minute / 2, lifetime=minute)
    assert not Lease.objects.claim("beat", "two", now=now + minute, lifetime=minute)
    assert Lease.objects.claim("beat", "two", now=now + 2 * minute, lifetime=minute)
