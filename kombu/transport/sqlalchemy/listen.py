"""PostgreSQL's LISTEN and NOTIFY: a message of a queue wakes those who wait for that queue.

The channel has the name of the table of messages; what is sent is the name of the queue, or
nothing when only times have changed. A trigger notifies for every insert, so that producers
that know nothing of this wake consumers too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from amqp.exceptions import RecoverableConnectionError
from sqlalchemy.exc import DBAPIError

from kombu.transport.sqlalchemy.database import Database
from kombu.transport.waking import Source

logger = logging.getLogger(__name__)

#: Drivers whose connections can be listened on.
DRIVERS = ("psycopg", "psycopg2")

#: Names remembered for queues nobody waited for at the time.
_REMEMBERED = 1000

_FUNCTION = """
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM pg_notify({channel}, queue.name)
       FROM (SELECT DISTINCT queue_id FROM fresh WHERE visible) AS filled
       JOIN {queues} AS queue ON queue.id = filled.queue_id;
    RETURN NULL;
END
$body$
"""
_TRIGGER = """
CREATE TRIGGER {trigger} AFTER INSERT ON {messages}
REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION {function}()
"""


class Announcer:
    """Tells waiting clients of messages.

    Arguments:
        database: on PostgreSQL.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.channel = database.options.message_tablename
        #: Whether the server does it for every insert.
        self.by_trigger = False

    def prepare(self) -> None:
        """Create the trigger, where that is wanted and allowed."""
        if self.database.options.notify_trigger:
            self.by_trigger = self.database.write("create the trigger", self._ensure)

    def _ensure(self, connection: sa.Connection) -> bool:
        trigger = f"{self.channel}_notify"
        known = sa.text(
            "SELECT 1 FROM pg_trigger WHERE tgname = :trigger AND tgenabled <> 'D'"
            " AND tgrelid = to_regclass(:messages)"
        )
        quote = connection.dialect.identifier_preparer.quote
        names = {"trigger": trigger, "messages": quote(self.channel)}
        if connection.execute(known, names).first() is not None:
            return True
        values = {
            "function": quote(trigger),
            "trigger": quote(trigger),
            "messages": quote(self.channel),
            "queues": quote(self.database.options.queue_tablename),
            "channel": str(sa.literal(self.channel).compile(
                dialect=connection.dialect, compile_kwargs={"literal_binds": True}
            )),
        }  # fmt: skip
        try:
            with connection.begin_nested():
                connection.exec_driver_sql(_FUNCTION.format(**values))
                connection.exec_driver_sql(_TRIGGER.format(**values))
        except DBAPIError as exc:
            if "already exists" in str(exc.orig) or "concurrently updated" in str(exc.orig):
                return True
            logger.info("no trigger, notifying only of what kombu 5.8 puts: %s", exc.orig)
            return False
        return True

    def tell(self, connection: sa.Connection, queues: Iterable[str]) -> None:
        """Send with this transaction; an empty name says that times have changed."""
        names = sorted(set(queues))
        if names:
            notify = sa.text("SELECT pg_notify(:channel, name) FROM unnest(:names) AS name")
            notify = notify.bindparams(
                sa.bindparam("names", names, type_=sa.ARRAY(sa.Text())), channel=self.channel
            )
            connection.execute(notify)


class Listening(Source):
    """A connection of its own that listens.

    Arguments:
        database: on PostgreSQL.
        channel: what to listen to.
        driver: name of the driver.
        times_within: called when times have changed, with the seconds within which to look
            at them.
    """

    def __init__(
        self,
        database: Database,
        channel: str,
        driver: str,
        times_within: Callable[[float], None],
    ) -> None:
        self.database = database
        self.channel = channel
        self.driver = driver
        self._times_within = times_within
        self._connection: Any = None
        self._driven: Any = None
        self._told: set[str] = set()

    def open(self) -> bool:
        if self._connection is not None:
            return False
        with self.database.mapped("listen for messages"):
            connection = self.database.engine.raw_connection()
            driven: Any = connection.driver_connection
            connection.detach()
            quoted = self.database.engine.dialect.identifier_preparer.quote_identifier(self.channel)
            try:
                driven.autocommit = True
                cursor = driven.cursor()
                cursor.execute(f"LISTEN {quoted}")
                cursor.close()
            except self._errors as exc:
                connection.close()
                raise RecoverableConnectionError(f"listen for messages: {exc}") from exc
        self._connection, self._driven = connection, driven
        return True

    @property
    def _errors(self) -> type[Exception]:
        module: Any = self.database.engine.dialect.dbapi
        errors: type[Exception] = module.Error
        return errors

    def fileno(self) -> int | None:
        return None if self._driven is None else int(self._driven.fileno())

    def look(self, queues: Sequence[str]) -> bool:
        try:
            self._told.update(self._read())
        except self._errors as exc:
            self.close()
            raise RecoverableConnectionError(f"listen for messages: {exc}") from exc
        if "" in self._told:
            self._told.discard("")
            self._times_within(0.0)
            return True
        mine = self._told.intersection(queues)
        self._told -= mine
        if len(self._told) > _REMEMBERED:
            self._told.clear()
            return True
        return bool(mine)

    def _read(self) -> list[str]:
        """What has arrived."""
        if self.driver == "psycopg":
            return [each.payload for each in self._driven.notifies(timeout=0)]
        self._driven.poll()
        told = [each.payload for each in self._driven.notifies]
        self._driven.notifies.clear()
        return told

    def close(self) -> None:
        connection, self._connection, self._driven = self._connection, None, None
        if connection is not None:
            connection.close()
