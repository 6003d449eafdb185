"""Kafka topics as a store of leased messages: membership in a queue's group is the lease."""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

from amqp.exceptions import ConsumerCancelled, ResourceLocked

from kombu.transport.confluentkafka.clients import Clients
from kombu.transport.confluentkafka.feed import Feed
from kombu.transport.confluentkafka.names import group_name, topic_name
from kombu.transport.confluentkafka.partition import Holding
from kombu.transport.confluentkafka.sending import Outgoing, Sender
from kombu.transport.confluentkafka.topology import TopologyLog
from kombu.transport.features import SHARED_STORE
from kombu.transport.virtual.envelope import noting
from kombu.transport.virtual.steps import PrioritySteps, step_name
from kombu.transport.virtual.store import Claim, Put, QueueSpec, raise_failed
from kombu.transport.waking import Looking, Waker, WakerStore
from kombu.utils.json import dumps
from kombu.utils.loggers import get_logger

logger = get_logger(__name__)


class KafkaStore(WakerStore):
    """Messages in topics; a queue with priorities is one topic a step.

    Arguments:
        clients: closed by this store.
        consumed: whether a queue has a consumer on this connection.
    """

    features = replace(
        SHARED_STORE,
        event_loop=True,
        unicode_names=False,
        max_length_bytes=False,
    )
    claim_window = 100

    def __init__(
        self, clients: Clients, consumed: Callable[[str], bool] = lambda queue: False
    ) -> None:
        self.clients = clients
        self.consumed = consumed
        self.steps = PrioritySteps(lambda queue, step: step_name(topic_name(queue), step))
        self.sender = Sender(clients.producer, clients.options.delivery_timeout)
        topic = clients.options.topology_topic
        self.topology = TopologyLog(clients, self.sender, topic) if topic else None
        self.waker = Waker(Looking(self._has_news))
        self._lock = threading.RLock()
        self._feeds: dict[str, Feed] = {}
        self._known: set[str] = set()
        self._pid = os.getpid()

    # ---- queues

    def _topics(self, queue: str) -> list[str]:
        """Topics of a queue, highest priority first."""
        own = topic_name(queue)
        return [own if source == queue else source for source in self.steps.sources(queue)]

    def declare(self, queue: QueueSpec) -> None:
        self.steps.declare(queue)
        for topic in self._topics(queue.name):
            self._ensure(topic)
        topology, arguments = self.topology, dict(queue.arguments)
        if topology is not None and arguments and topology.arguments_of(queue.name) != arguments:
            topology.write(arguments, ("queue", queue.name))

    def _ensure(self, topic: str) -> None:
        if topic not in self._known:
            self.clients.make(topic)
            self._known.add(topic)

    def delete(self, queue: str) -> int:
        if not self.exists(queue):
            return 0
        count = self.size(queue)
        topics = self._topics(queue)
        with self._lock:
            feed = self._feeds.pop(queue, None)
        if feed is not None:
            feed.close(self.clients.timeout)
        for topic in topics:
            self._known.discard(topic)
            self.clients.delete(topic, group_name(queue) if topic == topics[-1] else None)
        self.steps.forget(queue)
        if self.topology is not None:
            bindings = [("binding", source, *row) for source, row in self.topology.rows_of(queue)]
            self.topology.write(None, ("queue", queue), *bindings)
        return count

    def exists(self, queue: str) -> bool:
        return bool(self.clients.partitions(topic_name(queue)))

    def size(self, queue: str) -> int:
        return sum(self._size(queue, topic) for topic in self._topics(queue))

    def _size(self, queue: str, topic: str) -> int:
        partitions = self.clients.partitions(topic)
        if not partitions:
            return 0
        feed = self._feeds.get(queue)
        owned = feed.owned(topic) if feed is not None else set()
        others = [number for number in partitions if number not in owned]
        committed = self.clients.committed(group_name(queue), topic, others) if others else {}
        count = 0
        for number in partitions:
            first, end = self.clients.end(topic, number)
            if feed is not None and number in owned:
                count += feed.unread(topic, number, end)
                continue
            commit = committed.get(number)
            start = first if commit is None else max(first, commit.offset)
            done = sum(last - since + 1 for since, last in commit.done) if commit else 0
            count += max(end - start - done, 0)
        return count

    def purge(self, queue: str) -> int:
        """Drop what is ready.

        Raises:
            ResourceLocked: 405; partitions of the queue belong to another consumer, and
                Kafka lets nobody else say that their messages are done.
        """
        topics = self._topics(queue)
        partitions = {topic: self.clients.partitions(topic) for topic in topics}
        if not any(partitions.values()):
            return 0
        feed = self._feed(queue)
        feed.await_work(self.clients.options.wait_time_seconds)
        self._raise_error(feed)
        if any(set(numbers) - feed.owned(topic) for topic, numbers in partitions.items()):
            raise ResourceLocked(
                f"queue {queue!r} can't be purged from here: partitions of it belong to "
                f"another consumer of its group"
            )
        ends = {
            (topic, number): self.clients.end(topic, number)[1]
            for topic, numbers in partitions.items()
            for number in numbers
        }
        return feed.purge(ends)

    # ---- sending

    def put(self, puts: Sequence[Put]) -> None:
        records = [Outgoing(self._topic(put), self._value(put)) for put in puts]
        for topic in {record.topic for record in records}:
            self._ensure(topic)
        failed = self.sender.send(records)
        self._known.difference_update(records[index].topic for index in failed)
        raise_failed(puts, failed)

    def _topic(self, put: Put) -> str:
        source = self.steps.source(put.queue, put.priority)
        return topic_name(source) if source == put.queue else source

    @staticmethod
    def _value(put: Put) -> bytes:
        return dumps(noting(put.message, put.ready_at)).encode()

    # ---- receiving

    def _feed(self, queue: str) -> Feed:
        """The queue's membership, begun where there is none."""
        topics = self._topics(queue)
        with self._lock:
            feed = self._feeds.get(queue)
            if feed is not None and (feed.closed or feed.topics != tuple(topics)):
                feed.close(self.clients.timeout)
                feed = None
            if feed is None:
                feed = Feed(self, queue, group_name(queue), topics)
                self._feeds[queue] = feed
                feed.start()
            return feed

    def _joined(self, queue: str) -> Feed | None:
        """As :meth:`_feed`; ``None`` where there is no such queue."""
        topic = topic_name(queue)
        if topic not in self._known:
            if not self.exists(queue):
                return None
            self._known.add(topic)
        return self._feed(queue)

    def claim(self, queues: Sequence[str], limit: int) -> list[Claim]:
        """See :class:`Store`; for a queue without a consumer it waits until sure that it is empty.

        That is, on the first claim, until the group has dealt out the partitions, for
        ``wait_time_seconds`` at most.
        """
        claims: list[Claim] = []
        for queue in queues:
            if len(claims) >= limit:
                break
            feed = self._joined(queue)
            if feed is None:
                continue
            self._raise_error(feed)
            found = feed.take(limit - len(claims))
            if not found and not self.consumed(queue):
                feed.await_work(self.clients.options.wait_time_seconds)
                self._raise_error(feed)
                found = feed.take(limit - len(claims))
            claims += found
        return claims

    def _raise_error(self, feed: Feed) -> None:
        error = feed.error
        if error is not None:
            with self._lock:
                if self._feeds.get(feed.queue) is feed:
                    del self._feeds[feed.queue]
            feed.close(0)
            raise error
        if feed.suspect:
            feed.suspect = False
            if not self.exists(feed.queue):
                self._known.difference_update(feed.topics)
                # As RabbitMQ's: clients connect again, and declare what they consume.
                raise ConsumerCancelled(f"queue {feed.queue!r} was deleted while it was consumed")

    def settle(
        self,
        acks: Sequence[Claim] = (),
        releases: Sequence[Claim] = (),
        rejects: Sequence[Claim] = (),
    ) -> None:
        by_feed: dict[Feed, tuple[list[Holding], list[Holding]]] = defaultdict(lambda: ([], []))
        for claim in (*acks, *rejects):
            by_feed[claim.receipt.feed][0].append(claim.receipt)
        for claim in releases:
            by_feed[claim.receipt.feed][1].append(claim.receipt)
        for feed, (done, back) in by_feed.items():
            feed.settle(done, back)

    # ---- what feeds need

    def news(self) -> None:
        """Something can be claimed, or an error is to be raised."""
        self.waker.ring()

    def quarantine(self, queue: str, value: bytes | None) -> None:
        """Keep what is no message in a topic beside the queue's."""
        aside = f"{topic_name(queue)}.undecodable"
        logger.error("queue %r holds what is no message: moved to topic %r", queue, aside)
        self._ensure(aside)
        failed = self.sender.send([Outgoing(aside, value)])
        if failed:
            raise failed[0]

    # ---- waking

    def _has_news(self, queues: Sequence[str]) -> bool:
        for queue in queues:
            feed = self._joined(queue)
            if feed is not None and (feed.has_ready or feed.error is not None or feed.suspect):
                return True
        return False

    # ---- life

    def close(self) -> None:
        if os.getpid() != self._pid:
            return
        with self._lock:
            feeds = list(self._feeds.values())
            self._feeds.clear()
        for feed in feeds:
            feed.close(0)
        deadline = time.monotonic() + self.clients.timeout
        for feed in feeds:
            feed.close(max(deadline - time.monotonic(), 0.0))
        self.waker.close()
        if self.topology is not None:
            self.topology.close()
        self.sender.close()
        self.clients.close()
