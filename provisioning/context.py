"""What a step of a renewal needs from outside: the moment, the pace, and a way to Apple."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from provisioning.appstoreconnect import Client
from provisioning.models import ApiKey
from provisioning.timing import Timing


@dataclass(frozen=True, slots=True)
class Context:
    """`client_for` opens a client for a key; the step closes it."""

    now: datetime
    timing: Timing
    client_for: Callable[[ApiKey], Client]
