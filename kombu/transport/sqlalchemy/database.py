"""The database of one broker: its engine, its tables, and how work is done in it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import sqlalchemy as sa
from amqp.exceptions import RecoverableConnectionError
from sqlalchemy.engine import URL
from sqlalchemy.exc import (
    DBAPIError,
    DisconnectionError,
    IntegrityError,
    OperationalError,
    ProgrammingError,
)

from kombu.transport.clients import missing_client
from kombu.transport.serverclock import ServerClock
from kombu.transport.sqlalchemy.dialects import WRITES, dialect_of
from kombu.transport.sqlalchemy.errors import ERRORS, is_read_only, is_transient
from kombu.transport.sqlalchemy.models import Tables
from kombu.transport.sqlalchemy.options import SqlOptions

#: How often a transaction that the server rolled back is tried again.
ATTEMPTS = 8

#: Seconds without use after which a connection is tried before it is used.
REST = 1.0
_USED = "kombu_used"

Result = TypeVar("Result")
Work = Callable[[sa.Connection], Result]


class Conflict(Exception):
    """Another client was at the same rows: the transaction must be tried again."""


def ping_after_rest(engine: sa.Engine) -> None:
    """Make sure of connections that were not used for a while: the server may have gone."""
    module: Any = engine.dialect.dbapi

    def ping(connection: Any, record: Any, proxy: Any) -> None:
        if time.monotonic() - record.info.get(_USED, time.monotonic()) < REST:
            return
        try:
            engine.dialect.do_ping(connection)
        except module.Error as exc:
            raise DisconnectionError("the server closed the connection meanwhile") from exc

    def note(connection: Any, record: Any) -> None:
        record.info[_USED] = time.monotonic()

    sa.event.listen(engine, "checkout", ping)
    sa.event.listen(engine, "checkin", note)


def missing_driver(url: URL, cause: ModuleNotFoundError) -> ImportError:
    """The error that says what to install for a database."""
    if url.get_backend_name() == "postgresql":
        return missing_client("postgresql", "postgresql", cause.name)
    return ImportError(
        f"URLs of {url.drivername!r} need a driver {cause.name!r} that is not installed; "
        "install it, or name another one in the URL, e.g. mysql+pymysql://",
        name=cause.name,
    )


class Database:
    """A database with the broker's tables.

    Arguments:
        url: of the database.
        options: of the transport.
        connect_timeout: seconds to reach the server, where the options say nothing.
    """

    def __init__(self, url: URL, options: SqlOptions, connect_timeout: float | None = None) -> None:
        self.options = options
        self.dialect = dialect_of(url, options)
        self.tables = Tables(
            options.queue_tablename, options.message_tablename, self.dialect.by_range
        )
        url = self.dialect.url(url)
        settings: dict[str, Any] = {"hide_parameters": True}
        ours = self.dialect.arguments(url, options.connect_timeout or connect_timeout)
        theirs = dict(options.engine)
        connect_args = {**ours.pop("connect_args", {}), **theirs.pop("connect_args", {})}
        with ERRORS.mapped("prepare the engine"):
            try:
                self.engine = sa.create_engine(
                    url, connect_args=connect_args, **{**settings, **ours, **theirs}
                )
            except ModuleNotFoundError as exc:
                raise missing_driver(url, exc) from exc
        self.dialect.attach(self.engine)
        if not options.engine.get("pool_pre_ping"):
            ping_after_rest(self.engine)
        self._reader = self.engine
        if self.dialect.autocommit_reads:
            self._reader = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._writer = self.engine.execution_options(**{WRITES: True})
        self.clock = ServerClock()

    @property
    def name(self) -> str:
        """Kind of the database, e.g. ``postgresql``."""
        return self.engine.dialect.name

    def prepare(self) -> None:
        """Create what is missing, and compare the clocks."""
        if self.options.create_tables and not self._complete():
            self.write("create the tables", self._create)
        with self.reading("look at the server") as connection:
            self.dialect.inspect(connection)
            now = sa.select(self.dialect.now())
            self.clock.ask(lambda: float(connection.execute(now).scalar_one()))

    def _complete(self) -> bool:
        """Whether all tables are there; those that are created last tell of the others."""
        looks = [
            sa.select(sa.literal(1)).select_from(table).where(sa.false()).exists()
            for table in self.tables.metadata.sorted_tables
        ]
        try:
            with self._reader.connect() as connection:
                connection.execute(sa.select(*looks))
        except (ProgrammingError, OperationalError):
            return False  # a server that can't be reached says so again when it is asked to create
        return True

    def _create(self, connection: sa.Connection) -> None:
        tables = self.tables
        try:
            # A published peer may have made these two; the index comes before our own tables.
            tables.metadata.create_all(connection, tables=[tables.queue, tables.message])
            tables.ready_index.create(connection, checkfirst=True)
            tables.metadata.create_all(connection)
        except DBAPIError as exc:
            if is_transient(exc) or "already exists" in str(exc.orig).lower():
                raise Conflict("somebody else creates the tables") from exc
            raise

    # ---- work

    @contextmanager
    def reading(self, doing: str) -> Iterator[sa.Connection]:
        """A connection for queries that change nothing.

        Raises:
            one of the transport's errors, chained to the driver's.
        """
        with self.mapped(doing), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def mapped(self, doing: str) -> Iterator[None]:
        """As :meth:`ErrorTable.mapped`; a lost connection is one, whatever the driver calls it."""
        with ERRORS.mapped(doing):
            try:
                yield
            except DBAPIError as exc:
                if exc.connection_invalidated or is_read_only(exc):
                    text = f"{doing}: {type(exc).__name__}: {exc.orig}"
                    raise RecoverableConnectionError(text) from exc
                raise

    def write(self, doing: str, work: Work[Result], retry_integrity: bool = False) -> Result:
        """Do ``work`` in one transaction; again when the server rolled it back for others' sake.

        Not again when ``statement_timeout`` has passed: each may have waited that long for a lock.

        Arguments:
            retry_integrity: also after a violated constraint, when it comes of a race.
        """
        attempt = 0
        end = time.monotonic() + self.options.statement_timeout
        while True:
            attempt += 1
            try:
                with self.mapped(doing):
                    try:
                        with self._writer.begin() as connection:
                            return work(connection)
                    except DBAPIError as exc:
                        again = is_transient(exc) or (
                            retry_integrity and isinstance(exc, IntegrityError)
                        )
                        if not again or attempt >= ATTEMPTS or time.monotonic() >= end:
                            raise
            except Conflict as exc:
                if attempt >= ATTEMPTS:
                    raise RecoverableConnectionError(f"{doing}: {exc}") from exc
            time.sleep(random.uniform(0.001, 0.01) * attempt)

    def close(self, own: bool = True) -> None:
        """Close all connections.

        Arguments:
            own: ``False`` in a forked child, whose parent's connections stay open.
        """
        self.engine.dispose(close=own)
