"""Planning the fleet in batches: what every room that puts things on devices does alike.

A room gives its `plan` of one batch (locks, decides, writes, queues in one transaction); here is only the walking.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from devices.models import DeliveryQuerySet, Enrollment

BATCH = 500


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """What a plan did: enrollments looked at, ladder rows changed, commands queued and cancelled."""

    enrollments: int = 0
    changed: int = 0
    queued: int = 0
    cancelled: int = 0

    def __add__(self, other: "PlanSummary") -> "PlanSummary":
        return PlanSummary(
            self.enrollments + other.enrollments,
            self.changed + other.changed,
            self.queued + other.queued,
            self.cancelled + other.cancelled,
        )


Plan = Callable[[Sequence[int], datetime], PlanSummary]


def in_batches(enrollment_ids: Sequence[int], now: datetime, *, plan_batch: Plan) -> PlanSummary:
    """Plan these enrollments, each once and in the order of their keys."""
    total, ids = PlanSummary(), sorted(set(enrollment_ids))
    for start in range(0, len(ids), BATCH):
        total += plan_batch(ids[start : start + BATCH], now)
    return total


def sweep(channels: QuerySet[Enrollment], now: datetime, *, plan_batch: Plan) -> PlanSummary:
    """Plan all of these channels, a batch at a time; memory stays bounded whatever the fleet's size."""
    total, last = PlanSummary(), 0
    while batch := list(channels.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:BATCH]):
        total, last = total + plan_batch(batch, now), batch[-1]
    return total


def due_enrollments(rows: DeliveryQuerySet[Any], channels: QuerySet[Enrollment], now: datetime) -> list[int]:
    """The channels among these that hold a ladder row whose next act has come."""
    due = rows.due(now).filter(enrollment__in=channels).order_by("enrollment_id")
    return list(due.values_list("enrollment_id", flat=True).distinct())
