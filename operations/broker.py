"""The embedded broker: Celery's messages as files in one folder, for one machine and no further server.

It takes the place of kombu's transport of the same name (`filesystem://`), whose worker stops for ever at a half
written message. Here a message appears by a rename, so never half, and one that cannot be read is set aside and the
next one is taken. It is no store: what a killed worker had fetched is gone, and beat finds in the database whatever
is due. Only direct queues; no broadcast, so remote control is off.
"""

import json
import logging
import os
import re
import time
import uuid
from collections import deque
from pathlib import Path
from queue import Empty
from typing import Any, NoReturn

from kombu.transport import TRANSPORT_ALIASES, virtual
from kombu.utils.json import dumps, loads

log = logging.getLogger(__name__)

ALIAS = "filesystem"
QUEUE_NAME = re.compile(r"\A[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}\Z")


def install() -> None:
    """Let `filesystem://` mean this transport; called once, where the Celery application is made."""
    TRANSPORT_ALIASES[ALIAS] = "operations.broker:Transport"


class Channel(virtual.Channel):
    """`<folder>/<queue>/` holds messages, `.new/` those being written, `.taken/` those being read."""

    supports_fanout = False
    do_restore = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        client: Any = self.connection.client
        self.folder = Path(client.transport_options["folder"])
        self.listed: dict[str, deque[str]] = {}
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in (".new", ".taken", ".unreadable"):
            (self.folder / name).mkdir(mode=0o700, exist_ok=True)

    def _put(self, queue: str, message: Any, **kwargs: Any) -> None:
        """Write aside, then rename: no reader ever sees half a message of ours."""
        name = f"{time.time_ns():020d}-{uuid.uuid4().hex}"
        fresh = self.folder / ".new" / name
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(dumps(message).encode())
        fresh.rename(self._queue(queue) / name)

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        """The oldest message that can be read; `Empty` when there is none."""
        while True:
            taken = self._take(queue)
            try:
                payload = loads(taken.read_bytes().decode())
                # What the consumer does next; here its failure costs one message and not the worker.
                self._check(payload)
            except (ValueError, TypeError, LookupError, AttributeError, RecursionError, OSError) as error:
                self._set_aside(taken, error)
                continue
            taken.unlink(missing_ok=True)
            return payload

    def _take(self, queue: str) -> Path:
        """Claim the oldest message: of two workers that saw it, only one can rename it."""
        folder = self._queue(queue)
        names = self.listed.get(queue)
        if not names:
            names = self.listed[queue] = deque(sorted(entry.name for entry in os.scandir(folder)))
        while names:
            name = names.popleft()
            taken = self.folder / ".taken" / name
            try:
                (folder / name).rename(taken)
            except OSError:
                continue
            return taken
        raise Empty

    def _check(self, payload: Any) -> None:
        message = self.Message(payload, channel=self)
        if not isinstance(message.headers, dict) or not isinstance(message.delivery_tag, str):
            raise TypeError("headers or delivery tag")
        if message.content_type == "application/json":
            json.loads(message.body or b"")
        for key in ("exchange", "routing_key"):
            if not isinstance(message.delivery_info[key], str):
                raise TypeError(key)

    def _set_aside(self, taken: Path, error: Exception) -> None:
        # The reason by its type only: the text of a decoding error quotes the message.
        log.warning("broker: message %s cannot be read (%s); set aside", taken.name, type(error).__name__)
        try:
            taken.rename(self.folder / ".unreadable" / taken.name)
        except OSError:
            log.warning("broker: message %s cannot be set aside either", taken.name)

    def _queue(self, queue: str) -> Path:
        if not QUEUE_NAME.match(queue):
            raise ValueError(f"{queue!r} cannot be the name of a queue")
        folder = self.folder / queue
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def _has_queue(self, queue: str, **kwargs: Any) -> bool:
        return (self.folder / queue).is_dir()

    def _new_queue(self, queue: str, **kwargs: Any) -> None:
        self._queue(queue)

    def _size(self, queue: str) -> int:
        return sum(1 for _ in os.scandir(self._queue(queue)))

    def _purge(self, queue: str) -> int:
        count = 0
        for path in self._queue(queue).iterdir():
            path.unlink(missing_ok=True)
            count += 1
        return count

    def _put_fanout(self, exchange: str, message: Any, routing_key: str, **kwargs: Any) -> NoReturn:
        raise NotImplementedError("the embedded broker has no broadcast")


class Transport(virtual.Transport):
    """Registered as `filesystem://`; the option `folder` says where, `polling_interval` how often to look (seconds)."""

    Channel = Channel
    # Shared by the connections of a process, as every in-process bookkeeping of kombu's virtual transports is.
    global_state = virtual.BrokerState()
    default_port = 0
    polling_interval = 0.1
    driver_type = "filesystem"
    driver_name = "filesystem"
    implements = virtual.Transport.implements.extend(asynchronous=False, exchange_type=frozenset({"direct"}))

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        self.state = self.global_state

    def driver_version(self) -> str:
        return "N/A"
