"""Bindings, exchange types and queue arguments as znodes, shared between all clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kombu.transport.virtual.store import TopologyStore
from kombu.transport.zookeeper.errors import ERRORS
from kombu.transport.zookeeper.paths import Paths
from kombu.transport.zookeeper.session import Session
from kombu.transport.zookeeper.watching import Watch
from kombu.utils.json import dumps, loads

#: A binding: routing key, pattern, queue.
Row = tuple[str, str, str]


class ZookeeperTopology(TopologyStore):
    """One node an exchange (its data: the type), one child a binding (its data: the binding).

    What was read is kept while it is watched, so that publishing asks the server nothing.

    Arguments:
        connect: gives the session of the connection as it is now.
    """

    def __init__(self, connect: Callable[[], Session]) -> None:
        self._connect = connect
        self._rows: dict[str, dict[str, Row]] = {}

    @property
    def session(self) -> Session:
        return self._connect()

    @property
    def paths(self) -> Paths:
        return self.session.paths

    def _binding(self, exchange: str, routing_key: str, queue: str) -> str:
        return f"{self.paths.exchange(exchange)}/{self.paths.binding(routing_key, queue)}"

    def bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        data = dumps([routing_key, pattern, queue]).encode()
        with ERRORS.mapped(f"bind queue {queue!r} to exchange {exchange!r}"):
            self.session.create(self._binding(exchange, routing_key, queue), data)

    def unbind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        path = self._binding(exchange, routing_key, queue)
        with ERRORS.mapped(f"unbind queue {queue!r} from exchange {exchange!r}"):
            self.session.outcome(self.session.client.delete_async(path))

    def bindings(self, exchange: str) -> Sequence[tuple[str, str, str]]:
        session, path = self.session, self.paths.exchange(exchange)

        def read(watch: Watch) -> list[Row]:
            names = sorted(session.children(path, watch))
            before = self._rows.get(exchange, {})  # the data of a binding never changes
            pending = {
                name: session.client.get_async(f"{path}/{name}")
                for name in names
                if name not in before
            }
            rows = {name: before[name] for name in names if name in before}
            for name, result in pending.items():
                found = session.outcome(result)
                if not isinstance(found, Exception):
                    key, pattern, queue = loads(found[0])
                    rows[name] = key, pattern, queue
            self._rows[exchange] = rows
            return [rows[name] for name in names if name in rows]

        with ERRORS.mapped(f"read the bindings of exchange {exchange!r}"):
            return session.reads.get(f"{path}/", read)

    def exchange_type(self, exchange: str) -> str | None:
        with ERRORS.mapped(f"look up exchange {exchange!r}"):
            data = self.session.known(self.paths.exchange(exchange))
        return data.decode() if data else None

    def declare_exchange(self, exchange: str, type: str) -> None:
        path = self.paths.exchange(exchange)
        with ERRORS.mapped(f"declare exchange {exchange!r}"):
            if not self.session.create(path, type.encode()):
                self.session.call(self.session.client.set_async(path, type.encode()))

    def delete_exchange(self, exchange: str) -> None:
        with ERRORS.mapped(f"delete exchange {exchange!r}"):
            self.session.delete_tree(self.paths.exchange(exchange))
        self._rows.pop(exchange, None)

    def queue_arguments(self, queue: str) -> Mapping[str, Any] | None:
        with ERRORS.mapped(f"look up queue {queue!r}"):
            data = self.session.known(self.paths.declaration(queue))
        if data is None:
            return None
        arguments = loads(data or b"{}")
        return arguments if isinstance(arguments, Mapping) else {}
