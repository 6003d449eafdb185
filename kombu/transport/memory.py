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

_numbers = itertools.count(1)


class _Item:
    """One message in one queue; never changed once it was taken out of it."""

    __slots__ = (
        "deliveries",
        "expires_at",
        "gone",
        "key",
        "message",
        "queue",
        "ready_at",
        "size",
    )

    def __init__(
        self,
        queue: MemoryQueue,
        message: Envelope,
        key: tuple[int, int],
        ready_at: float | None,
        expires_at: float | None,
        size: int = 0,
        deliveries: int = 0,
    ) -> None:
        self.queue = queue
        self.message = message
        #: Priority, highest first, then age: a message that returns takes its old place.
        self.key = key
        self.ready_at = ready_at
        self.expires_at = expires_at
        self.size = size
        self.deliveries = deliveries
        #: Whether it was taken out; what is gone may stay in the heaps for a while.
        self.gone = False

    def __lt__(self, other: _Item) -> bool:
        return self.key < other.key

    def returned(self) -> _Item:
        """The same message to put back, delivered once more."""
        return _Item(
            self.queue,
            self.message,
            self.key,
            None,
            self.expires_at,
            self.size,
            self.deliveries + 1,
        )


class MemoryQueue:
    """Ready messages by priority and age, and those that are held back."""

    def __init__(self, spec: QueueSpec) -> None:
        self.name = spec.name
        self.policy = QueuePolicy.of(spec.arguments)
        self.count = 0
        self.bytes = 0
        #: Events of those who wait for messages of this queue.
        self.waiters: set[threading.Event] = set()
        self._ready: list[_Item] = []
        self._delayed: list[tuple[float, int, _Item]] = []

    def add(self, item: _Item) -> None:
        """Make a message ready, and wake who waits for it."""
        heapq.heappush(self._ready, item)
        self.count += 1
        self.bytes += item.size
        for waiter in self.waiters:
            waiter.set()

    def hold_back(self, item: _Item, until: float) -> None:
        """Keep a message until its time has come."""
        heapq.heappush(self._delayed, (until, item.key[1], item))
        for waiter in self.waiters:
            waiter.set()

    def take(self) -> _Item | None:
        """Take out the next message."""
        while self._ready:
            item = heapq.heappop(self._ready)
            if not item.gone:
                self.remove(item)
                return item
        return None

    def remove(self, item: _Item) -> None:
        """Take out a ready message, wherever it stands."""
        item.gone = True
        self.count -= 1
        self.bytes -= item.size

    def drop(self) -> int:
        """Drop the ready messages; how many there were."""
        count = self.count
        for item in self._ready:
            item.gone = True
        self._ready = []
        self.count = self.bytes = 0
        return count

    def over(self, policy: QueuePolicy, extra: int = 0, size: int = 0) -> bool:
        """Whether it is too long, with ``extra`` more messages of ``size`` bytes."""
        return (policy.max_length is not None and self.count + extra > policy.max_length) or (
            policy.max_bytes is not None and self.bytes + size > policy.max_bytes
        )

    def mature(self, now: float) -> float | None:
        """Make ready what was held back for long enough; when the next one will be."""
        delayed = self._delayed
        while delayed and delayed[0][0] <= now:
            self.add(heapq.heappop(delayed)[2])
        return delayed[0][0] if delayed else None

    @property
    def messages(self) -> list[Envelope]:
        """The ready messages, the next one first."""
        return [item.message for item in sorted(self._ready) if not item.gone]


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
            if not item.gone:
                item.queue.remove(item)
                self.discards.append(("expired", item))

    def expires(self, item: _Item) -> None:
        """Look after a message's time; call with the lock held."""
        if item.expires_at is not None:
            heapq.heappush(self.due, (item.expires_at, item.key[1], item))


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
        self._claims: dict[int, _Item] = {}
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
            return 0 if gone is None else gone.drop()

    def exists(self, queue: str) -> bool:
        return queue in self._open().queues

    def size(self, queue: str) -> int:
        broker = self._open()
        with broker.lock:
            known = broker.queues.get(queue)
            if known is None:
                return 0
            now = time.time()
            known.mature(now)
            broker.expire(now)
            return known.count

    def purge(self, queue: str) -> int:
        broker = self._open()
        with broker.lock:
            known = broker.queues.get(queue)
            return 0 if known is None else known.drop()

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
        key = (-put.priority, next(_numbers))
        item = _Item(queue, put.message, key, put.ready_at, put.expires_at)
        policy = queue.policy
        if policy is not None and policy.bounded:
            item.size = size_of(put.message)
            if policy.overflow != "drop-head" and queue.over(policy, 1, item.size):
                if policy.overflow == "reject-publish-dlx":
                    broker.discards.append(("maxlen", item))
                raise QueueFull(f"queue {put.queue!r} is full")
        if put.ready_at is not None:
            queue.hold_back(item, put.ready_at)
        else:
            queue.add(item)
            if policy is not None and policy.bounded:
                while queue.over(policy):
                    oldest = queue.take()
                    if oldest is not None:
                        broker.discards.append(("maxlen", oldest))
        broker.expires(item)

    def claim(self, queues: Sequence[str], limit: int) -> list[Claim]:
        broker = self._open()
        claims: list[Claim] = []
        with broker.lock:
            now = time.time()
            broker.expire(now)
            for name in queues:
                queue = broker.queues.get(name)
                if queue is None:
                    continue
                queue.mature(now)
                while len(claims) < limit:
                    item = queue.take()
                    if item is None:
                        break
                    claims.append(self._hold(item))
                if len(claims) >= limit:
                    break
        return claims

    def _hold(self, item: _Item) -> Claim:
        claim = Claim(
            item.queue.name, item.message, next(_numbers), item.deliveries > 0, item.deliveries
        )
        self._claims[claim.receipt] = item
        return claim

    def sweep(self, limit: int) -> list[Discard]:
        broker = self._open()
        if not (broker.discards or broker.due):
            return []
        with broker.lock:
            broker.expire(time.time())
            taken, broker.discards = broker.discards[:limit], broker.discards[limit:]
            return [Discard(reason, self._hold(item)) for reason, item in taken]

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
                item = self._claims.pop(receipt, None)
                if item is None or broker.queues.get(item.queue.name) is not item.queue:
                    continue
                item = item.returned()
                item.queue.add(item)
                broker.expires(item)

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
                        first = queue.mature(now)
                        if first is not None:
                            next_due = first if next_due is None else min(next_due, first)
                    if broker.discards or any(queue.count for queue in found):
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
        return [] if found is None else found.messages

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
