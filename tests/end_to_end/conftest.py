"""What the tests with real processes stand on: a PostgreSQL that runs, or the reason why not."""

import os
from collections.abc import Iterator

import pytest

from tests import postgres


@pytest.fixture(scope="session")
def postgresql() -> Iterator[postgres.Server]:
    """The server that `make test` started, else one of our own for this run."""
    url = os.environ.get("TEST_POSTGRESQL_URL")
    if url:
        yield postgres.Server(url)
    elif postgres.binaries() is None:
        pytest.skip("PostgreSQL is not installed (apt-get install -y postgresql)")
    else:
        with postgres.running() as server:
            yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """DATABASE_URL of an empty database, once of each kind; "" means the SQLite file of the data folder."""
    if request.param == "sqlite":
        return ""
    server: postgres.Server = request.getfixturevalue("postgresql")
    return server.create_database()
