"""No lock and no silent server holds a publish up for longer than was said."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from amqp.exceptions import RecoverableConnectionError

from kombu.testing.conformance.store import envelope
from kombu.transport.virtual.store import Put, QueueSpec
from kombu.utils.deadlines import limited
from t.integration.sqlalchemy.databases import new_database
from t.integration.sqlalchemy.test_store import open_on
from t.services.pool import Servers


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[str]:
    """URL of a SQLite file; what locks it stands still once it has its tables."""
    path = tmp_path / "locked.db"
    url = f"sqlite:///{path}"
    open_on(url).close()
    with sqlite3.connect(path, isolation_level=None) as holder:
        yield url
    holder.close()


def lock(url: str) -> sqlite3.Connection:
    holder = sqlite3.connect(url.partition("///")[2], isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    return holder


def test_a_lock_is_waited_for_no_longer_than_a_statement_may_take(locked: str) -> None:
    store = open_on(locked, statement_timeout=0.5)
    store.put([Put("q", envelope("before"))])
    holder = lock(locked)
    begun = time.monotonic()
    with pytest.raises(RecoverableConnectionError, match="locked"):
        store.put([Put("q", envelope("x"))])
    assert time.monotonic() - begun < 2
    holder.close()
    store.put([Put("q", envelope("after"))])
    assert store.size("q") == 2
    store.close()


def test_what_is_too_much_is_taken_out_though_the_first_try_is_rolled_back(locked: str) -> None:
    store = open_on(locked)
    store.declare(QueueSpec("short", arguments={"x-max-length": 1}))
    store.put([Put("short", envelope(text)) for text in "abc"])
    lost = [sa.exc.OperationalError("COMMIT", None, Exception("database is locked"))]

    def commit(connection: sa.Connection) -> None:
        if lost:
            raise lost.pop()

    sa.event.listen(store.database.engine, "commit", commit)
    assert [discard.reason for discard in store.sweep(10)] == ["maxlen", "maxlen"]
    assert not lost
    assert store.sweep(10) == []
    store.close()


def test_a_lock_is_waited_for_no_longer_than_the_publish_may_take(locked: str) -> None:
    store = open_on(locked)
    store.put([Put("q", envelope("before"))])
    holder = lock(locked)
    begun = time.monotonic()
    with limited(0.5), pytest.raises(RecoverableConnectionError, match="locked"):
        store.put([Put("q", envelope("x"))])
    assert time.monotonic() - begun < 3
    holder.close()
    store.close()


@pytest.mark.server("postgres")
@pytest.mark.parametrize("what", ["purge", "delete"])
def test_a_queue_is_emptied_that_takes_longer_than_a_statement_may(
    servers: Servers, tmp_path: Path, what: str
) -> None:
    store = open_on(new_database("postgresql", servers, tmp_path))
    queue, count = store.queues.info("q").identifier, 50_000
    with store.database.reading("fill the queue") as connection:
        connection.exec_driver_sql(
            "INSERT INTO kombu_message SELECT nextval('message_id_sequence'), true, NULL, '{}', 1,"
            f" {queue} FROM generate_series(1, {count})"
        )
    # What a row costs: the time limit of a statement leaves no room for all of them.
    with store.database.reading("make it slow") as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " IF mod(OLD.id, 500) = 0 THEN PERFORM pg_sleep(0.01); END IF; RETURN OLD;"
            " END $$"
        )
        connection.exec_driver_sql(
            "CREATE TRIGGER slowly BEFORE DELETE ON kombu_message FOR EACH ROW"
            " EXECUTE FUNCTION slowly()"
        )
    limited_store = open_on(
        store.database.engine.url.render_as_string(hide_password=False), statement_timeout=0.9
    )
    assert getattr(limited_store, what)("q") == count
    assert store.size("q") == 0
    limited_store.close()
    store.close()


@pytest.mark.server("postgres")
def test_a_server_that_only_reads_needs_another_connection(
    servers: Servers, tmp_path: Path
) -> None:
    """A primary that was demoted: the pool must not stay with it."""
    store = open_on(new_database("postgresql", servers, tmp_path))
    store.put([Put("q", envelope("before"))])
    name = store.database.engine.url.database
    with store.database.reading("demote it") as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    store.database.engine.dispose()
    with pytest.raises(RecoverableConnectionError, match="read-only"):
        store.put([Put("q", envelope("x"))])
    store.close()
