"""When devices were last seen, kept out of the hot path: noted in memory, written in batches.

Accurate to the second; a crash loses the last second. `last_seen_at` never moves backwards. Ids are locked in order,
so that two processes that write the same devices wait for each other and never deadlock.
"""

import atexit
import logging
import threading
from collections import defaultdict
from collections.abc import Collection
from datetime import datetime

from django.conf import settings
from django.db import Error, connection, transaction
from django.db.models import Q

from devices.models import Device, Enrollment

log = logging.getLogger(__name__)

_BATCH = 500


class Sightings:
    """The sightings that are not written yet, and the thread that writes them.

    The thread starts with the first sighting (so after any fork) and ends with its process. An interval of 0 seconds
    starts none: then somebody must call `flush`.
    """

    def __init__(self) -> None:
        self._seen: dict[int, datetime] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def note(self, enrollment_pk: int, now: datetime, *, interval: float) -> None:
        """Remember that this channel was seen; no statement runs here."""
        self._put({enrollment_pk: now})
        if interval > 0 and (self._thread is None or not self._thread.is_alive()):
            self._start(interval)

    def flush(self) -> int:
        """Write what was noted; the number of channels. What cannot be written is kept and the error raised."""
        with self._lock:
            seen, self._seen = self._seen, {}
        try:
            _write(seen)
        except Error:
            self._put(seen)
            raise
        return len(seen)

    def _put(self, seen: dict[int, datetime]) -> None:
        with self._lock:
            for pk, at in seen.items():
                self._seen[pk] = max(at, self._seen.get(pk, at))

    def _start(self, interval: float) -> None:
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                return
            self._thread = threading.Thread(target=self._run, args=[interval], name="last-seen", daemon=True)
            self._thread.start()

    def _run(self, interval: float) -> None:
        while not self._stopping.wait(interval):
            self._try()
        self._try()
        connection.close()

    def _try(self) -> None:
        try:
            self.flush()
        except Error as error:
            log.warning("last seen not written (%s), trying again", type(error).__name__)
            connection.close()

    def stop(self) -> None:
        """Write the rest and end the thread."""
        self._stopping.set()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(timeout=2)
        self._stopping.clear()


_sightings = Sightings()
atexit.register(_sightings.stop)


def note(enrollment_pk: int, now: datetime) -> None:
    """A channel was seen; written within SEEN_FLUSH_INTERVAL seconds by a thread of this process."""
    _sightings.note(enrollment_pk, now, interval=settings.SEEN_FLUSH_INTERVAL)


def flush(now: datetime | None = None) -> int:  # noqa: ARG001 (what was noted knows when it was)
    """Write what this process noted; the number of channels. Raises the database's error, and then loses nothing."""
    return _sightings.flush()


def _write(seen: dict[int, datetime]) -> None:
    """Two statements a table for all that were seen in the same second: the usual flush has one or two of those."""
    by_second: dict[datetime, list[int]] = defaultdict(list)
    for pk, at in seen.items():
        by_second[at.replace(microsecond=0)].append(pk)
    for at, pks in sorted(by_second.items()):
        pks.sort()
        for start in range(0, len(pks), _BATCH):
            _write_batch(pks[start : start + _BATCH], at)


def _write_batch(pks: Collection[int], at: datetime) -> None:
    earlier = Q(last_seen_at=None) | Q(last_seen_at__lt=at)
    with transaction.atomic():
        rows = Enrollment.objects.select_for_update(no_key=True).filter(earlier, pk__in=pks).order_by("pk")
        found = dict(rows.values_list("pk", "device_id"))
        Enrollment.objects.filter(pk__in=found).update(last_seen_at=at)
    with transaction.atomic():
        devices = Device.objects.select_for_update(no_key=True).filter(earlier, pk__in=set(found.values()))
        locked = list(devices.order_by("pk").values_list("pk", flat=True))
        Device.objects.filter(pk__in=locked).update(last_seen_at=at)
