"""The tests' own PostgreSQL starts, is empty, and leaves nothing behind."""

from pathlib import Path

import psycopg
import pytest

from tests import postgres


@pytest.mark.end_to_end
@pytest.mark.skipif(postgres.binaries() is None, reason="PostgreSQL is not installed (apt-get install -y postgresql)")
def test_our_own_postgresql_starts_and_leaves_nothing_behind():
    with postgres.running() as server:
        with psycopg.connect(server.create_database()) as connection:
            folder = connection.execute("SHOW data_directory").fetchone()[0]
            tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()[0]
        assert tables == 0
        assert Path(folder).exists()
    assert not Path(folder).exists()
