"""Bindings, exchange types and queue arguments, shared with all clients of the server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kombu.transport.keyvalue.errors import ERRORS
from kombu.transport.keyvalue.layout import (
    binding_key,
    bindings_folder,
    declaration_key,
    exchange_key,
)
from kombu.transport.keyvalue.port import KeyValue
from kombu.transport.virtual.store import TopologyStore
from kombu.utils.json import dumps, loads


class KeyValueTopology(TopologyStore):
    """One key an exchange, one a binding.

    Arguments:
        connect: gives the server of the connection as it is now.
    """

    def __init__(self, connect: Callable[[], KeyValue]) -> None:
        self._connect = connect

    @property
    def keys(self) -> KeyValue:
        return self._connect()

    def bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        with ERRORS.mapped(f"bind queue {queue!r} to exchange {exchange!r}"):
            key = binding_key(exchange, routing_key, queue)
            self.keys.write(key, dumps([routing_key, pattern, queue]))

    def unbind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        with ERRORS.mapped(f"unbind queue {queue!r} from exchange {exchange!r}"):
            self.keys.delete(binding_key(exchange, routing_key, queue))

    def bindings(self, exchange: str) -> Sequence[tuple[str, str, str]]:
        with ERRORS.mapped(f"read the bindings of exchange {exchange!r}"):
            found = self.keys.list(bindings_folder(exchange)).stored
        rows = (loads(each.value) for each in sorted(found))
        return [(key, pattern, queue) for key, pattern, queue in rows]

    def exchange_type(self, exchange: str) -> str | None:
        with ERRORS.mapped(f"look up exchange {exchange!r}"):
            found = self.keys.read(exchange_key(exchange))
        return None if found is None else found.value

    def declare_exchange(self, exchange: str, type: str) -> None:
        with ERRORS.mapped(f"declare exchange {exchange!r}"):
            self.keys.write(exchange_key(exchange), type)

    def delete_exchange(self, exchange: str) -> None:
        folder = bindings_folder(exchange)
        with ERRORS.mapped(f"delete exchange {exchange!r}"):
            self.keys.delete(exchange_key(exchange))
            for found in self.keys.list(folder).stored:
                self.keys.delete(f"{folder}/{found.name}")
            self.keys.drop_folder(folder)

    def queue_arguments(self, queue: str) -> Mapping[str, Any] | None:
        with ERRORS.mapped(f"look up queue {queue!r}"):
            found = self.keys.read(declaration_key(queue))
        if found is None:
            return None
        arguments = loads(found.value)
        return arguments if isinstance(arguments, Mapping) else {}
