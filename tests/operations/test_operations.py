"""Operations: written down first, claimed item by item, summed up from the items."""

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext

from operations.models import Operation, OperationItem

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


def begin(now, count=3, actor=None):
    items = {number: f"thing {number}" for number in range(count)}
    return Operation.objects.begin("act", title="Act", items=items, actor=actor, now=now)


def settle(operation, now, *, failed=0):
    for number, item in enumerate(operation.items.waiting()):
        assert item.claim()
        if number < failed:
            item.fail("It cannot.")
    operation.tally(now)


def test_an_operation_begins_with_all_its_items_waiting(now):
    ana = get_user_model().objects.create_user("ana")
    operation = begin(now, actor=ana)
    assert (operation.total, operation.done, operation.failed, operation.state) == (3, 0, 0, "running")
    assert (operation.created_by, operation.created_at, operation.finished_at) == (ana, now, None)
    assert [item.label for item in operation.items.waiting()] == ["thing 0", "thing 1", "thing 2"]
    assert list(Operation.objects.unfinished()) == [operation]


def test_an_item_has_one_taker(now):
    operation = begin(now, count=1)
    first, second = OperationItem.objects.get(), OperationItem.objects.get()
    assert first.claim()
    assert not second.claim()
    first.fail("It cannot.")
    assert not second.claim()
    assert list(operation.items.failed()) == [first]


def test_a_tally_counts_the_items_and_finishes_with_the_last(now):
    operation = begin(now)
    assert operation.items.waiting()[0].claim()
    operation.tally(now + MINUTE)
    assert (operation.done, operation.failed, operation.state, operation.finished_at) == (1, 0, "running", None)
    assert operation.worked_at == now + MINUTE
    settle(operation, now + 2 * MINUTE)
    assert (operation.done, operation.state, operation.finished_at) == (3, "done", now + 2 * MINUTE)
    assert not Operation.objects.unfinished().exists()
    operation.tally(now + 3 * MINUTE)
    assert operation.finished_at == now + 2 * MINUTE


def test_a_failed_item_shows_on_the_operation(now):
    operation = begin(now)
    settle(operation, now, failed=1)
    operation.refresh_from_db()
    assert (operation.done, operation.failed, operation.state) == (2, 1, "failed")


def test_a_subject_is_in_an_operation_once(now):
    operation = begin(now, count=1)
    with pytest.raises(IntegrityError):
        OperationItem.objects.create(operation=operation, subject_id=0, label="again")


def test_an_operation_is_quiet_when_nobody_worked_at_it(now):
    operation = begin(now)
    assert list(Operation.objects.quiet(now)) == []
    assert list(Operation.objects.quiet(now + MINUTE)) == [operation]
    operation.tally(now + MINUTE)
    assert list(Operation.objects.quiet(now + MINUTE)) == []


def test_a_tally_costs_the_same_for_any_number(now):
    def statements(count):
        operation = begin(now, count=count)
        with CaptureQueriesContext(connection) as queries:
            operation.tally(now)
        return len(queries)

    assert statements(2) == statements(700) <= 5
