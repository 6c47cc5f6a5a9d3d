"""How many requests Apple still allows, and how many of them we take ("Identifying Rate Limits").

The limit is a rolling hour per key, shared with whatever else uses the key: we keep to half of it.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from threading import Lock
from typing import Final

_LIMIT: Final = re.compile(r"user-hour-lim:\s*(\d{1,9})")
_REMAINING: Final = re.compile(r"user-hour-rem:\s*(\d{1,9})")
USUAL_LIMIT: Final = 3600
_HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Requests an hour, and how many are left of them."""

    limit: int
    remaining: int


def read_rate_limit(header: str) -> RateLimit | None:
    """The value of X-Rate-Limit ("user-hour-lim:3600;user-hour-rem:3121;"); None when it is none."""
    limit, remaining = _LIMIT.search(header), _REMAINING.search(header)
    return RateLimit(int(limit[1]), int(remaining[1])) if limit and remaining else None


class Budget:
    """A bucket of half of Apple's limit, refilled over an hour."""

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        self._lock = Lock()
        self._size = self._level = USUAL_LIMIT / 2
        self._at: datetime | None = None

    def take(self, now: datetime) -> float:
        """Take one request: 0, or the seconds after which there will be one."""
        with self._lock:
            passed = (now - self._at).total_seconds() if self._at else 0.0
            # A clock that was set back says nothing about what we used.
            self._level = min(self._size, self._level + max(0.0, passed) * self._size / _HOUR)
            self._at = now
            if self._level < 1:
                return (1 - self._level) * _HOUR / self._size
            self._level -= 1
            return 0.0

    def learn(self, rate: RateLimit) -> None:
        """Apple told its limit."""
        with self._lock:
            self._size = max(1.0, rate.limit / 2)
            self._level = min(self._level, self._size)


@lru_cache(maxsize=64)
def budget_of(key_id: str) -> Budget:
    """The process's one budget of a key."""
    return Budget(key_id)
