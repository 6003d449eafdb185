"""The in-memory brokers: queues of messages, one broker per virtual host."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Literal

from kombu.transport.virtual.envelope import EXPIRES_AT
from kombu.transport.virtual.policy import QueuePolicy, size_of
from kombu.transport.virtual.store import Claim, Envelope, QueueSpec
from kombu.transport.virtual.topology import Topology
from kombu.utils import forking

#: So many messages that are gone may stay where they stood before any is looked for.
_COMPACT_FROM = 64


class Item(Claim):
    """One message in one queue, and the claim on it once it was taken out.

    Which claim is meant is told by the object itself: a message that returns gets a new one.
    """

    __slots__ = ("expires_at", "gone", "home", "number", "priority", "ready_at", "size")

    def __init__(
        self,
        home: MemoryQueue,
        message: Envelope,
        priority: int,
        number: int,
        ready_at: float | None,
        expires_at: float | None,
    ) -> None:
        self.queue = home.name
        self.message = message
        self.receipt = number
        self.redelivered = False
        self.deliveries = 0
        self.home = home
        self.priority = priority
        #: Its age: less is older.
        self.number = number
        self.ready_at = ready_at
        self.expires_at = expires_at
        self.size = 0
        #: Whether it was taken out; what is gone may stay in the heaps for a while.
        self.gone = False

    def returned(self) -> Item:
        """The same message to put back, delivered once more."""
        item = Item(self.home, self.message, self.priority, self.number, None, self.expires_at)
        item.size = self.size
        item.redelivered = True
        item.deliveries = self.deliveries + 1
        return item


class MemoryQueue:
    """Ready messages by priority and age, and those that are held back."""

    __slots__ = (
        "_gone",
        "_levels",
        "_present",
        "bounded",
        "bytes",
        "count",
        "declared",
        "delayed",
        "name",
        "waiters",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        #: Whether somebody declared it; publishing to it may have made it before.
        self.declared = False
        #: Its policy, if that sets a maximum length.
        self.bounded: QueuePolicy | None = None
        self.count = 0
        self.bytes = 0
        #: How many of those on the levels are gone.
        self._gone = 0
        #: Events of those who wait for messages of this queue.
        self.waiters: set[threading.Event] = set()
        #: Priority -> messages by age; ``_present`` has a bit for each that may have some.
        self._levels: dict[int, deque[Item]] = {}
        self._present = 0
        #: What is held back, a heap: (until when, age, message).
        self.delayed: list[tuple[float, int, Item]] = []

    def declare(self, spec: QueueSpec) -> None:
        """Be what the first declaration says, also for messages that came before it."""
        if self.declared:
            return
        self.declared = True
        policy = QueuePolicy.of(spec.arguments)
        if policy is not None and policy.bounded:
            self.bounded = policy
            for item in self._items():
                item.size = size_of(item.message)
                self.bytes += item.size

    def add(self, item: Item) -> None:
        """Make a message ready, and wake who waits for it."""
        priority, number = item.priority, item.number
        level = self._levels.get(priority)
        if level is None:
            level = self._levels[priority] = deque()
        if not level or level[-1].number < number:
            level.append(item)
        else:
            # One that returns takes its old place, which is near the head (and where it may
            # have been left as gone itself).
            place = next(at for at, other in enumerate(level) if other.number >= number)
            level.insert(place, item)
        self._present |= 1 << priority
        self.count += 1
        self.bytes += item.size
        for waiter in self.waiters:
            waiter.set()

    def hold_back(self, item: Item, until: float) -> None:
        """Keep a message until its time has come."""
        heapq.heappush(self.delayed, (until, item.number, item))
        for waiter in self.waiters:
            waiter.set()

    def take(self) -> Item | None:
        """Take out the next message."""
        while self._present:
            priority = self._present.bit_length() - 1
            level = self._levels[priority]
            while level:
                item = level.popleft()
                if not item.gone:
                    item.gone = True
                    self.count -= 1
                    self.bytes -= item.size
                    return item
                self._gone -= 1
            self._present &= ~(1 << priority)
        return None

    def remove(self, item: Item) -> None:
        """Take out a ready message, wherever it stands."""
        item.gone = True
        self.count -= 1
        self.bytes -= item.size
        self._gone += 1
        if self._gone > self.count + _COMPACT_FROM:
            self._levels = {
                priority: deque(item for item in level if not item.gone)
                for priority, level in self._levels.items()
            }
            self._gone = 0

    def drop(self) -> int:
        """Drop the ready messages; how many there were."""
        count = self.count
        for item in self._items():
            item.gone = True
        self._levels.clear()
        self._present = self._gone = self.count = self.bytes = 0
        return count

    def over(self, policy: QueuePolicy, extra: int = 0, size: int = 0) -> bool:
        """Whether it is too long, with ``extra`` more messages of ``size`` bytes."""
        return (policy.max_length is not None and self.count + extra > policy.max_length) or (
            policy.max_bytes is not None and self.bytes + size > policy.max_bytes
        )

    def mature(self, now: float) -> float | None:
        """Make ready what was held back for long enough; when the next one will be."""
        delayed = self.delayed
        while delayed and delayed[0][0] <= now:
            self.add(heapq.heappop(delayed)[2])
        return delayed[0][0] if delayed else None

    def age(self, seconds: float) -> None:
        """Bring nearer what is held back, and wake who waits; call with the lock held."""
        self.delayed = [(until - seconds, number, item) for until, number, item in self.delayed]
        for waiter in self.waiters:
            waiter.set()

    def _items(self) -> Iterator[Item]:
        for priority in sorted(self._levels, reverse=True):
            for item in list(self._levels[priority]):
                if not item.gone:
                    yield item

    @property
    def messages(self) -> list[Envelope]:
        """The ready messages, the next one first."""
        return [item.message for item in self._items()]


class MemoryBroker:
    """The queues of one virtual host; safe for use by threads."""

    def __init__(self, name: str) -> None:
        self.name = name
        # Reentrant: where memory is collected, a finalizer may close another connection.
        self.lock = threading.RLock()
        self.queues: dict[str, MemoryQueue] = {}
        self.topology = Topology(vhost=name)
        self.due: list[tuple[float, int, Item]] = []
        self._entries = itertools.count()
        self._compact_at = _COMPACT_FROM
        self.discards: list[tuple[Literal["expired", "maxlen"], Item]] = []
        #: Events of those who wait for a queue that is not there.
        self._expectant: set[threading.Event] = set()
        forking.register(self)

    def after_fork_in_child(self) -> None:
        """What its parent's other threads had locked nobody unlocks."""
        self.lock = threading.RLock()
        self.topology.lock = threading.RLock()

    def clear(self) -> None:
        with self.lock:
            for name in list(self.queues):
                self.delete(name)
            self.due.clear()
            self.discards.clear()
        self.topology.clear()

    def queue(self, name: str) -> MemoryQueue:
        """The queue, made when it is not there; call with the lock held."""
        queue = self.queues.get(name)
        if queue is None:
            queue = self.queues[name] = MemoryQueue(name)
            for waiter in self._expectant:
                waiter.set()
        return queue

    def delete(self, name: str) -> int:
        """Delete a queue; how many ready messages it had. Call with the lock held."""
        queue = self.queues.pop(name, None)
        if queue is None:
            return 0
        for waiter in queue.waiters:  # from now on they wait for its successor
            waiter.set()
        for _, _, item in queue.delayed:
            item.gone = True
        return queue.drop()

    def listen(self, waiter: threading.Event, names: Sequence[str]) -> list[MemoryQueue]:
        """Have an event set by what comes into these queues, which need not be there yet.

        Call with the lock held, and again after the event was set.

        Returns:
            those that are there.
        """
        found = [self.queues[name] for name in names if name in self.queues]
        for queue in found:
            queue.waiters.add(waiter)
        if len(found) < len(names):
            self._expectant.add(waiter)
        return found

    def forget(self, waiter: threading.Event, names: Sequence[str]) -> None:
        """Undo :meth:`listen`; call with the lock held."""
        self._expectant.discard(waiter)
        for name in names:
            if name in self.queues:
                self.queues[name].waiters.discard(waiter)

    def expire(self, now: float) -> None:
        """Set aside what is past its time; call with the lock held."""
        while self.due and self.due[0][0] <= now:
            item = heapq.heappop(self.due)[2]
            if not item.gone:
                item.home.mature(now)  # what was held back until now counts as ready first
                item.home.remove(item)
                self.discards.append(("expired", item))

    def age(self, seconds: float) -> None:
        """Let everything that waits for its time be ``seconds`` older, for tests."""
        with self.lock:
            for _, _, item in self.due:
                if item.expires_at is not None:
                    item.expires_at -= seconds
                    item.message["properties"][EXPIRES_AT] = item.expires_at
            self.due = [(at - seconds, number, item) for at, number, item in self.due]
            for queue in self.queues.values():
                queue.age(seconds)
        with self.topology.lock:
            for record in self.topology.queues.values():
                record.last_used -= seconds
            self.topology.outlives_at = 0.0

    def expires(self, item: Item) -> None:
        """Look after a message's time; call with the lock held."""
        if item.expires_at is None:
            return
        if len(self.due) >= self._compact_at:
            # What was delivered before its time is not to stay until then.
            self.due = [entry for entry in self.due if not entry[2].gone]
            heapq.heapify(self.due)
            self._compact_at = max(2 * len(self.due), _COMPACT_FROM)
        heapq.heappush(self.due, (item.expires_at, next(self._entries), item))


class Registry:
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

    def forget(self, vhost: str) -> None:
        """Empty one broker and let go of it."""
        with self._lock:
            broker = self._brokers.pop(vhost, None)
        if broker is not None:
            broker.clear()

    def drop(self) -> None:
        """Drop all messages that wait in any broker; queues and bindings stay."""
        with self._lock:
            brokers = list(self._brokers.values())
        for broker in brokers:
            with broker.lock:
                for queue in broker.queues.values():
                    queue.drop()

    def reset(self, vhost: str | None = None) -> None:
        """Empty one broker, or all."""
        with self._lock:
            names = list(self._brokers) if vhost is None else [vhost]
            brokers = [self._brokers[name] for name in names if name in self._brokers]
        for broker in brokers:
            broker.clear()


#: All brokers of this process.
registry = Registry()
