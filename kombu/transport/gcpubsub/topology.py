"""Bindings for all clients of a project, as far as subscriptions can hold them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from amqp.exceptions import NotFound

from kombu.transport.gcpubsub.clients import Clients
from kombu.transport.gcpubsub.names import LONGEST_FILTER, Binding, key_of
from kombu.transport.gcpubsub.subscriptions import REMEMBERED, Subscriptions
from kombu.transport.virtual.store import Envelope, Fanout, TopologyStore
from kombu.utils.json import dumps
from kombu.utils.loggers import get_logger

logger = get_logger(__name__)

#: Label of an exchange's topic: the exchange's type.
TYPE = "kombu-type"
#: Seconds for which an exchange's type, and what messages find no queue by, count as known.
FRESH = 5.0

Row = tuple[str, str, str]


class PubSubTopology(TopologyStore):
    """An exchange is a topic; a queue's first binding is its subscription there.

    Its further bindings are noted as filters of subscriptions that receive nothing.

    Arguments:
        connect: gives the subscriptions of the connection as it is now.
    """

    def __init__(self, connect: Callable[[], Subscriptions]) -> None:
        self._connect = connect
        #: Of each exchange's subscriptions, by name.
        self._filters: dict[str, dict[str, str]] = {}
        self._refreshed = float("-inf")
        #: When the queues of notes were seen to be there.
        self._seen: dict[str, float] = {}
        self._types: dict[str, tuple[float, str | None]] = {}
        self._rows: dict[str, list[Row]] = {}
        self._void: set[tuple[str, str]] = set()

    @property
    def _clients(self) -> Clients:
        return self._connect().clients

    def bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        subscriptions = self._connect()
        key = None if self.exchange_type(exchange) == "fanout" else routing_key
        found = subscriptions.ensure(queue, exchange, key)
        if (found.topic, found.key) == (exchange, key):
            self._void.discard((exchange, queue))
            subscriptions.unbound.pop(found.id, None)
            return
        binding = Binding(routing_key, queue)
        text = binding.filter()
        if len(text.encode()) > LONGEST_FILTER:
            logger.warning(
                "binding of queue %r to exchange %r is too long for others to see", queue, exchange
            )
            return
        self._clients.make_topic(exchange)
        self._clients.subscribe(binding.id(found.id, exchange), exchange, text, expires=False)

    def unbind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        subscriptions = self._connect()
        id = subscriptions.id(queue)
        self._clients.unsubscribe(Binding(routing_key, queue).id(id, exchange))
        found = subscriptions.find(queue)
        if found is not None and found.topic == exchange and found.key in (None, routing_key):
            self._leave(subscriptions, exchange, queue)

    def _leave(self, subscriptions: Subscriptions, exchange: str, queue: str) -> None:
        """A subscription can't change its topic: what is published there is not taken any more."""
        self._void.add((exchange, queue))
        subscriptions.unbound[subscriptions.id(queue)] = time.time()

    def bindings(self, exchange: str) -> Sequence[Row]:
        if not exchange:
            return ()
        subscriptions = self._connect()
        rows: list[Row] = []
        for name, filter in self._found(exchange).items():
            noted = Binding.read(filter)
            if noted is not None and self._is_left_over(name):
                continue
            queue = subscriptions.queue(name) if noted is None else noted.queue
            if noted is not None:
                rows.append((noted.routing_key, "", queue))
            elif (exchange, queue) not in self._void:
                key = key_of(filter)
                # One that takes all is bound to a fanout exchange, or unbound on its own topic.
                if key is not None or name != exchange or self.exchange_type(name) == "fanout":
                    rows.append((key or "", "", queue))
        known = self._rows.get(exchange)
        if known == rows:
            return known
        self._rows[exchange] = rows
        return rows

    def _found(self, exchange: str) -> dict[str, str]:
        """The filters of an exchange's subscriptions, by name; a subscription's never changes."""
        before, found = self._filters.get(exchange, {}), {}
        for name in self._clients.subscriptions(exchange):
            if name in before:
                found[name] = before[name]
            elif (looked_up := self._clients.find(name)) is not None:
                found[name] = looked_up[1]
        self._filters[exchange] = found
        return found

    def _is_left_over(self, name: str) -> bool:
        """Whether a note's queue is gone, deleted by Pub/Sub itself; the note goes, then, too."""
        owner, now = Binding.owner(name), time.monotonic()
        if now - self._seen.get(owner, float("-inf")) < REMEMBERED:
            return False
        if self._clients.find(owner) is not None:
            self._seen[owner] = now
            return False
        self._seen.pop(owner, None)
        self._clients.unsubscribe(name)
        return True

    def refresh(self) -> bool:
        # A subscription that was made anew under its name may have another filter.
        if time.monotonic() - self._refreshed < FRESH:
            return False
        self._refreshed = time.monotonic()
        self._filters.clear()
        return True

    def exchange_type(self, exchange: str) -> str | None:
        if not exchange:
            return None
        at, type = self._types.get(exchange, (float("-inf"), None))
        if time.monotonic() - at > FRESH:
            labels = self._clients.topic_labels(exchange)
            type = None if labels is None else labels.get(TYPE)
            self._types[exchange] = (time.monotonic(), type)
        return type

    def declare_exchange(self, exchange: str, type: str) -> None:
        if self.exchange_type(exchange) != type:
            self._clients.make_topic(exchange, {TYPE: type})
            self._types[exchange] = (time.monotonic(), type)

    def delete_exchange(self, exchange: str) -> None:
        subscriptions = self._connect()
        for _, _, queue in self.bindings(exchange):
            self._leave(subscriptions, exchange, queue)
        self._types[exchange] = (float("inf"), None)  # until it is declared again
        for name, filter in self._found(exchange).items():
            if Binding.read(filter) is not None:
                self._clients.unsubscribe(name)
        del self._filters[exchange]
        if self._clients.subscriptions(exchange):
            self._clients.unlabel_topic(exchange)  # queues go on to be on it
        else:
            self._clients.delete_topic(exchange)


class PubSubFanout(Fanout):
    """One message for all subscriptions of the exchange's topic, of published peers, too.

    What arrives is in the queues' own subscriptions; a queue whose subscription is on another
    topic gets a copy by ``put``.
    """

    def __init__(
        self,
        subscriptions: Subscriptions,
        topology: PubSubTopology,
        put: Callable[[str, Envelope], None],
    ) -> None:
        self.subscriptions = subscriptions
        self.topology = topology
        self._put = put

    def publish(self, exchange: str, routing_key: str, message: Envelope) -> int | None:
        queues = {queue for _, _, queue in self.topology.bindings(exchange)}
        elsewhere = []
        for queue in queues:
            found = self.subscriptions.find(queue)
            if found is None or found.topic != exchange or found.key is not None:
                elsewhere.append(queue)
        if len(queues) > len(elsewhere):
            data = dumps(message).encode()
            try:
                self.subscriptions.clients.publish(exchange, [{"data": data}])
            except NotFound:
                return 0
        for queue in elsewhere:
            self._put(queue, message)
        return len(queues)

    def subscribe(self, exchange: str, queue: str, routing_key: str) -> None:
        return None  # the binding did it

    def unsubscribe(self, queue: str) -> None:
        return None

    def pump(self, deliver: Callable[[str, Envelope], None]) -> int:
        return 0
