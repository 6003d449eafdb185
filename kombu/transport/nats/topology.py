"""Exchanges, bindings and queue arguments in a key-value bucket, shared between all clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError

from kombu.transport.nats.errors import ERRORS
from kombu.transport.nats.names import Names
from kombu.transport.nats.store import NatsStore
from kombu.transport.nats.streams import erase
from kombu.transport.virtual.store import TopologyStore
from kombu.utils.json import dumps, loads

#: An exchange as it is kept: ``type``, and ``bindings`` of key, pattern and queue.
Exchange = dict[str, Any]


class NatsTopology(TopologyStore):
    """One entry an exchange, with all its bindings; changed by compare-and-set.

    Arguments:
        connect: gives the store of the connection as it is now, with its link and bucket.
        names: of the virtual host.
    """

    def __init__(self, connect: Callable[[], NatsStore], names: Names) -> None:
        self._connect = connect
        self._names = names

    # ---- entries

    def _read(self, doing: str, key: str) -> Any:
        store = self._connect()

        async def work() -> Any:
            try:
                return loads((await store.bucket.get(key)).value)
            except KeyNotFoundError:
                return None

        with ERRORS.mapped(doing):
            return store.link.run(work())

    def _change(self, doing: str, exchange: str, change: Callable[[Exchange], None]) -> None:
        store = self._connect()
        key = self._names.exchange_key(exchange)

        async def attempt() -> None:
            try:
                entry = await store.bucket.get(key)
                found, revision = loads(entry.value), entry.revision
            except KeyNotFoundError as exc:
                entry = getattr(exc, "entry", None)
                found, revision = {}, 0 if entry is None else entry.revision
            before = dumps(found)
            change(found)
            if dumps(found) != before:
                await store.bucket.update(key, dumps(found).encode(), last=revision)

        async def work() -> None:
            while True:
                try:
                    return await attempt()
                except KeyWrongLastSequenceError:
                    continue  # another client was quicker; the link bounds the whole

        with ERRORS.mapped(doing):
            store.link.run(work())

    # ---- the contract

    def bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        binding = [routing_key, pattern, queue]

        def add(found: Exchange) -> None:
            bindings = found.setdefault("bindings", [])
            if binding not in bindings:
                bindings.append(binding)

        self._change(f"bind queue {queue!r} to exchange {exchange!r}", exchange, add)

    def unbind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        binding = [routing_key, pattern, queue]

        def remove(found: Exchange) -> None:
            if binding in found.get("bindings", ()):
                found["bindings"].remove(binding)

        self._change(f"unbind queue {queue!r} from exchange {exchange!r}", exchange, remove)

    def _exchange(self, exchange: str) -> Exchange:
        found = self._read(f"look up exchange {exchange!r}", self._names.exchange_key(exchange))
        return found or {}

    def bindings(self, exchange: str) -> Sequence[tuple[str, str, str]]:
        rows = self._exchange(exchange).get("bindings", ())
        return [(key, pattern, queue) for key, pattern, queue in rows]

    def exchange_type(self, exchange: str) -> str | None:
        return self._exchange(exchange).get("type")

    def declare_exchange(self, exchange: str, type: str) -> None:
        doing = f"declare exchange {exchange!r}"
        self._change(doing, exchange, lambda found: found.update(type=type))

    def delete_exchange(self, exchange: str) -> None:
        store = self._connect()
        with ERRORS.mapped(f"delete exchange {exchange!r}"):
            store.link.run(erase(store.link, self._names, self._names.exchange_key(exchange)))

    def queue_arguments(self, queue: str) -> Mapping[str, Any] | None:
        found = self._read(f"look up queue {queue!r}", self._names.queue_key(queue))
        if not isinstance(found, Mapping):
            return None
        arguments = found.get("arguments")
        return arguments if isinstance(arguments, Mapping) else {}
