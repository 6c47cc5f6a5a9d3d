"""How far bundles got: on how many devices everything of a bundle is installed, on how many it waits or failed.

Counted from the ladder rows in one statement for as many bundles as a page shows; nothing is decided here.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Count, Q

from devices.models import LadderState
from profiles.models import Installation

_BAD = (LadderState.FAILED, LadderState.DRIFTED)
_DONE = (LadderState.INSTALLED, LadderState.REMOVED)


@dataclass(frozen=True, slots=True)
class Standing:
    """Devices, each counted once: failed if any part failed, waiting if any part is on its way, else installed."""

    installed: int = 0
    waiting: int = 0
    failed: int = 0


def standings(bundle_ids: Iterable[int]) -> dict[int, Standing]:
    """By bundle; those that are on no device are left out."""
    rows = Installation.objects.filter(bundle__in=list(bundle_ids)).exclude(state=LadderState.REMOVED)
    counted = rows.values("bundle").annotate(
        devices=Count("enrollment", distinct=True),
        unfinished=Count("enrollment", distinct=True, filter=~Q(state__in=_DONE)),
        failed=Count("enrollment", distinct=True, filter=Q(state__in=_BAD)),
    )
    return {
        row["bundle"]: Standing(
            installed=row["devices"] - row["unfinished"],
            waiting=row["unfinished"] - row["failed"],
            failed=row["failed"],
        )
        for row in counted.order_by()
    }
