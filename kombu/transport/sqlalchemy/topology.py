"""Bindings, exchange types and queue arguments, shared between all clients of a database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from kombu.transport.sqlalchemy.database import Database
from kombu.transport.virtual.store import TopologyStore
from kombu.utils.json import loads


class SqlTopology(TopologyStore):
    """Tables beside the published ones, where published peers keep nothing.

    Arguments:
        connect: gives the database of the connection as it is now.
    """

    def __init__(self, connect: Callable[[], Database]) -> None:
        self._connect = connect

    def _upsert(self, doing: str, table: sa.Table, key: dict[str, Any], rest: Any) -> None:
        """Write one row, the last writer's word counting."""
        found = sa.and_(*(table.c[name] == value for name, value in key.items()))

        def write(connection: sa.Connection) -> None:
            row = connection.execute(sa.select(table).where(found)).mappings().first()
            if row is None:
                connection.execute(sa.insert(table).values(**key, **rest))
            elif any(row[name] != value for name, value in rest.items()):
                connection.execute(sa.update(table).where(found).values(**rest))

        self._connect().write(doing, write, retry_integrity=True)

    def bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        key = {"exchange": exchange, "routing_key": routing_key, "queue": queue}
        self._upsert(
            f"bind queue {queue!r} to exchange {exchange!r}",
            self._connect().tables.binding,
            key,
            {"pattern": pattern or None},
        )

    def unbind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        table = self._connect().tables.binding
        statement = sa.delete(table).where(
            table.c.exchange == exchange,
            table.c.routing_key == routing_key,
            table.c.queue == queue,
        )
        self._connect().write(
            f"unbind queue {queue!r} from exchange {exchange!r}",
            lambda connection: connection.execute(statement),
        )

    def bindings(self, exchange: str) -> Sequence[tuple[str, str, str]]:
        table = self._connect().tables.binding
        statement = (
            sa.select(table.c.routing_key, table.c.pattern, table.c.queue)
            .where(table.c.exchange == exchange)
            .order_by(table.c.routing_key, table.c.queue)
        )
        with self._connect().reading(f"read the bindings of {exchange!r}") as connection:
            return [
                (key or "", pattern or "", queue)
                for key, pattern, queue in connection.execute(statement)
            ]

    def exchange_type(self, exchange: str) -> str | None:
        table = self._connect().tables.exchange
        statement = sa.select(table.c.type).where(table.c.name == exchange)
        with self._connect().reading(f"look up exchange {exchange!r}") as connection:
            found: str | None = connection.execute(statement).scalar()
        return found

    def declare_exchange(self, exchange: str, type: str) -> None:
        table = self._connect().tables.exchange
        self._upsert(f"declare exchange {exchange!r}", table, {"name": exchange}, {"type": type})

    def delete_exchange(self, exchange: str) -> None:
        tables = self._connect().tables

        def delete(connection: sa.Connection) -> None:
            bindings = tables.binding.c.exchange == exchange
            connection.execute(sa.delete(tables.binding).where(bindings))
            connection.execute(sa.delete(tables.exchange).where(tables.exchange.c.name == exchange))

        self._connect().write(f"delete exchange {exchange!r}", delete)

    def queue_arguments(self, queue: str) -> Mapping[str, Any] | None:
        table = self._connect().tables.options
        statement = sa.select(table.c.arguments).where(table.c.queue == queue)
        with self._connect().reading(f"look up queue {queue!r}") as connection:
            text = connection.execute(statement).scalar()
        arguments = loads(text) if text else None
        return arguments if isinstance(arguments, Mapping) else None
