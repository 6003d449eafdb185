"""A consumer in a thread, by the mixin."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from kombu import Queue
from kombu.mixins import ConsumerMixin


class Worker(ConsumerMixin):
    """Remembers what it got."""

    def __init__(self, connection: Any, name: str) -> None:
        self.connection = connection
        self.queue = Queue(name)
        self.got: list[Any] = []
        self.arrived = threading.Event()
        self.ready = threading.Event()

    def get_consumers(self, make: Callable[..., Any], channel: Any) -> list[Any]:
        return [make([self.queue], on_message=self.handle)]

    def on_consume_ready(self, *args: Any, **kwargs: Any) -> None:
        self.ready.set()

    def handle(self, message: Any) -> None:
        self.got.append(message.payload)
        message.ack()
        self.arrived.set()
