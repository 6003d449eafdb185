"""In-memory transport (``memory://``): brokers that live as long as the process.

Every virtual host is a broker of its own, shared by all connections of the process that
name it. :func:`reset` empties them, for tests.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from amqp.exceptions import RecoverableConnectionError

from kombu.transport import base, virtual
from kombu.transport.features import Features
from kombu.transport.virtual.policy import QueuePolicy, size_of
from kombu.transport.virtual.store import (
    Claim,
    Discard,
    Envelope,
    PartialPutError,
    Put,
    QueueFull,
    QueueSpec,
    Store,
)
from kombu.transport.virtual.topology import Topology

_order = itertools.count()


class _Item:
    """One message in one queue."""

    __slots__ = (
        "deliveries", "expires_at", "gone", "key", "message", "queue", "ready_at", "redelivered",
        "size",
    )  # fmt: skip

    def __init__(self, put: Put) -> None:
        self.message = put.message
        self.queue: MemoryQueue | None = None
        self.key = (-put.priority, next(_order))
        self.ready_at = put.ready_at
        self.expires_at = put.expires_at
        self.redelivered = False
        self.deliveries = 0
        self.size = 0
        self.gone = False

    def __lt__(self, other: _Item) -> bool:
        return self.key < other.key


class MemoryQueue:
    """Ready messages by priority and age, and those that are held back."""

    def __init__(self, spec: QueueSpec) -> None:
        self.name = spec.name
        self.policy = QueuePolicy.of(spec.arguments)
        self.ready: list[_Item] = []
        self.delayed: list[tuple[float, int, _Item]] = []
        self.bytes = 0
        #: Events of those who wait for messages of this queue.
        self.waiters: set[threading.Event] = set()

    def add(self, item: _Item) -> None:
        heapq.heappush(self.ready, item)
        self.bytes += item.size

    def take(self) -> _Item:
        item = heapq.heappop(self.ready)
        self.bytes -= item.size
        return item

    def over(self, policy: QueuePolicy) -> bool:
        return (policy.max_length is not None and len(self.ready) > policy.max_length) or (
            policy.max_bytes is not None and self.bytes > policy.max_bytes
        )

    def full(self, policy: QueuePolicy, size: int) -> bool:
        return (policy.max_length is not None and len(self.ready) >= policy.max_length) or (
            policy.max_bytes is not None and self.bytes + size > policy.max_bytes
        )

    def mature(self, now: float) -> None:
        """Make the messages ready whose delay is over."""
        while self.delayed and self.delayed[0][0] <= now:
            self.add(heapq.heappop(self.delayed)[2])


class MemoryBroker:
    """The queues of one virtual host; safe for use by threads."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lock = threading.Lock()
        self.queues: dict[str, MemoryQueue] = {}
        self.topology = Topology(vhost=name)
        self.due: list[tuple[float, int, _Item]] = []
        self.discards: list[tuple[Any, _Item]] = []

    def clear(self) -> None:
        with self.lock:
            self.queues.clear()
            self.due.clear()
            self.discards.clear()
        self.topology.clear()

    def queue(self, name: str) -> MemoryQueue:
        """The queue, made when it is not there; call with the lock held."""
        queue = self.queues.get(name)
        if queue is None:
            queue = self.queues[name] = MemoryQueue(QueueSpec(name))
        return queue

    def expire(self, now: float) -> None:
        """Set aside what is past its time; call with the lock held."""
        while self.due and self.due[0][0] <= now:
            item = heapq.heappop(self.due)[2]
            queue = item.queue
            if item.gone or queue is None or item not in queue.ready:
                continue
            queue.ready.remove(item)
            heapq.heapify(queue.ready)
            queue.bytes -= item.size
            self.discards.append(("expired", item))


class MemoryStore(Store):
    """One connection's view of a broker; what it claimed goes back when it is closed.

    Arguments:
        broker: the broker.
    """

    features = Features(
        priority=True,
        message_ttl=True,
        queue_expiry=True,
        max_length=True,
        dead_letter=True,
        delay=True,
        mandatory=True,
        confirms=True,
        leases=True,
        ordered=True,
        exclusive=True,
        consumer_counts=True,
        batch_publish=True,
        native=frozenset({"priority", "message_ttl", "max_length", "delay"}),
    )

    def __init__(self, broker: MemoryBroker) -> None:
        self.broker = broker
        self._claims: dict[int, tuple[Claim, _Item]] = {}
        self._wake = threading.Event()
        self._interrupted = False
        self._closed = False

    def _open(self) -> MemoryBroker:
        if self._closed:
            raise RecoverableConnectionError("the connection to the in-memory broker is closed")
        return self.broker

    # ---- queues

    def declare(self, queue: QueueSpec) -> None:
        broker = self._open()
        with broker.lock:
            known = broker.queues.get(queue.name)
            if known is None:
                broker.queues[queue.name] = MemoryQueue(queue)

    def delete(self, queue: str) -> int:
        broker = self._open()
        with broker.lock:
            gone = broker.queues.pop(queue, None)
            if gone is None:
                return 0
            for item in gone.ready:
                item.gone = True
            return len(gone.ready)

    def exists(self, queue: str) -> bool:
        return queue in self._open().queues

    def size(self, queue: str) -> int:
        broker = self._open()
        known = broker.queues.get(queue)
        if known is None:
            return 0
        if known.delayed or broker.due:
            with broker.lock:
                now = time.time()
                known.mature(now)
                broker.expire(now)
        return len(known.ready)

    def purge(self, queue: str) -> int:
        broker = self._open()
        with broker.lock:
            known = broker.queues.get(queue)
            if known is None:
                return 0
            gone, known.ready, known.bytes = known.ready, [], 0
            for item in gone:
                item.gone = True
            return len(gone)

    # ---- messages

    def put(self, puts: Sequence[Put]) -> None:
        broker = self._open()
        failed: dict[int, BaseException] = {}
        with broker.lock:
            for index, put in enumerate(puts):
                try:
                    self._put_one(broker, put)
                except QueueFull as exc:
                    failed[index] = exc
        if failed:
            if len(puts) == 1:
                raise failed[0]
            raise PartialPutError(failed)

    def _put_one(self, broker: MemoryBroker, put: Put) -> None:
        queue = broker.queues.get(put.queue) or broker.queue(put.queue)
        item = _Item(put)
        policy = queue.policy
        if policy is not None and policy.bounded:
            item.size = size_of(put.message)
            if policy.overflow != "drop-head" and queue.full(policy, item.size):
                if policy.overflow == "reject-publish-dlx":
                    item.queue = queue
                    broker.discards.append(("maxlen", item))
                raise QueueFull(f"queue {put.queue!r} is full")
        item.queue = queue
        if put.ready_at is not None:
            heapq.heappush(queue.delayed, (put.ready_at, item.key[1], item))
        else:
            queue.add(item)
            if policy is not None and policy.bounded:
                while queue.over(policy):
                    broker.discards.append(("maxlen", queue.take()))
        if put.expires_at is not None:
            heapq.heappush(broker.due, (put.expires_at, item.key[1], item))
        for waiter in queue.waiters:
            waiter.set()

    def claim(self, queues: Sequence[str], limit: int) -> list[Claim]:
        broker = self._open()
        claims: list[Claim] = []
        with broker.lock:
            if broker.due:
                broker.expire(time.time())
            for name in queues:
                queue = broker.queues.get(name)
                if queue is None:
                    continue
                if queue.delayed:
                    queue.mature(time.time())
                while queue.ready and len(claims) < limit:
                    claims.append(self._hold(name, queue.take()))
                if len(claims) >= limit:
                    break
        return claims

    def _hold(self, queue: str, item: _Item) -> Claim:
        claim = Claim(queue, item.message, None, item.redelivered, item.deliveries)
        claim.receipt = id(claim)
        self._claims[claim.receipt] = (claim, item)
        return claim

    def sweep(self, limit: int) -> list[Discard]:
        broker = self._open()
        if not (broker.discards or broker.due):
            return []
        with broker.lock:
            broker.expire(time.time())
            taken, broker.discards = broker.discards[:limit], broker.discards[limit:]
            return [
                Discard(reason, self._hold(item.queue.name if item.queue else "", item))
                for reason, item in taken
            ]

    def settle(
        self,
        acks: Sequence[Claim] = (),
        releases: Sequence[Claim] = (),
        rejects: Sequence[Claim] = (),
    ) -> None:
        self._open()
        claims = self._claims
        for claim in acks:
            claims.pop(claim.receipt, None)
        for claim in rejects:
            claims.pop(claim.receipt, None)
        if releases:
            self._release([claim.receipt for claim in releases])

    def _release(self, receipts: Sequence[int]) -> None:
        broker = self.broker
        with broker.lock:
            for receipt in receipts:
                _, item = self._claims.pop(receipt, (None, None))
                if item is None or item.queue is None:
                    continue
                if broker.queues.get(item.queue.name) is not item.queue:
                    continue
                item.redelivered = True
                item.deliveries += 1
                item.queue.add(item)
                if item.expires_at is not None:
                    heapq.heappush(broker.due, (item.expires_at, item.key[1], item))
                for waiter in item.queue.waiters:
                    waiter.set()

    # ---- waking

    def wait(self, queues: Sequence[str], timeout: float | None) -> bool:
        broker = self._open()
        deadline = None if timeout is None else time.monotonic() + timeout
        wake = self._wake
        with broker.lock:
            found = [broker.queue(name) for name in queues]
            for queue in found:
                queue.waiters.add(wake)
        try:
            while True:
                if self._interrupted:
                    self._interrupted = False
                    return False
                if self._closed:
                    self._open()
                now = time.time()
                with broker.lock:
                    wake.clear()
                    broker.expire(now)
                    next_due = broker.due[0][0] if broker.due else None
                    for queue in found:
                        queue.mature(now)
                        if queue.delayed:
                            first = queue.delayed[0][0]
                            next_due = first if next_due is None else min(next_due, first)
                    if broker.discards or any(queue.ready for queue in found):
                        return True
                pause = None if deadline is None else deadline - time.monotonic()
                if pause is not None and pause <= 0:
                    return False
                if next_due is not None:
                    until_due = max(next_due - now, 0.0005)
                    pause = until_due if pause is None else min(pause, until_due)
                if not self._interrupted:
                    wake.wait(pause)
        finally:
            with broker.lock:
                for queue in found:
                    queue.waiters.discard(wake)

    def interrupt(self) -> None:
        self._interrupted = True
        self._wake.set()

    # ---- life

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._release(list(self._claims))
        self._wake.set()


class _Registry:
    """The brokers of this process, by virtual host."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._brokers: dict[str, MemoryBroker] = {}

    def broker(self, vhost: str | None) -> MemoryBroker:
        name = vhost or "/"
        with self._lock:
            broker = self._brokers.get(name)
            if broker is None:
                broker = self._brokers[name] = MemoryBroker(name)
            return broker

    def reset(self, vhost: str | None = None) -> None:
        with self._lock:
            names = list(self._brokers) if vhost is None else [vhost]
            brokers = [self._brokers[name] for name in names if name in self._brokers]
        for broker in brokers:
            broker.clear()


_registry = _Registry()


def reset(vhost: str | None = None) -> None:
    """Empty the in-memory brokers: their queues, messages, exchanges and bindings.

    Arguments:
        vhost: only this virtual host; ``None``: all of the process.
    """
    _registry.reset(vhost)


class _Messages:
    """The waiting messages of one queue, as a queue of the standard library shows them."""

    def __init__(self, store: MemoryStore, queue: str) -> None:
        self._store = store
        self._name = queue

    @property
    def queue(self) -> list[Envelope]:
        """The envelopes, the next one first."""
        found = self._store.broker.queues.get(self._name)
        return [] if found is None else [item.message for item in sorted(found.ready)]

    def qsize(self) -> int:
        """How many there are."""
        return self._store.size(self._name)

    def empty(self) -> bool:
        """Whether there are none."""
        return not self.qsize()


class Channel(virtual.Channel):
    """A channel of an in-memory broker."""

    #: Kept from 5.7; fanout goes through the bindings like every other type.
    supports_fanout = True
    do_restore = False

    @property
    def queues(self) -> Mapping[str, _Messages]:
        """The broker's queues with their waiting messages, for looking at."""
        store = self._backend
        assert isinstance(store, MemoryStore)
        return {name: _Messages(store, name) for name in list(store.broker.queues)}

    def after_reply_message_received(self, queue: str) -> None:
        """Delete the queue that a reply came by."""
        self.queue_delete(queue)


class Transport(virtual.Transport):
    """``memory://<virtual host>``: a broker inside the process.

    Arguments:
        client: the :class:`kombu.Connection` that it serves.
    """

    Channel = Channel
    driver_type = "memory"
    driver_name = "memory"
    features: ClassVar[Features] = MemoryStore.features

    #: What 5.7 kept here for all brokers: the state of the default one.
    global_state: virtual.BrokerState = _registry.broker("/").topology.state

    implements = base.Implements.of(features)

    def __init__(self, client: Any, **kwargs: Any) -> None:
        self.broker = _registry.broker(getattr(client, "virtual_host", None))
        super().__init__(client, **kwargs)

    def create_store(self) -> Store:
        """This connection's view of its broker."""
        return MemoryStore(self.broker)

    def create_topology(self) -> Topology:
        """The broker's: all connections to it share exchanges and bindings."""
        return self.broker.topology

    def driver_version(self) -> str:
        """There is no client library."""
        return "N/A"

    @staticmethod
    def reset(vhost: str | None = None) -> None:
        """See :func:`reset`."""
        reset(vhost)
