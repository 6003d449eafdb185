"""Which subscription stands for a queue, on which topic, and what it takes from there."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from kombu.transport.gcpubsub.clients import Clients
from kombu.transport.gcpubsub.names import (
    LONGEST_FILTER,
    QUEUE,
    ROUTING_KEY,
    key_of,
    queue_filter,
    subscription_id,
)

#: Seconds for which a subscription is taken to be as it was found: what is published to its
#: topic when it is gone reaches nobody, and Pub/Sub does not say so.
REMEMBERED = 60.0


class Subscription(NamedTuple):
    """A queue's subscription.

    Arguments:
        key: of the messages that peers publish to its topic for all; ``None``: any.
    """

    id: str
    topic: str
    key: str | None

    @property
    def attributes(self) -> dict[str, str]:
        """Attributes of a message that is for this queue only."""
        # Of published peers' making is a filter that asks for the key and nothing else.
        routed = {} if self.key is None else {ROUTING_KEY: self.key}
        return {QUEUE: self.id, **routed}

    def takes(self, attributes: Mapping[str, str]) -> bool:
        """Whether a message is for this queue: what its filter says, should nobody filter."""
        if QUEUE in attributes:
            return attributes[QUEUE] == self.id
        return self.key is None or attributes.get(ROUTING_KEY) == self.key


class Subscriptions:
    """The subscriptions of one connection's queues.

    A queue that is bound to an exchange has its subscription on the exchange's topic, where
    published peers look for it; one that is not, on a topic of its own name.
    """

    def __init__(self, clients: Clients) -> None:
        self.clients = clients
        self._lock = threading.RLock()
        self._known: dict[str, tuple[float, Subscription]] = {}
        #: Declared, and not made yet: a binding may say where.
        self._declared: set[str] = set()
        self._names: dict[str, str] = {}
        #: Subscriptions that take nothing published to their exchange after this time.
        self.unbound: dict[str, float] = {}

    def id(self, queue: str) -> str:
        name = subscription_id(queue, self.clients.options.queue_name_prefix)
        self._names.setdefault(name, queue)
        return name

    def queue(self, id: str) -> str:
        """The queue of a subscription, by the name this connection has for it."""
        return self._names.get(id, id)

    def declare(self, queue: str) -> None:
        """The queue shall be; its subscription is made when a binding or a message comes."""
        if self._remembered(queue) is None:
            self._declared.add(queue)
            self.id(queue)

    def is_declared(self, queue: str) -> bool:
        return queue in self._declared or self.find(queue) is not None

    def find(self, queue: str) -> Subscription | None:
        """As it is in Pub/Sub; ``None``: there is none."""
        with self._lock:
            known = self._remembered(queue)
            if known is None:
                id = self.id(queue)
                found = self.clients.find(id)
                if found is None:
                    self._known.pop(queue, None)
                    return None
                topic, filter = found
                known = self._remember(queue, Subscription(id, topic, key_of(filter)))
            return known

    def _remembered(self, queue: str) -> Subscription | None:
        """As it was a moment ago: another client may have deleted it, or Pub/Sub after a day."""
        at, known = self._known.get(queue, (0.0, None))
        return known if known is not None and time.monotonic() - at < REMEMBERED else None

    def _remember(self, queue: str, subscription: Subscription) -> Subscription:
        self._known[queue] = (time.monotonic(), subscription)
        return subscription

    def live(self, queue: str) -> Subscription | None:
        """The subscription; made now if it was only declared."""
        if queue in self._declared:
            return self.ensure(queue)
        return self.find(queue)

    def ensure(
        self, queue: str, exchange: str | None = None, key: str | None = None
    ) -> Subscription:
        """The subscription; a new one is made on the exchange's topic.

        Arguments:
            key: what it takes of that exchange; ``None``: all.
        """
        with self._lock:
            found = self.find(queue)
            if found is None:
                id = self.id(queue)
                filter = queue_filter(id, key)
                if exchange is None or len(filter.encode()) > LONGEST_FILTER:
                    exchange, key, filter = id, None, queue_filter(id, None)
                self.clients.make_topic(exchange)
                self.clients.subscribe(id, exchange, filter)
                found = self._remember(queue, Subscription(id, exchange, key))
            self._declared.discard(queue)
            return found

    def takes(self, found: Subscription, message: Any) -> bool:
        """Whether a message that was pulled is for the queue of this subscription."""
        attributes = message.attributes
        if not found.takes(attributes):
            return False
        since = self.unbound.get(found.id)
        published: float = message.publish_time.timestamp()
        return since is None or QUEUE in attributes or published <= since

    def forget(self, queue: str) -> None:
        """Don't rely on what was known."""
        with self._lock:
            self._known.pop(queue, None)
            self.unbound.pop(self.id(queue), None)
            self._declared.discard(queue)

    def delete(self, queue: str) -> None:
        """The subscription, and its topic where that is its own."""
        found = self.find(queue)
        self.forget(queue)
        if found is not None:
            self.clients.unsubscribe(found.id)
            if found.topic == found.id:
                self.clients.delete_topic(found.topic)
