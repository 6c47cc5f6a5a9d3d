"""What the tests' broker (in memory) holds: the jobs that would run."""

from mdmportal.celery import app


def published() -> list[tuple[str, list[object]]]:
    """Take every message out of the broker; name and arguments of each."""
    found = []
    with app.connection_for_read() as connection, connection.SimpleQueue("celery") as waiting:
        while True:
            try:
                message = waiting.get(block=False)
            except waiting.Empty:
                return found
            message.ack()
            found.append((message.headers["task"], message.payload[0]))
