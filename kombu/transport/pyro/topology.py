"""Bindings, exchange types and queue arguments, shared between all clients of a broker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kombu.transport.pyro.errors import ERRORS
from kombu.transport.pyro.link import Link
from kombu.transport.virtual.store import TopologyStore


class PyroTopology(TopologyStore):
    """What the broker process keeps.

    Arguments:
        connect: gives the link of the connection as it is now.
    """

    def __init__(self, connect: Callable[[], Link]) -> None:
        self._connect = connect

    def _call(self, doing: str, method: str, *arguments: str) -> Any:
        with ERRORS.mapped(doing):
            return self._connect().call(method, *arguments)

    def bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        doing = f"bind queue {queue!r} to exchange {exchange!r}"
        self._call(doing, "bind", exchange, routing_key, pattern, queue)

    def unbind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        doing = f"unbind queue {queue!r} from exchange {exchange!r}"
        self._call(doing, "unbind", exchange, routing_key, pattern, queue)

    def bindings(self, exchange: str) -> Sequence[tuple[str, str, str]]:
        rows = self._call(f"read the bindings of exchange {exchange!r}", "bindings", exchange)
        return [(key, pattern, queue) for key, pattern, queue in rows]

    def exchange_type(self, exchange: str) -> str | None:
        found: str | None = self._call(f"look up exchange {exchange!r}", "exchange_type", exchange)
        return found

    def declare_exchange(self, exchange: str, type: str) -> None:
        self._call(f"declare exchange {exchange!r}", "declare_exchange", exchange, type)

    def delete_exchange(self, exchange: str) -> None:
        self._call(f"delete exchange {exchange!r}", "delete_exchange", exchange)

    def queue_arguments(self, queue: str) -> Mapping[str, Any] | None:
        found: Mapping[str, Any] | None = self._call(
            f"look up queue {queue!r}", "queue_arguments", queue
        )
        return found
