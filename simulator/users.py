"""What the people who carry the devices will do: who sets a passcode and when, and who drops it again.

Drawn once from a seed, so that a run can be repeated. No clock: seconds count from the moment a policy arrives.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UserPlan:
    """One user. None: never. `drops_passcode_after` counts from the moment the passcode was set."""

    sets_passcode_after: float | None
    drops_passcode_after: float | None = None


def plan(
    count: int,
    *,
    share: float,
    delay: tuple[float, float],
    drops: Sequence[float],
    seed: int,
) -> list[UserPlan]:
    """Plans for `count` users: exactly round(share * count) of them set a passcode, after `delay[0]` to `delay[1]` s.

    The first len(drops) of those drop it again, the k-th after drops[k] seconds.
    """
    dice = random.Random(seed)
    setters = sorted(dice.sample(range(count), round(share * count)))
    delays = {number: dice.uniform(*delay) for number in setters}
    drop = dict(zip(setters, drops, strict=False))
    return [UserPlan(delays.get(number), drop.get(number)) for number in range(count)]
