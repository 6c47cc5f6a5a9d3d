"""Starting background jobs without depending on the broker.

A message only saves time: whatever is due stands in the database and beat finds it. So a broker that is down or
full must never fail the request that wanted to tell it something.
"""

import logging
from typing import Any

from celery import Task
from django.db import transaction

log = logging.getLogger(__name__)


def start_on_commit(task: "Task[Any, Any]", *args: Any) -> None:
    """Publish `task` with small arguments (ids) once the transaction commits; failures are logged, not raised."""

    def publish() -> None:
        try:
            task.apply_async(args=args, ignore_result=True, retry=False)
        except Exception as error:  # noqa: BLE001 (kombu raises its transports' own errors, of any type)
            log.warning("broker: %s not published (%s); the sweep will find it", task.name, type(error).__name__)

    transaction.on_commit(publish)
