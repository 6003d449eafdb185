"""What the databases' clocks and the files' times tell."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from kombu.transport.sqlalchemy.dialects import dialect_of
from kombu.transport.sqlalchemy.options import SqlOptions
from kombu.transport.sqlalchemy.watch import FileTimes
from t.integration.sqlalchemy.databases import new_database
from t.services.pool import Servers

#: Unix time at which clocks in Berlin go from 3 back to 2 on 25 October 2026.
BACK = 1792890000
ZONE = 9000


@pytest.fixture
def autumn(servers: Servers, tmp_path: Path) -> Iterator[sa.Connection]:
    """A session on MariaDB in a time zone whose clocks are put back."""
    engine = sa.create_engine(new_database("mariadb", servers, tmp_path))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        run = connection.exec_driver_sql
        run(f"REPLACE INTO mysql.time_zone VALUES ({ZONE}, 'N')")
        run(f"REPLACE INTO mysql.time_zone_name VALUES ('Test/Autumn', {ZONE})")
        run(
            "REPLACE INTO mysql.time_zone_transition_type VALUES "
            f"({ZONE}, 0, 7200, 1, 'CEST'), ({ZONE}, 1, 3600, 0, 'CET')"
        )
        run(
            "REPLACE INTO mysql.time_zone_transition VALUES "
            f"({ZONE}, {BACK - 15_000_000}, 0), ({ZONE}, {BACK}, 1)"
        )
        run("SET time_zone = 'Test/Autumn'")
        yield connection
    engine.dispose()


@pytest.mark.server("mariadb")
@pytest.mark.parametrize("before", [1800, -1800], ids=["first", "second"])
def test_the_hour_that_comes_twice_is_two_hours(autumn: sa.Connection, before: int) -> None:
    """Half past two comes twice: leases of the first must not last through the second."""
    autumn.exec_driver_sql(f"SET timestamp = {BACK - before + 0.25}")
    assert "02:30:00" in str(autumn.exec_driver_sql("SELECT now()").scalar_one())
    now = dialect_of(autumn.engine.url, SqlOptions()).now()
    assert autumn.execute(sa.select(now)).scalar_one() == pytest.approx(BACK - before + 0.25)


def test_a_write_of_the_same_tick_is_noticed(tmp_path: Path) -> None:
    """The time of a file ticks every few milliseconds, and a log that is reused doesn't grow."""
    path = tmp_path / "broker.db"
    path.write_bytes(b"one")
    times = FileTimes(str(path), lambda: 1.0, lambda seconds: None)
    assert times.look(["q"])
    tick = path.stat().st_mtime_ns
    path.write_bytes(b"two")
    os.utime(path, ns=(tick, tick))
    assert times.look(["q"])


def test_a_file_that_rests_is_no_news(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    path.write_bytes(b"one")
    os.utime(path, ns=(1, 1))
    times = FileTimes(str(path), lambda: 1.0, lambda seconds: None)
    assert [times.look(["q"]) for _ in range(3)] == [True, False, False]
