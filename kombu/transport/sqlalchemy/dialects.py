"""In what databases differ, one object each."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Engine

from kombu.transport.sqlalchemy.options import SqlOptions
from kombu.transport.watchdog import GRACE, Watchdog
from kombu.utils.deadlines import time_left

#: Execution option: this transaction is going to write.
WRITES = "kombu_writes"
#: How long a connection waits for locks, in what the pool keeps beside it.
_WAITS = "kombu_waits"
#: libpq's way to find out that the other side is gone, in seconds (and milliseconds).
_KEEPALIVES = {"keepalives": 1, "keepalives_idle": 30, "keepalives_interval": 10}


class Dialect:
    """What holds for any database.

    Arguments:
        options: of the transport.
    """

    #: Whether rows that others have locked can be passed over.
    skip_locked = False
    #: Whether the planner must be led to the index of waiting messages by a range.
    by_range = True
    #: Whether a read needs no transaction of its own.
    autocommit_reads = False
    #: Whether one query can delete, update and insert: fewer round trips for claims and acks.
    writes_in_queries = False

    def __init__(self, options: SqlOptions) -> None:
        self.options = options

    def url(self, url: URL) -> URL:
        """The URL to connect to."""
        return url

    def arguments(self, url: URL, connect_timeout: float | None) -> dict[str, Any]:
        """Arguments of ``create_engine``, which users may override."""
        return {}

    def attach(self, engine: Engine) -> None:
        """Listen to the engine's events, where connections need something."""

    def inspect(self, connection: sa.Connection) -> None:
        """Find out what this server can do."""

    def now(self) -> sa.ColumnElement[float]:
        """Unix time in seconds, by the database's clock."""
        return sa.literal(time.time(), sa.Double())


class PostgreSQL(Dialect):
    """PostgreSQL 10 and later."""

    skip_locked = True
    autocommit_reads = True
    writes_in_queries = True

    def arguments(self, url: URL, connect_timeout: float | None) -> dict[str, Any]:
        if url.get_driver_name() not in ("psycopg", "psycopg2"):
            return {}
        settings: dict[str, Any] = {"application_name": "kombu", **_KEEPALIVES}
        if self.options.statement_timeout:
            settings["tcp_user_timeout"] = int(self.options.statement_timeout * 1000)
        if connect_timeout:
            settings["connect_timeout"] = max(int(connect_timeout), 2)
        return {"connect_args": {k: v for k, v in settings.items() if k not in url.query}}

    def attach(self, engine: Engine) -> None:
        milliseconds = int(self.options.statement_timeout * 1000)

        def limit(connection: Any, record: Any) -> None:
            cursor = connection.cursor()
            cursor.execute(f"SET statement_timeout = {milliseconds}")
            cursor.close()
            connection.commit()

        event.listen(engine, "connect", limit)
        if self.options.statement_timeout and engine.driver in ("psycopg", "psycopg2"):
            # A server that hangs answers no statement_timeout either.
            watchdog = Watchdog(self.options.statement_timeout + GRACE)
            event.listen(engine, "checkout", watchdog.taken)
            for name in ("checkin", "close", "invalidate", "detach", "soft_invalidate"):
                event.listen(engine, name, watchdog.returned)

    def now(self) -> sa.ColumnElement[float]:
        return sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Double())


class MySQL(Dialect):
    """MySQL 8, MariaDB 10.6 and later; older ones work, and claim one after the other."""

    def arguments(self, url: URL, connect_timeout: float | None) -> dict[str, Any]:
        settings: dict[str, Any] = {}
        if url.get_driver_name() in ("pymysql", "mysqldb"):
            limit = max(int(self.options.statement_timeout), 1)
            settings = {"read_timeout": limit, "write_timeout": limit}
            if connect_timeout:
                settings["connect_timeout"] = max(int(connect_timeout), 1)
        return {
            "connect_args": settings,
            # Gap locks of the default level would let claims of one queue wait for each other.
            "isolation_level": "READ COMMITTED",
        }

    def inspect(self, connection: sa.Connection) -> None:
        dialect: Any = connection.dialect
        version = tuple(dialect.server_version_info or ())
        self.skip_locked = version >= ((10, 6) if dialect.is_mariadb else (8,))

    def now(self) -> sa.ColumnElement[float]:
        # By UTC: a local time of the hour that comes twice in autumn means either of two.
        since = sa.text("timestampdiff(MICROSECOND, '1970-01-01', utc_timestamp(6)) / 1e6")
        return sa.cast(since, sa.Double())


class SQLite(Dialect):
    """SQLite: one writer at a time, who says from the start that he will write."""

    by_range = False

    def url(self, url: URL) -> URL:
        if url.database not in (None, "", ":memory:"):
            return url
        # One database in memory for all connections of the process, as published peers have it.
        return url.set(
            database="file:kombu-broker",
            query={**url.query, "mode": "memory", "cache": "shared", "uri": "true"},
        )

    def arguments(self, url: URL, connect_timeout: float | None) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "connect_args": {
                "timeout": self.options.statement_timeout,
                "check_same_thread": False,
            }
        }
        if url.query.get("mode") == "memory":
            arguments["poolclass"] = sa.QueuePool
        return arguments

    def attach(self, engine: Engine) -> None:
        journal = self.options.sqlite_journal_mode
        if not journal.isalpha():
            raise ValueError("transport option 'sqlite_journal_mode' must be the name of a mode")

        def prepare(connection: Any, record: Any) -> None:
            # The driver must not begin transactions by its own rules.
            connection.isolation_level = None
            cursor = connection.cursor()
            cursor.execute("PRAGMA foreign_keys = ON")
            if engine.url.query.get("mode") == "memory":
                # Locks on a shared cache are not waited for; looking needs none.
                cursor.execute("PRAGMA read_uncommitted = ON")
            else:
                cursor.execute(f"PRAGMA journal_mode = {journal}")
            cursor.close()

        def begin(connection: sa.Connection) -> None:
            writes = connection.get_execution_options().get(WRITES)
            limit = self.options.statement_timeout
            left = time_left()
            seconds = limit if left is None else min(left, limit)
            if seconds != connection.info.get(_WAITS, limit):
                connection.info[_WAITS] = seconds
                connection.exec_driver_sql(f"PRAGMA busy_timeout = {int(seconds * 1000)}")
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

        event.listen(engine, "connect", prepare)
        event.listen(engine, "begin", begin)

    def now(self) -> sa.ColumnElement[float]:
        return (sa.func.julianday("now", type_=sa.Double()) - 2440587.5) * 86400.0


_KNOWN: dict[str, type[Dialect]] = {
    "postgresql": PostgreSQL,
    "mysql": MySQL,
    "mariadb": MySQL,
    "sqlite": SQLite,
}


def dialect_of(url: URL, options: SqlOptions) -> Dialect:
    """What holds for the database that ``url`` leads to."""
    return _KNOWN.get(url.get_backend_name(), Dialect)(options)


def new_receipt() -> str:
    """The name of one holding."""
    return uuid4().hex
