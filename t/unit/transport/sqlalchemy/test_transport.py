"""URLs, options and errors of the SQL transport, on SQLite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from kombu import Connection, Queue
from kombu.transport import get_transport_cls
from kombu.transport.sqlalchemy import PostgresTransport, Transport
from kombu.transport.sqlalchemy.database import Database, missing_driver
from kombu.transport.sqlalchemy.options import SqlOptions
from kombu.transport.sqlalchemy.urls import database_url, masked


@pytest.mark.parametrize("scheme", ["sqla", "sqlalchemy"])
def test_schemes(scheme: str, tmp_path: Path) -> None:
    with Connection(f"{scheme}+sqlite:///{tmp_path}/a.db") as connection:
        assert type(connection.transport) is Transport
        store = connection.transport.create_store()
        assert store.database.engine.url.database == f"{tmp_path}/a.db"
        store.close()


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgresql://user:secret@host:5433/name", None),
        ("postgres://user:secret@host:5433/name", None),
        ("postgresql+psycopg://user:secret@host:5433/name", "psycopg"),
        ("postgresql+psycopg2://user:secret@host:5433/name", "psycopg2"),
        ("sqla+postgresql://user:secret@host:5433/name", None),
    ],
)
def test_urls_of_postgresql(url: str, driver: str | None) -> None:
    connection = Connection(url)
    transport: Any = get_transport_cls(connection.transport_cls)
    assert transport is (Transport if url.startswith("sqla") else PostgresTransport)
    read = database_url(connection, transport.scheme)
    assert read.get_backend_name() == "postgresql"
    assert (read.username, read.password, read.host, read.port, read.database) == (
        "user",
        "secret",
        "host",
        5433,
        "name",
    )
    assert driver is None or read.get_driver_name() == driver
    assert "secret" not in connection.as_uri()
    assert "secret" not in repr(connection)


def test_an_unreadable_url_is_named_without_its_password() -> None:
    connection = Connection("sqla+nonsense://user:secret@host/name")
    with pytest.raises(connection.connection_errors) as caught:
        connection.transport.create_store()
    assert "nonsense" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("mysql://u:p@h/d", "mysql://u:**@h/d"),
        ("mysql://u:p@q@h/d", "mysql://u:**@h/d"),
        ("mysql://u@h/d", "mysql://u@h/d"),
        ("sqlite:////a/b.db", "sqlite:////a/b.db"),
    ],
)
def test_passwords_are_masked(uri: str, shown: str) -> None:
    assert masked(uri, "**") == shown


def test_other_options_go_to_the_engine() -> None:
    options = SqlOptions.parse({"pool_size": 3, "lease": "7", "echo": False}, "sql")
    assert options.lease == 7.0
    assert options.engine == {"pool_size": 3, "echo": False}
    database = Database(sa.make_url("sqlite:///x.db"), options)
    assert database.engine.pool.size() == 3  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="leese"):
        Database(sa.make_url("sqlite:///x.db"), SqlOptions.parse({"leese": 1}, "sql"))


def test_a_bad_option_is_named() -> None:
    with pytest.raises(ValueError, match="claim_window"):
        SqlOptions.parse({"claim_window": 0}, "sql")


def test_connection_errors_start_as_published() -> None:
    assert OperationalError in Transport.connection_errors


def test_a_file_that_can_not_be_opened_is_a_connection_error() -> None:
    connection = Connection("sqla+sqlite:////nonexistent/folder/a.db")
    with pytest.raises(connection.recoverable_connection_errors) as caught:
        connection.connect()
    assert isinstance(caught.value.__cause__, OperationalError)


def test_missing_drivers_are_named() -> None:
    cause = ModuleNotFoundError("No module", name="psycopg2")
    error = missing_driver(sa.make_url("postgresql://h/d"), cause)
    assert "pip install 'kombu[postgresql]'" in str(error)
    cause = ModuleNotFoundError("No module", name="MySQLdb")
    assert "MySQLdb" in str(missing_driver(sa.make_url("mysql://h/d"), cause))


def test_a_database_in_memory_is_one_for_all_connections() -> None:
    with Connection("sqla+sqlite://") as one, Connection("sqla+sqlite://") as other:
        one.SimpleQueue("shared").put("hello")
        queue = Queue("shared")(other.channel())
        message = queue.get()
        assert message is not None
        assert message.payload == "hello"
        message.ack()


def test_own_table_names(tmp_path: Path) -> None:
    options = {"queue_tablename": "my_queue", "message_tablename": "my_message"}
    url = f"sqla+sqlite:///{tmp_path}/a.db"
    with (
        Connection(url, transport_options=options) as mine,
        Connection(url) as default,
    ):
        mine.SimpleQueue("q").put("mine")
        assert default.SimpleQueue("q").qsize() == 0
        assert mine.SimpleQueue("q").get(timeout=5).payload == "mine"


def test_a_name_too_long_for_the_tables_is_refused(tmp_path: Path) -> None:
    with Connection(f"sqla+sqlite:///{tmp_path}/a.db") as connection:
        channel = connection.channel()
        with pytest.raises(connection.channel_errors, match="200"):
            channel.queue_declare("q" * 201)
