"""Bindings and exchange types.

Bindings of topic and fanout exchanges also stand in PGMQ's own table, where published peers
read and write them; all bindings stand in tables beside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kombu.transport.pgmq.database import PgmqDatabase
from kombu.transport.pgmq.names import queue_name, segment, topic_pattern
from kombu.transport.virtual.store import TopologyStore

_TOPIC = "kombu.topic."


class PgmqTopology(TopologyStore):
    """Shared with all clients of the database.

    Arguments:
        connect: gives the database of the connection as it is now.
    """

    def __init__(self, connect: Callable[[], PgmqDatabase]) -> None:
        self._connect = connect

    def _query(self, doing: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._connect().query(doing, statement, values)

    def _pattern(self, exchange: str, routing_key: str) -> str | None:
        return topic_pattern(exchange, self.exchange_type(exchange) or "direct", routing_key)

    def bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        doing = f"bind queue {queue!r} to exchange {exchange!r}"
        self._query(
            doing,
            "INSERT INTO kombu_pgmq_binding VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            exchange,
            routing_key,
            queue,
        )
        topic = self._pattern(exchange, routing_key)
        if topic is not None:
            name = queue_name(queue, self._connect().options.queue_name_prefix)
            self._query(
                doing,
                "SELECT pgmq.bind_topic(%s::text, queue_name::text) FROM pgmq.meta"
                " WHERE queue_name = %s",
                topic,
                name,
            )

    def unbind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        doing = f"unbind queue {queue!r} from exchange {exchange!r}"
        self._query(
            doing,
            "DELETE FROM kombu_pgmq_binding"
            " WHERE exchange = %s AND routing_key = %s AND queue = %s",
            exchange,
            routing_key,
            queue,
        )
        topic = self._pattern(exchange, routing_key)
        if topic is not None:
            name = queue_name(queue, self._connect().options.queue_name_prefix)
            self._query(doing, "SELECT pgmq.unbind_topic(%s::text, %s::text)", topic, name)

    def bindings(self, exchange: str) -> Sequence[tuple[str, str, str]]:
        own = self._query(
            f"read the bindings of {exchange!r}",
            "SELECT routing_key, queue FROM kombu_pgmq_binding WHERE exchange = %s ORDER BY 1, 2",
            exchange,
        )
        prefix = self._connect().options.queue_name_prefix
        known = {(key, queue_name(queue, prefix)) for key, queue in own}
        rows = [(key, "", queue) for key, queue in own]
        if self.exchange_type(exchange) not in ("topic", "fanout"):
            return rows
        topic, fanout = f"{_TOPIC}{segment(exchange)}.", f"kombu.fanout.{segment(exchange)}"
        # Bindings of published peers, who know queues by PGMQ's names only.
        for pattern, name in self._query(
            f"read the bindings of {exchange!r}",
            "SELECT pattern, queue_name FROM pgmq.topic_bindings"
            " WHERE starts_with(pattern, %s) OR pattern = %s ORDER BY 1, 2",
            topic,
            fanout,
        ):
            key = pattern.removeprefix(topic) if pattern != fanout else ""
            same_queue = any(each[1] == name for each in known)
            if (key, name) not in known and not (pattern == fanout and same_queue):
                rows.append((key, "", name.removeprefix(prefix)))
        return rows

    def exchange_type(self, exchange: str) -> str | None:
        rows = self._query(
            f"look up exchange {exchange!r}",
            "SELECT type FROM kombu_pgmq_exchange WHERE name = %s",
            exchange,
        )
        return str(rows[0][0]) if rows else None

    def declare_exchange(self, exchange: str, type: str) -> None:
        self._query(
            f"declare exchange {exchange!r}",
            "INSERT INTO kombu_pgmq_exchange VALUES (%s, %s)"
            " ON CONFLICT (name) DO UPDATE SET type = excluded.type",
            exchange,
            type,
        )

    def delete_exchange(self, exchange: str) -> None:
        doing = f"delete exchange {exchange!r}"
        for routing_key, _, queue in self.bindings(exchange):
            self.unbind(exchange, routing_key, "", queue)
        self._query(doing, "DELETE FROM kombu_pgmq_binding WHERE exchange = %s", exchange)
        self._query(doing, "DELETE FROM kombu_pgmq_exchange WHERE name = %s", exchange)

    def queue_arguments(self, queue: str) -> Mapping[str, Any] | None:
        rows = self._query(
            f"look up queue {queue!r}",
            "SELECT arguments FROM kombu_pgmq_queue WHERE name = %s",
            queue,
        )
        return rows[0][0] if rows else None
