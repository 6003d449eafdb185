"""Fanout by exchanges of RabbitMQ's own, which copy into the subscribed queues."""

from __future__ import annotations

import threading
from collections.abc import Callable
from urllib.parse import quote

from kombu.transport.qpid.store import AMQP10Store, write
from kombu.transport.virtual.store import Envelope, Fanout, Put


class ExchangeFanout(Fanout):
    """Publishes to fanout exchanges; what they copy arrives in the queues themselves."""

    def __init__(self, store: AMQP10Store) -> None:
        self.store = store
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._bound: dict[str, list[str]] = {}

    def _ensure(self, exchange: str) -> None:
        with self._lock:
            if exchange not in self._known:
                self.store.control.fanout(exchange)
                self._known.add(exchange)

    def publish(self, exchange: str, routing_key: str, message: Envelope) -> int | None:
        self._ensure(exchange)
        target = f"/exchange/{quote(exchange, safe='')}"
        for error in self.store.wire.send(target, [write(Put("", message))]).values():
            raise error
        return None

    def subscribe(self, exchange: str, queue: str, routing_key: str) -> None:
        self._ensure(exchange)
        self.store.control.bind(queue, exchange)
        with self._lock:
            self._bound.setdefault(queue, []).append(exchange)

    def unsubscribe(self, queue: str) -> None:
        with self._lock:
            exchanges = self._bound.pop(queue, [])
        for exchange in exchanges:
            self.store.control.unbind(queue, exchange)

    def pump(self, deliver: Callable[[str, Envelope], None]) -> int:
        return 0  # the broker delivers into the queues
