"""One connection's view of an in-memory broker."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence

from amqp.exceptions import RecoverableConnectionError

from kombu.transport.features import Features
from kombu.transport.memory.broker import Item, MemoryBroker
from kombu.transport.virtual.policy import size_of
from kombu.transport.virtual.store import (
    Claim,
    Discard,
    PartialPutError,
    Put,
    QueueFull,
    QueueSpec,
    Store,
)

#: Ages.
_numbers = itertools.count(1)


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
        self._claims: set[Claim] = set()
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
            broker.queue(queue.name).declare(queue)

    def delete(self, queue: str) -> int:
        broker = self._open()
        with broker.lock:
            return broker.delete(queue)

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
        if self._closed:
            self._open()
        broker = self.broker
        if len(puts) == 1:
            with broker.lock:
                self._put_one(broker, puts[0])
            return
        failed: dict[int, BaseException] = {}
        with broker.lock:
            for index, put in enumerate(puts):
                try:
                    self._put_one(broker, put)
                except QueueFull as exc:
                    failed[index] = exc
        if failed:
            raise PartialPutError(failed)

    def _put_one(self, broker: MemoryBroker, put: Put) -> None:
        name, message, priority, ready_at, expires_at = put
        queue = broker.queues.get(name) or broker.queue(name)
        item = Item(queue, message, priority, next(_numbers), ready_at, expires_at)
        bounded = queue.bounded
        if bounded is None and ready_at is None and expires_at is None:
            queue.add(item)
            return
        if bounded is not None:
            item.size = size_of(message)
            if bounded.overflow != "drop-head" and queue.over(bounded, 1, item.size):
                if bounded.overflow == "reject-publish-dlx":
                    broker.discards.append(("maxlen", item))
                raise QueueFull(f"queue {name!r} is full")
        if ready_at is not None:
            queue.hold_back(item, ready_at)
        else:
            queue.add(item)
            if bounded is not None:
                while queue.over(bounded):
                    oldest = queue.take()
                    if oldest is not None:
                        broker.discards.append(("maxlen", oldest))
        if expires_at is not None:
            broker.expires(item)

    def claim(self, queues: Sequence[str], limit: int) -> list[Claim]:
        if self._closed:
            self._open()
        broker = self.broker
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
                item = queue.take()
                while item is not None:
                    claims.append(item)
                    self._claims.add(item)
                    if len(claims) >= limit:
                        return claims
                    item = queue.take()
        return claims

    def sweep(self, limit: int) -> list[Discard]:
        broker = self.broker
        if not (broker.discards or broker.due):
            return []
        self._open()
        with broker.lock:
            broker.expire(time.time())
            taken, broker.discards = broker.discards[:limit], broker.discards[limit:]
            self._claims.update(item for _, item in taken)
            return [Discard(reason, item) for reason, item in taken]

    def settle(
        self,
        acks: Sequence[Claim] = (),
        releases: Sequence[Claim] = (),
        rejects: Sequence[Claim] = (),
    ) -> None:
        if self._closed:
            self._open()
        held = self._claims
        for claim in acks:
            held.discard(claim)
        for claim in rejects:
            held.discard(claim)
        if releases:
            self._release(releases)

    def _release(self, claims: Sequence[Claim]) -> None:
        broker = self.broker
        with broker.lock:
            for claim in claims:
                if not isinstance(claim, Item) or claim not in self._claims:
                    continue
                self._claims.discard(claim)
                if broker.queues.get(claim.queue) is claim.home:
                    item = claim.returned()
                    item.home.add(item)
                    broker.expires(item)

    # ---- waking

    def wait(self, queues: Sequence[str], timeout: float | None) -> bool:
        broker = self._open()
        deadline = None if timeout is None else time.monotonic() + timeout
        wake = self._wake
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
                    found = broker.listen(wake, queues)
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
                broker.forget(wake, queues)

    def interrupt(self) -> None:
        self._interrupted = True
        self._wake.set()

    # ---- life

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._release(sorted(self._claims, key=lambda claim: claim.receipt))
        self._wake.set()
