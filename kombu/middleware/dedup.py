"""Each message handled once within a window of time, by its id."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

from kombu.middleware.chain import Middleware
from kombu.middleware.events import Delivery, Publishing, Settlement
from kombu.middleware.retry import attempts_of
from kombu.utils.logfields import message_fields
from kombu.utils.loggers import get_logger
from kombu.utils.uuid import uuid

__all__ = ("Deduplicate", "MemorySeen", "SeenStore")

logger = get_logger(__name__)


class SeenStore(Protocol):
    """Remembers keys for some time; called by several threads at once.

    What it raises is raised from where the message is delivered or acknowledged.
    """

    def seen(self, key: str) -> bool:
        """Whether the key was added within its window."""

    def add(self, key: str, window: float) -> None:
        """Remember the key for ``window`` seconds from now."""


class MemorySeen:
    """Keys in this process's memory.

    Arguments:
        max_size: most keys; the oldest go first.
        clock: seconds, monotonic.
    """

    def __init__(
        self, max_size: int = 100_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.max_size = max_size
        self.clock = clock
        self._lock = threading.Lock()
        self._until: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def seen(self, key: str) -> bool:
        """Whether the key was added within its window."""
        until = self._until.get(key)
        return until is not None and until > self.clock()

    def add(self, key: str, window: float) -> None:
        """Remember the key for ``window`` seconds from now."""
        now = self.clock()
        with self._lock:
            self._until[key] = now + window
            self._until.move_to_end(key)
            while self._until:
                oldest = next(iter(self._until))
                if len(self._until) <= self.max_size and self._until[oldest] > now:
                    break
                del self._until[oldest]


class Deduplicate(Middleware):
    """Drops messages whose like was acknowledged before.

    A message counts as handled once it is acknowledged: one whose handler failed, or whose
    consumer died, is delivered again. So a copy that arrives while the first is still being
    handled is delivered as well; the window begins with the acknowledgement.

    Copies are told by queue and ``message_id``; messages without one are let through. A copy
    that is dropped is acknowledged, and logged at level INFO.

    Arguments:
        window: seconds for which an id is remembered.
        store: where ids are remembered; by default in memory, for this process.
        stamp: give published messages that have no ``message_id`` one, so that a publish that
            is retried can be told.
    """

    def __init__(
        self, window: float = 3600.0, store: SeenStore | None = None, stamp: bool = True
    ) -> None:
        self.window = window
        self.store: SeenStore = MemorySeen() if store is None else store
        self.stamp = stamp

    def on_publish(self, publishing: Publishing, proceed: Callable[[Publishing], Any]) -> Any:
        if self.stamp and not publishing.properties.get("message_id"):
            publishing.properties["message_id"] = uuid()
        return proceed(publishing)

    def on_deliver(self, delivery: Delivery, proceed: Callable[[Delivery], Any]) -> Any:
        key = _key(delivery)
        if key is None:
            return proceed(delivery)
        if self.store.seen(key):
            logger.info(
                "message %r of queue %r was handled before: dropped",
                delivery.message.properties.get("message_id"), delivery.queue,
                extra=message_fields(delivery.message, queue=delivery.queue, reason="duplicate"),
            )  # fmt: skip
            if delivery.needs_settling:
                delivery.message.ack()
            return None
        # What needs no acknowledgement is done with when its handler returns.
        settled_already = not delivery.needs_settling
        result = proceed(delivery)
        if settled_already:
            self.store.add(key, self.window)
        return result

    def on_settle(self, settlement: Settlement, proceed: Callable[[Settlement], Any]) -> Any:
        result = proceed(settlement)
        if settlement.action == "ack":
            key = _key(settlement.delivery)
            if key is not None:
                self.store.add(key, self.window)
        return result


def _key(delivery: Delivery) -> str | None:
    """What copies of a message have in common; a retry of its handling is another message."""
    message = delivery.message
    name = message.properties.get("message_id")
    return f"{delivery.queue}\n{name}\n{attempts_of(message)}" if name else None
