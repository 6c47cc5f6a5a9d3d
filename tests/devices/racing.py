"""Threads that do things to the database at the same moment."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

from django.db import connection

T = TypeVar("T")


def at_once(*acts: Callable[[], T]) -> list[T]:
    """Run all acts in threads that start together, each on a connection of its own."""
    start = Barrier(len(acts))

    def run(act: Callable[[], T]) -> T:
        connection.ensure_connection()
        start.wait(30)
        try:
            return act()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))
