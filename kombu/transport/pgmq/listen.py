"""PGMQ's notifications of inserts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from amqp.exceptions import RecoverableConnectionError
from psycopg import sql

from kombu.transport.pgmq.database import PgmqDatabase
from kombu.transport.pgmq.names import queue_name, table_name
from kombu.transport.waking import Source


class InsertNotices(Source):
    """A connection that listens to the queues that are waited for.

    Arguments:
        database: where the queues are.
        ask: whether there is something to claim; ends of leases and delays are told by nobody,
            and notifications are throttled.
    """

    #: Seconds between two questions.
    longest_pause = 1.0

    def __init__(self, database: PgmqDatabase, ask: Callable[[Sequence[str]], bool]) -> None:
        self.database = database
        self._ask = ask
        self._connection: psycopg.Connection[Any] | None = None
        self._channels: set[str] = set()
        self._told: set[str] = set()

    def open(self) -> bool:
        if self._connection is not None:
            return False
        self._connection = self.database.connect()
        self._channels.clear()
        return True

    def fileno(self) -> int | None:
        return None if self._connection is None else self._connection.fileno()

    def _channel(self, queue: str) -> str:
        name = queue_name(queue, self.database.options.queue_name_prefix)
        return f"pgmq.{table_name(name)}.INSERT"

    def look(self, queues: Sequence[str]) -> bool:
        assert self._connection is not None
        wanted = {self._channel(queue) for queue in queues}
        fresh = wanted - self._channels
        try:
            for channel in sorted(fresh):
                self._connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
            self._channels |= fresh
            self._told.update(each.channel for each in self._connection.notifies(timeout=0))
        except psycopg.Error as exc:
            self.close()
            raise RecoverableConnectionError(f"listen for messages: {exc}") from exc
        mine = self._told & wanted
        self._told -= mine
        return bool(fresh or mine) or self._ask(queues)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
