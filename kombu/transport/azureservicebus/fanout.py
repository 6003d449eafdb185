"""Fanout by topics: one topic an exchange; the service forwards to the subscribed queues."""

from __future__ import annotations

import threading
from collections.abc import Callable

from kombu.transport.azureservicebus.links import Sending, close_all
from kombu.transport.azureservicebus.messages import write
from kombu.transport.azureservicebus.service import Service
from kombu.transport.virtual.store import Envelope, Fanout, Put


class TopicFanout(Fanout):
    """Publishes to topics; what they forward arrives in the subscribed queues themselves."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._lock = threading.Lock()
        self._senders: dict[str, Sending] = {}
        self._subscriptions: dict[str, list[str]] = {}

    def publish(self, exchange: str, routing_key: str, message: Envelope) -> int | None:
        with self._lock:
            sender = self._senders.get(exchange)
            if sender is None:
                topic = self.service.ensure_topic(exchange)
                sender = self._senders[exchange] = Sending(
                    lambda: self.service.client.get_topic_sender(topic),
                    topic,
                    self.service.options.request_timeout,
                )
        sender.send([write(Put("", message))])
        return None

    def subscribe(self, exchange: str, queue: str, routing_key: str) -> None:
        self.service.subscribe(exchange, queue)
        with self._lock:
            self._subscriptions.setdefault(queue, []).append(exchange)

    def unsubscribe(self, queue: str) -> None:
        with self._lock:
            exchanges = self._subscriptions.pop(queue, [])
        for exchange in exchanges:
            self.service.unsubscribe(exchange, queue)

    def pump(self, deliver: Callable[[str, Envelope], None]) -> int:
        return 0  # the service delivers into the queues

    def close(self) -> None:
        close_all(self._senders.values())
