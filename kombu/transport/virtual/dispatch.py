"""Which message goes to which consumer next: fair, within credit, one at a time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from kombu.transport.virtual.lease import LeaseKeeper
from kombu.transport.virtual.store import Claim, Store
from kombu.utils.scheduling import round_robin_cycle

#: Seconds for which a queue that was found empty is not asked again while others have work.
_DRY_TIME = 0.005


class Consumer:
    """One consumer of one queue on one channel.

    Arguments:
        tag: unique on its channel.
        deliver: called with a raw message, or with the claim on one.
        shared: claims may be made for several queues of the channel at once, because this
            consumer has no limit of its own.
        active: whether it may be given messages now (``x-single-active-consumer``).
    """

    __slots__ = ("active", "channel", "deliver", "no_ack", "queue", "shared", "tag")

    def __init__(
        self,
        channel: Any,
        tag: str,
        queue: str,
        no_ack: bool,
        deliver: Callable[[Any], Any],
        shared: bool = True,
        active: Callable[[], bool] | None = None,
    ) -> None:
        self.channel = channel
        self.tag = tag
        self.queue = queue
        self.no_ack = no_ack
        self.deliver = deliver
        self.shared = shared
        self.active = active

    def credit(self) -> int | None:
        """How many more messages it may be given; ``None`` is no limit."""
        if not self.channel.is_flowing or (self.active is not None and not self.active()):
            return 0
        if self.no_ack:
            return None
        credit: int | None = self.channel._credit(self.tag)
        return credit


class Consumers:
    """All consumers of one connection, by queue, each queue's in turn."""

    def __init__(self) -> None:
        self._by_queue: dict[str, deque[Consumer]] = {}
        #: The only consumer, when there is one and no more.
        self.sole: Consumer | None = None

    def __iter__(self) -> Iterator[Consumer]:
        for ring in list(self._by_queue.values()):
            yield from list(ring)

    def __contains__(self, queue: object) -> bool:
        return queue in self._by_queue

    def add(self, consumer: Consumer) -> None:
        self._by_queue.setdefault(consumer.queue, deque()).append(consumer)
        self._count()

    def remove(self, consumer: Consumer) -> None:
        ring = self._by_queue.get(consumer.queue)
        if ring is not None and consumer in ring:
            ring.remove(consumer)
            if not ring:
                self._by_queue.pop(consumer.queue, None)
            self._count()

    def _count(self) -> None:
        everyone = list(self)
        self.sole = everyone[0] if len(everyone) == 1 else None

    @property
    def queues(self) -> list[str]:
        """Queues with consumers, in the order they were first consumed."""
        return list(self._by_queue)

    def next(self, queue: str, only: Any = None) -> Consumer | None:
        """The next consumer of ``queue`` with credit; its turn comes again after the others'.

        Arguments:
            only: a channel, to ask only its consumers.
        """
        ring = self._by_queue.get(queue)
        if ring is not None and len(ring) == 1 and only is None:
            return ring[0] if ring[0].credit() != 0 else None
        for _ in range(len(ring) if ring else 0):
            consumer = ring[0]  # type: ignore[index]
            ring.rotate(-1)  # type: ignore[union-attr]
            if only is not None and consumer.channel is not only:
                continue
            if consumer.credit() != 0:
                return consumer
        return None

    def any(self, queue: str, only: Any = None) -> Consumer | None:
        """Some consumer of ``queue``, with credit or without."""
        for consumer in list(self._by_queue.get(queue, ())):
            if only is None or consumer.channel is only:
                return consumer
        return None

    def peek(self, queue: str) -> Consumer | None:
        """As :meth:`next`, leaving the turn as it is."""
        for consumer in tuple(self._by_queue.get(queue, ())):
            if consumer.credit() != 0:
                return consumer
        return None

    def alone(self, queue: str) -> bool:
        """Whether a queue has one consumer only."""
        return len(self._by_queue.get(queue, ())) == 1


#: Under an event loop, an empty queue is asked again once a descriptor says so.
_UNTIL_HEARD_OF = float("inf")

#: Under an event loop, a claim waits a moment until one in so many of the window is free.
_WORTHWHILE = 4


class Dispatcher:
    """Claims messages for the consumers of one connection and hands them out.

    Not for concurrent use: one thread drains a connection, as ever. Settling may happen in
    other threads meanwhile.

    Arguments:
        store: where messages come from.
        keeper: who keeps them leased.
        cycle: whose turn it is, of :mod:`kombu.utils.scheduling`; by default all take turns.
    """

    def __init__(self, store: Store, keeper: LeaseKeeper, cycle: Any = None) -> None:
        self.store = store
        self.keeper = keeper
        self.consumers = Consumers()
        self.waiting = False
        #: Whether an event loop drives the connection.
        self.evented = False
        self._inbox: dict[str, deque[Claim]] = {}
        self._dry: dict[str, float] = {}
        self._cycle = round_robin_cycle() if cycle is None else cycle
        self._in_cycle: list[str] = []

    @property
    def holding(self) -> bool:
        """Whether messages are claimed and not handed out yet."""
        return bool(self._inbox)

    def worth_claiming(self) -> bool:
        """Whether the free credit is a good part of a window, or nobody's is short."""
        scarce = False
        for consumer in self.consumers:
            credit = consumer.credit()
            if credit and not self.is_dry(consumer.queue):
                if credit * _WORTHWHILE >= (consumer.channel.qos.prefetch_count or 0):
                    return True
                scarce = True
        return not scarce

    def is_dry(self, queue: str) -> bool:
        """Whether the last claim found the queue empty, and nothing was heard of it since."""
        return self._dry.get(queue, 0.0) > time.monotonic()

    def ask_again(self) -> None:
        """Something may have come: no queue counts as empty any more."""
        self._dry.clear()

    # ---- what is claimed

    def prefer(self, claims: list[Claim]) -> None:
        """Keep claimed messages for their queues' consumers."""
        for claim in claims:
            self._inbox.setdefault(claim.queue, deque()).append(claim)

    def release(self, queue: str | None = None) -> None:
        """Give undelivered messages of one queue, or of all, back in their order."""
        if queue is None:
            claims = [claim for inbox in self._inbox.values() for claim in inbox]
            self._inbox.clear()
        else:
            claims = list(self._inbox.pop(queue, ()))
        if claims:
            self.keeper.settle(releases=claims)

    def review(self) -> None:
        """Give back what no consumer has credit for any more."""
        for queue in list(self._inbox):
            inbox = self._inbox[queue]
            total = 0
            for consumer in self.consumers:
                if consumer.queue == queue:
                    credit = consumer.credit()
                    if credit is None:
                        break
                    total += credit
            else:
                surplus = [inbox.pop() for _ in range(max(len(inbox) - total, 0))]
                if not inbox:
                    del self._inbox[queue]
                if surplus:
                    self.keeper.settle(releases=surplus[::-1])
        if self.waiting:
            self.store.interrupt()

    # ---- what comes next

    def _rotation(self) -> list[str]:
        """All consumed queues, the one whose turn it is first."""
        current = self.consumers.queues
        if current != self._in_cycle:
            kept: list[str] = []
            if type(self._cycle) is round_robin_cycle:  # turns go on where they were
                kept = [each for each in self._cycle.items if each in current]
            self._cycle.update([*kept, *(each for each in current if each not in kept)])
            self._in_cycle = current
        return list(self._cycle.consume(len(current)))

    def next(self) -> tuple[Consumer, Claim] | None:
        """One message and its consumer; ``None`` when nothing can be handed out now."""
        consumer = self.consumers.sole
        if consumer is None:
            return self._next_in_turn()
        queue = consumer.queue
        inbox = self._inbox.get(queue)
        credit = consumer.credit()
        if credit == 0:
            if inbox:
                self.release(queue)
            return None
        if not inbox:
            store, keeper = self.store, self.keeper
            if not keeper.idle:
                keeper.tick()
            if self.evented and self.is_dry(queue):
                return None
            wanted = store.claim_window or 1
            if credit is not None and credit < wanted:
                wanted = credit
            claims = store.claim((queue,), wanted)
            if self.evented and len(claims) < wanted:
                self._dry[queue] = _UNTIL_HEARD_OF
            if not claims:
                return None
            if store.lease is not None:
                keeper.hold(claims)
            if len(claims) == 1:
                return consumer, claims[0]
            self.prefer(claims)
            inbox = self._inbox[queue]
        claim = inbox.popleft()
        if not inbox:
            del self._inbox[queue]
        return consumer, claim

    def _next_in_turn(self) -> tuple[Consumer, Claim] | None:
        """:meth:`next` where there are several consumers: the one that waited longest first."""
        rotation = self._rotation()
        now = time.monotonic()
        best: tuple[Consumer, str] | None = None
        for queue in rotation:
            consumer = self.consumers.peek(queue)
            inbox = self._inbox.get(queue)
            if consumer is None:
                if inbox:
                    self.release(queue)
                continue
            if not inbox:
                if self._dry.get(queue, 0.0) > now:
                    continue
                self._claim(consumer, rotation, now)
                inbox = self._inbox.get(queue)
            if inbox and (best is None or inbox[0].rank < self._inbox[best[1]][0].rank):
                best = consumer, queue
                if not inbox[0].rank:
                    break
        if best is None:
            return None
        consumer, queue = best
        inbox = self._inbox[queue]
        claim = inbox.popleft()
        if not inbox:
            del self._inbox[queue]
        if len(rotation) > 1:
            self._cycle.rotate(queue)
        if not self.consumers.alone(queue):
            consumer = self.consumers.next(queue) or consumer
        return consumer, claim

    def _claim(self, consumer: Consumer, rotation: list[str], now: float) -> None:
        """Fetch a window of messages for one consumer, and others of its channel alike."""
        queues = [consumer.queue]
        if consumer.shared and len(rotation) > 1:
            start = rotation.index(consumer.queue)
            for queue in (*rotation[start + 1 :], *rotation[:start]):
                other = self.consumers.peek(queue)
                if (
                    other is not None
                    and other.channel is consumer.channel
                    and other.shared
                    and other.no_ack == consumer.no_ack
                    and queue not in self._inbox
                    and self._dry.get(queue, 0.0) <= now
                ):
                    queues.append(queue)
        window = self.store.claim_window or 1
        credit = consumer.credit()
        if credit is not None and self._inbox:
            credit -= sum(
                len(inbox)
                for queue, inbox in self._inbox.items()
                if any(c.queue == queue and c.channel is consumer.channel for c in self.consumers)
            )
        if credit is not None:
            if credit <= 0:
                return
            window = min(window, credit)
        self.keeper.tick()
        claims = self.store.claim(queues, window)
        if claims:
            self.keeper.hold(claims)
            self.prefer(claims)
        if self.evented and len(claims) < window:
            self._dry.update(dict.fromkeys(queues, _UNTIL_HEARD_OF))
        elif not claims:
            self._dry.update(dict.fromkeys(queues, now + _DRY_TIME))

    def wait(self, timeout: float | None) -> bool:
        """Sleep until there may be something to hand out; whether there may."""
        self.keeper.flush()
        self._dry.clear()
        self.waiting = True  # before credit is read: who returns some later interrupts us
        try:
            return self.store.wait(self.wanted(), timeout)
        finally:
            self.waiting = False

    def wanted(self) -> list[str]:
        """Queues that a consumer with credit waits on, the next one first."""
        return [queue for queue in self._rotation() if self.consumers.peek(queue) is not None]

    def ack(self, claims: Sequence[Claim]) -> None:
        """Settle as done: with company while more messages follow or a loop runs, else at once."""
        self.keeper.ack(claims, now=not (self.evented or self._inbox))
        if self.waiting:
            self.store.interrupt()

    def credit_returned(self) -> None:
        """Called after an acknowledgement: a drain without credit may go on."""
        if self.waiting:
            self.store.interrupt()
