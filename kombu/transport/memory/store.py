"""One connection's view of an in-memory broker."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence

from amqp.exceptions import RecoverableConnectionError

from kombu.transport.features import Features
from kombu.transport.memory.broker import Item, MemoryBroker, MemoryQueue
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

#: Ages and receipts.
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
        self._claims: dict[int, Item] = {}
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
        item = Item(
            queue, put.message, (put.priority, next(_numbers)), put.ready_at, put.expires_at
        )
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
        if put.expires_at is not None:
            broker.expires(item)

    def claim(self, queues: Sequence[str], limit: int) -> list[Claim]:
        broker = self._open()
        claims: list[Claim] = []
        with broker.lock:
            now = time.time()
            if broker.due:
                broker.expire(now)
            for name in queues:
                queue = broker.queues.get(name)
                if queue is None:
                    continue
                if queue.delaying:
                    queue.mature(now)
                while len(claims) < limit:
                    item = queue.take()
                    if item is None:
                        break
                    claims.append(self._hold(item))
                if len(claims) >= limit:
                    break
        return claims

    def _hold(self, item: Item) -> Claim:
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
