"""Connections to a PostgreSQL server with PGMQ."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from amqp.exceptions import RecoverableConnectionError
from psycopg.types.json import set_json_loads

from kombu.transport.pgmq.errors import ERRORS
from kombu.transport.pgmq.options import PgmqOptions
from kombu.transport.serverclock import ServerClock
from kombu.transport.watchdog import GRACE, Watchdog
from kombu.utils.deadlines import time_left
from kombu.utils.json import loads

#: Seconds to wait for a free connection where the options say nothing.
POOL_TIMEOUT = 30.0
#: Seconds without use after which a connection is tried before it is used.
REST = 1.0

#: What published peers keep in process memory: exchange types and bindings.
_TABLES = """
CREATE TABLE IF NOT EXISTS kombu_pgmq_exchange (name text PRIMARY KEY, type text NOT NULL);
CREATE TABLE IF NOT EXISTS kombu_pgmq_queue (name text PRIMARY KEY, arguments jsonb NOT NULL);
CREATE TABLE IF NOT EXISTS kombu_pgmq_binding (
    exchange text, routing_key text, queue text, PRIMARY KEY (exchange, routing_key, queue));
CREATE INDEX IF NOT EXISTS kombu_pgmq_binding_queue ON kombu_pgmq_binding (queue);
"""

Row = tuple[Any, ...]


class Pool:
    """A few connections, shared by threads.

    Arguments:
        connect: makes one.
        size: how many there may be.
        timeout: seconds to wait for a free one.
        watchdog: ends uses that take too long.
    """

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection[Row]],
        size: int,
        timeout: float,
        watchdog: Watchdog | None = None,
    ) -> None:
        self._connect = connect
        self._watchdog = watchdog
        self._timeout = timeout
        self._free: deque[tuple[psycopg.Connection[Row], float]] = deque()
        self._places = threading.BoundedSemaphore(size)
        self._closed = False
        self._pid = os.getpid()

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[Row]]:
        """One connection; a broken one is not used again."""
        left = time_left()
        if not self._places.acquire(timeout=self._timeout if left is None else left):
            raise RecoverableConnectionError("no free connection in time")
        try:
            connection = self._take()
            try:
                if self._watchdog is not None:
                    self._watchdog.taken(connection)
                yield connection
            finally:
                if self._watchdog is not None:
                    self._watchdog.returned(connection)
                if connection.closed or connection.broken or self._closed:
                    connection.close()
                else:
                    self._free.append((connection, time.monotonic()))
        finally:
            self._places.release()

    def _take(self) -> psycopg.Connection[Row]:
        if self._closed:
            raise RecoverableConnectionError("the connection was closed")
        while True:
            try:
                connection, used = self._free.pop()
            except IndexError:
                return self._connect()
            if time.monotonic() - used < REST:
                return connection
            if self._watchdog is not None:
                self._watchdog.taken(connection)
            try:
                connection.execute("")
            except psycopg.Error:
                if self._watchdog is not None:
                    self._watchdog.returned(connection)
                connection.close()
                continue
            return connection

    def close(self) -> None:
        """Close the free ones; those in use when they come back."""
        self._closed = True
        while self._free and os.getpid() == self._pid:
            self._free.pop()[0].close()


class PgmqDatabase:
    """A database with PGMQ's functions.

    Arguments:
        parameters: where to connect to, as libpq names it.
        options: of the transport.
    """

    def __init__(self, parameters: dict[str, Any], options: PgmqOptions) -> None:
        self.options = options
        self._parameters = parameters
        self.pool = Pool(
            self.connect,
            options.pool_size,
            POOL_TIMEOUT if options.pool_timeout is None else options.pool_timeout,
            Watchdog(options.statement_timeout + GRACE) if options.statement_timeout else None,
        )
        self.clock = ServerClock()

    def connect(self) -> psycopg.Connection[Row]:
        """A connection of its own."""
        with ERRORS.mapped("connect to PostgreSQL"):
            connection = psycopg.connect(
                self.options.conn_string or "",
                autocommit=True,
                tcp_user_timeout=int(self.options.statement_timeout * 1000),
                **self._parameters,
            )
            set_json_loads(loads, connection)
            limit = int(self.options.statement_timeout * 1000)
            connection.execute(f"SET statement_timeout = {limit:d}")
        return connection

    def prepare(self) -> None:
        """Create what is missing, and compare the clocks."""
        ready = self.query("look for PGMQ", "SELECT to_regproc('pgmq.create') IS NOT NULL")
        if not ready[0][0] and self.options.init_extension:
            self.query("create the extension", "CREATE EXTENSION IF NOT EXISTS pgmq CASCADE")
        there = self.query("look for tables", "SELECT to_regclass('kombu_pgmq_binding_queue')")
        if there[0][0] is None:
            with (
                ERRORS.mapped("create tables"),
                self.pool.connection() as connection,
                connection.transaction(),
            ):
                connection.execute("SELECT pg_advisory_xact_lock(hashtext('kombu_pgmq'))")
                connection.execute(_TABLES)
        now = "SELECT extract(epoch from clock_timestamp())"
        self.clock.ask(lambda: float(self.query("ask the time", now)[0][0]))

    def query(self, doing: str, statement: Any, values: Sequence[Any] = ()) -> list[Row]:
        """Run one statement, which is a transaction of its own.

        Raises:
            one of the transport's errors, chained to the driver's.
        """
        with ERRORS.mapped(doing), self.pool.connection() as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description is not None else []

    def close(self) -> None:
        """Close all connections."""
        self.pool.close()
