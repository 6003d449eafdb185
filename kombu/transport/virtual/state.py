"""What a virtual broker remembers of exchanges and bindings, in the shape that is recorded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class binding_key_t(NamedTuple):
    """What identifies a binding in :attr:`BrokerState.bindings`."""

    queue: str
    exchange: str
    routing_key: str


class queue_binding_t(NamedTuple):
    """A binding seen from its queue."""

    exchange: str
    routing_key: str
    arguments: Mapping[str, Any] | None


class BindingTable:
    """Rows ``(routing_key, pattern, queue)`` of one exchange, each once, in order."""

    def __init__(self) -> None:
        self._rows: dict[tuple[Any, ...], None] = {}

    def append(self, row: tuple[Any, ...]) -> None:
        """Add a row; one that is there already stays where it is."""
        self._rows[row] = None

    def discard(self, row: tuple[Any, ...]) -> None:
        """Drop a row, if it is there."""
        self._rows.pop(row, None)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(list(self._rows))

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, row: object) -> bool:
        return row in self._rows

    def __eq__(self, other: object) -> bool:
        return list(self) == (list(other) if isinstance(other, BindingTable) else other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self))


class BrokerState:
    """Exchanges and bindings of one broker.

    Arguments:
        exchanges: name -> ``{"type", "durable", "auto_delete", "arguments", "table"}``.
    """

    exchanges: dict[str, dict[str, Any]] = None  # type: ignore[assignment]
    bindings: dict[binding_key_t, Mapping[str, Any] | None] = None  # type: ignore[assignment]
    queue_index: defaultdict[str, set[binding_key_t]] = None  # type: ignore[assignment]

    def __init__(self, exchanges: dict[str, dict[str, Any]] | None = None) -> None:
        self.exchanges = {} if exchanges is None else exchanges
        self.bindings = {}
        self.queue_index = defaultdict(set)

    def clear(self) -> None:
        """Forget all."""
        self.exchanges.clear()
        self.bindings.clear()
        self.queue_index.clear()

    def has_binding(self, queue: str, exchange: str, routing_key: str) -> bool:
        """Whether the binding is known."""
        return binding_key_t(queue, exchange, routing_key) in self.bindings

    def binding_declare(
        self, queue: str, exchange: str, routing_key: str, arguments: Mapping[str, Any] | None
    ) -> None:
        """Note a binding; its first arguments stay."""
        key = binding_key_t(queue, exchange, routing_key)
        self.bindings.setdefault(key, arguments)
        self.queue_index[queue].add(key)

    def binding_delete(self, queue: str, exchange: str, routing_key: str) -> None:
        """Forget a binding; unknown ones are ignored."""
        key = binding_key_t(queue, exchange, routing_key)
        self.bindings.pop(key, None)
        keys = self.queue_index.get(queue)
        if keys is not None:
            keys.discard(key)
            if not keys:
                del self.queue_index[queue]

    def queue_bindings_delete(self, queue: str) -> None:
        """Forget all bindings of a queue."""
        for key in self.queue_index.pop(queue, ()):
            self.bindings.pop(key, None)

    def queue_bindings(self, queue: str) -> Iterator[queue_binding_t]:
        """The bindings of a queue."""
        return (
            queue_binding_t(key.exchange, key.routing_key, self.bindings[key])
            for key in tuple(self.queue_index.get(queue, ()))
        )
