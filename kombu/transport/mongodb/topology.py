"""Bindings, exchange types and queue arguments, shared between all clients of a database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kombu.transport.mongodb.database import BrokerDatabase
from kombu.transport.mongodb.errors import ERRORS
from kombu.transport.virtual.store import TopologyStore


class MongoTopology(TopologyStore):
    """Bindings where published peers keep them; exchange types in a collection beside.

    Arguments:
        connect: gives the database of the connection as it is now.
    """

    def __init__(self, connect: Callable[[], BrokerDatabase]) -> None:
        self._connect = connect

    @property
    def broker(self) -> BrokerDatabase:
        return self._connect()

    @staticmethod
    def _document(exchange: str, routing_key: str, pattern: str, queue: str) -> dict[str, Any]:
        return {
            "exchange": exchange,
            "queue": queue,
            "routing_key": routing_key,
            "pattern": pattern or None,
        }

    def bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        document = self._document(exchange, routing_key, pattern, queue)
        with ERRORS.mapped(f"bind queue {queue!r} to exchange {exchange!r}"):
            self.broker.write(
                self.broker.routing.update_one, document, {"$set": document}, upsert=True
            )

    def unbind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        with ERRORS.mapped(f"unbind queue {queue!r} from exchange {exchange!r}"):
            self.broker.routing.delete_many(
                {"exchange": exchange, "queue": queue, "routing_key": routing_key}
            )

    def bindings(self, exchange: str) -> Sequence[tuple[str, str, str]]:
        with ERRORS.mapped(f"read the bindings of exchange {exchange!r}"):
            return [
                (row.get("routing_key") or "", row.get("pattern") or "", row["queue"])
                for row in self.broker.routing.find({"exchange": exchange})
            ]

    def exchange_type(self, exchange: str) -> str | None:
        with ERRORS.mapped(f"look up exchange {exchange!r}"):
            row = self.broker.exchanges.find_one({"_id": exchange})
        return None if row is None else str(row["type"])

    def declare_exchange(self, exchange: str, type: str) -> None:
        with ERRORS.mapped(f"declare exchange {exchange!r}"):
            self.broker.write(
                self.broker.exchanges.update_one,
                {"_id": exchange},
                {"$set": {"type": type}},
                upsert=True,
            )

    def delete_exchange(self, exchange: str) -> None:
        with ERRORS.mapped(f"delete exchange {exchange!r}"):
            self.broker.write(self.broker.exchanges.delete_one, {"_id": exchange})
            self.broker.routing.delete_many({"exchange": exchange})

    def queue_arguments(self, queue: str) -> Mapping[str, Any] | None:
        with ERRORS.mapped(f"look up queue {queue!r}"):
            row = self.broker.queues.find_one({"_id": queue})
        if row is None:
            return None
        arguments = row.get("options", {}).get("arguments")
        return arguments if isinstance(arguments, Mapping) else {}
