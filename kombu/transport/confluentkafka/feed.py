"""One queue's membership in its consumer group: partitions, rebalances, commits.

A thread of its own polls the client, so that the group goes on, and takes part in rebalances,
however long an application works on a message. The membership is the lease: a process that
dies is left out of the group after ``session.timeout.ms``. No other thread calls the client:
its calls wait for each other, and a poll's callbacks wait for the lock of this membership.

A rebalance stops deliveries. Before partitions are given up, what is acknowledged is
committed. Partitions that come back to this member go on where they were, with what is held
still held; holdings in the others are void, and the new owner delivers those messages again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Protocol

from amqp.exceptions import ChannelError, RecoverableConnectionError
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from kombu.transport.confluentkafka.clients import Clients
from kombu.transport.confluentkafka.errors import (
    ERRORS,
    REFUSED,
    UNAUTHENTICATED,
    UNKNOWN_TOPIC,
    error_of,
)
from kombu.transport.confluentkafka.marks import Commit
from kombu.transport.confluentkafka.partition import Holding, Partition
from kombu.transport.virtual.envelope import parse
from kombu.transport.virtual.store import Claim
from kombu.utils.loggers import get_logger

logger = get_logger(__name__)

#: Seconds of one poll; what comes ends it early.
POLL = 0.1
#: Messages of one poll.
BATCH = 500
#: Reading of a partition stops above so many messages that wait, and goes on below so many.
FULL, LOW = 2000, 500


class Host(Protocol):
    """What a feed needs of its store."""

    clients: Clients

    def consumed(self, queue: str) -> bool:
        """Whether the queue has a consumer on this connection."""

    def news(self) -> None:
        """Something can be claimed, or an error is to be raised."""

    def quarantine(self, queue: str, value: bytes | None) -> None:
        """Keep what is no message elsewhere."""


class Feed:
    """The membership of one queue; it runs from :meth:`start` until it is closed.

    Arguments:
        topics: of the queue, highest priority first.
    """

    def __init__(self, host: Host, queue: str, group: str, topics: Sequence[str]) -> None:
        self.host = host
        self.queue = queue
        self.topics = tuple(topics)
        self.error: Exception | None = None
        #: Whether the client said that it reaches no broker, or finds no topic.
        self.suspect = False
        self.closed = False
        self._changed = threading.Condition(threading.RLock())
        self._partitions: dict[tuple[str, int], Partition] = {}
        self._settled = False
        self._closing = False
        self._retiring = False
        self._claimers = 0
        self._used = time.monotonic()
        self._turn = 0
        self._committing = False
        #: Where to read on, past what was purged.
        self._skips: list[TopicPartition] = []
        self._sent: dict[tuple[str, int], Commit] = {}
        self._consumer: Consumer = host.clients.consumer(
            group, error_cb=self._on_error, on_commit=self._on_commit
        )
        self._thread = threading.Thread(target=self._run, name=f"kombu-kafka-{queue}", daemon=True)

    def start(self) -> None:
        """Join the group."""
        self._thread.start()

    def close(self, timeout: float) -> None:
        """Leave the group: commit, and let others have what is held; waits so long at most."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    # ---- the thread

    def _run(self) -> None:
        consumer = self._consumer
        try:
            consumer.subscribe(
                list(self.topics),
                on_assign=self._on_assign,
                on_revoke=self._on_revoke,
                on_lost=self._on_lost,
            )
            while not self._closing:
                message = consumer.poll(min(POLL, self._next_due()))
                if message is not None:
                    self._file([message, *consumer.consume(BATCH, 0)])
                self._housekeeping()
        except Exception as exc:  # noqa: BLE001 - raised in the thread that waits or claims
            self._fail(exc)
        finally:
            self._leave()

    def _leave(self) -> None:
        try:
            self._consumer.close()
        except (KafkaException, RuntimeError) as exc:
            logger.warning("could not leave the group of queue %r: %s", self.queue, exc)
        with self._changed:
            self.closed = True
            self._settled = False
            self._lose(self._partitions)
            self._changed.notify_all()
        self.host.news()

    def _fail(self, exc: Exception) -> None:
        text = f"read queue {self.queue!r}"
        with self._changed:
            if isinstance(exc, KafkaException):
                self.error = ERRORS.translate(exc, text)
            else:
                logger.error("%s: %r", text, exc, exc_info=exc)
                self.error = RecoverableConnectionError(f"{text}: {exc!r}")
            self.error.__cause__ = exc
            self._changed.notify_all()
        self.host.news()

    def _on_error(self, error: KafkaError) -> None:
        if error.code() in UNAUTHENTICATED or error.fatal():
            self._fail(KafkaException(error))
        elif error.code() == KafkaError._ALL_BROKERS_DOWN:
            self.suspect = True
            self.host.news()

    def _housekeeping(self) -> None:
        with self._changed:
            if (
                not self._wanted()
                and time.monotonic() - self._used > self.host.clients.options.linger
            ):
                self._closing = True
                return
            self._balance()
            skips, self._skips = self._skips, []
            skips = [each for each in skips if self._leaves_out(each)]
        for each in skips:
            with suppress(KafkaException):  # what comes of them is left out all the same
                self._consumer.seek(each)
        self._commit()

    def _leaves_out(self, skip: TopicPartition) -> bool:
        partition = self._partitions.get((skip.topic, skip.partition))
        return partition is not None and partition.is_before(skip.offset)

    def _next_due(self) -> float:
        """Seconds until a delayed message is ready; one that is now is told of."""
        now, woken = time.time(), False
        with self._changed:
            dues = []
            for partition in self._partitions.values():
                ready = partition.ready
                due = partition.wake(now)
                woken |= partition.ready > ready
                dues.append(POLL if due is None else due - now)
        if woken:
            self.host.news()
        return max(min(dues, default=POLL), 0.001)

    def _wanted(self) -> bool:
        """Whether somebody here consumes, holds, or is about to claim."""
        return (
            self._claimers > 0
            or self.host.consumed(self.queue)
            or any(each.holding for each in self._partitions.values())
        )

    def _balance(self) -> None:
        """Read no more than is of use soon."""
        if not self._settled:
            return
        for partition in self._partitions.values():
            here = [TopicPartition(partition.topic, partition.number)]
            if not partition.paused and partition.ready > FULL:
                self._consumer.pause(here)
                partition.paused = True
            elif partition.paused and partition.ready < LOW:
                self._consumer.resume(here)
                partition.paused = False

    # ---- what is read

    def _file(self, messages: Iterable[Message]) -> None:
        read = []
        for message in messages:
            envelope, aside = None, True
            if message.error() is None:
                envelope = parse(message.value())
                if envelope is None:
                    aside = self._set_aside(message)
            read.append((message, envelope, aside))
        with self._changed:
            for message, envelope, aside in read:
                error, offset = message.error(), message.offset() or 0
                key = (message.topic() or "", message.partition() or 0)
                partition = self._partitions.get(key)
                if error is not None:
                    self._note_error(error, partition, offset)
                elif partition is not None:
                    partition.add(offset, envelope, message.timestamp()[1] / 1000, aside)
            self._changed.notify_all()
        self.host.news()

    def _set_aside(self, message: Message) -> bool:
        """Whether what is no message is kept elsewhere now; else it stays where it is."""
        try:
            self.host.quarantine(self.queue, message.value())
        except ChannelError as exc:
            logger.error(
                "queue %r: offset %s of topic %s stays in the log: %s",
                self.queue, message.offset(), message.topic(), exc,
            )  # fmt: skip
            return False
        return True

    def _note_error(self, error: KafkaError, partition: Partition | None, offset: int) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            if partition is not None:
                partition.note_end(offset, time.time())
        elif error.code() in UNAUTHENTICATED | REFUSED or error.fatal():
            self.error = error_of(error, f"read queue {self.queue!r}")
        elif error.code() in UNKNOWN_TOPIC:
            self.suspect = True  # deleted, or not known to all brokers yet
        else:
            logger.warning("reading queue %r: %s", self.queue, error)

    # ---- rebalances, called within poll and close

    def _on_assign(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        starts: dict[tuple[str, int], Commit] = {}
        if assigned:
            for each in consumer.committed(assigned, timeout=self.host.clients.timeout):
                if each.error is None and each.offset >= 0:
                    starts[each.topic, each.partition] = Commit.read(each.offset, each.metadata)
        with self._changed:
            before, self._partitions = self._partitions, {}
            for each in assigned:
                key = (each.topic, each.partition)
                kept = before.get(key)
                if kept is not None and self._continues(kept, starts.get(key)):
                    self._partitions[key] = before.pop(key)
                    kept.paused = False
                else:
                    self._partitions[key] = kept = Partition(self, *key, starts.get(key))
                if kept.marks.position is not None:
                    each.offset = kept.marks.position
            self._lose(before)
            consumer.assign(assigned)
            # The client remembers what was paused, of partitions that had gone, too.
            consumer.resume(assigned)
            self._settled = True
            self._closing |= self._retiring and not self._wanted()
            self._changed.notify_all()
        self.host.news()

    @staticmethod
    def _continues(kept: Partition, found: Commit | None) -> bool:
        """Whether nobody committed since we had it."""
        ours = kept.committed
        return ours is None if found is None else ours is not None and ours.offset == found.offset

    def _on_revoke(self, consumer: Consumer, revoked: list[TopicPartition]) -> None:
        with self._changed:
            self._settled = False
            offsets = self._offsets()
            # Who joins may have it all, once this rebalance is over.
            self._retiring = not self._wanted()
        if offsets:
            try:
                consumer.commit(offsets=offsets, asynchronous=False)
            except KafkaException as exc:
                logger.warning("queue %r: not committed before a rebalance: %s", self.queue, exc)
            else:
                self._note_committed(offsets)

    def _on_lost(self, consumer: Consumer, lost: list[TopicPartition]) -> None:
        logger.warning("queue %r: left out of its group; what was held is void", self.queue)
        with self._changed:
            self._settled = False
            self._lose(self._partitions)

    @staticmethod
    def _lose(partitions: dict[tuple[str, int], Partition]) -> None:
        for partition in partitions.values():
            partition.lose()
        partitions.clear()

    # ---- commits

    def _offsets(self) -> list[TopicPartition]:
        self._sent = {
            key: commit
            for key, each in self._partitions.items()
            if (commit := each.due_commit()) is not None
        }
        return [
            TopicPartition(*key, commit.offset, metadata=commit.metadata)
            for key, commit in self._sent.items()
        ]

    def _commit(self) -> None:
        """Send what is due, without waiting; one commit at a time, the next takes the rest."""
        with self._changed:
            if not self._settled or self._closing or self.closed or self._committing:
                return
            offsets = self._offsets()
            self._committing = bool(offsets)
        if offsets:
            try:
                self._consumer.commit(offsets=offsets, asynchronous=True)
            except KafkaException as exc:  # tried again at the next housekeeping
                logger.debug("queue %r: not committed: %s", self.queue, exc)
                self._committing = False

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        with self._changed:
            self._committing = False
        if error is None:
            self._note_committed(partitions)
        elif error.code() != KafkaError._NO_OFFSET:
            logger.warning("queue %r: not committed, will be again: %s", self.queue, error)

    def _note_committed(self, partitions: Iterable[TopicPartition]) -> None:
        with self._changed:
            for each in partitions:
                partition = self._partitions.get((each.topic, each.partition))
                sent = self._sent.get((each.topic, each.partition))
                if partition is not None and sent is not None and each.error is None:
                    partition.committed = sent

    # ---- for the store

    def take(self, limit: int) -> list[Claim]:
        """Up to ``limit`` ready messages, by topic, the partitions of one in turn."""
        claims: list[Claim] = []
        with self._changed:
            self._used = time.monotonic()
            if not self._settled:
                return claims
            now = time.time()
            for each in self._partitions.values():
                each.wake(now)
            for topic in self.topics:
                mine = [each for key, each in self._partitions.items() if key[0] == topic]
                self._turn += 1
                while mine and len(claims) < limit:
                    mine = [each for each in mine if each.ready]
                    for at in range(len(mine)):
                        if len(claims) < limit:
                            claims.append(self._claim(mine[(at + self._turn) % len(mine)]))
        return claims

    def _claim(self, partition: Partition) -> Claim:
        record, holding = partition.take()
        return Claim(self.queue, record.message, holding, record.redelivered, record.deliveries)

    @property
    def has_ready(self) -> bool:
        with self._changed:
            return self._settled and any(each.ready for each in self._partitions.values())

    def await_work(self, timeout: float) -> None:
        """Wait until there is something to take, or it is certain that there is nothing."""
        deadline = time.monotonic() + timeout
        with self._changed:
            self._claimers += 1
        try:
            ends: dict[tuple[str, int], int] = {}
            while self._uncertain(ends) and time.monotonic() < deadline:
                with self._changed:
                    missing = [key for key in self._partitions if self._settled and key not in ends]
                    if not missing:
                        self._changed.wait(min(max(deadline - time.monotonic(), 0.0), 0.5))
                for topic, number in missing:
                    ends[topic, number] = self.host.clients.end(topic, number)[1]
        finally:
            with self._changed:
                self._claimers -= 1

    def _uncertain(self, ends: dict[tuple[str, int], int]) -> bool:
        with self._changed:
            if self.error is not None or self.closed or self.has_ready:
                return False
            return not self._settled or any(
                key not in ends or not partition.reached(ends[key])
                for key, partition in self._partitions.items()
            )

    def settle(self, acks: Iterable[Holding], releases: Iterable[Holding]) -> None:
        """End holdings; those that are void are left alone."""
        released = False
        with self._changed:
            for holding in acks:
                holding.partition.ack(holding)
            for holding in releases:
                released |= holding.partition.release(holding)
        if released:
            self.host.news()

    def owned(self, topic: str) -> set[int]:
        """Numbers of the partitions that are this member's now."""
        with self._changed:
            return {number for name, number in self._partitions if name == topic and self._settled}

    def unread(self, topic: str, number: int, end: int) -> int:
        """Ready messages of a partition that is ours, those not read yet among them."""
        with self._changed:
            partition = self._partitions.get((topic, number))
            if partition is None:
                return 0
            partition.wake(time.time())
            position = max(partition.marks.position or 0, partition.end or 0)
            return partition.ready + max(end - position, 0)

    def purge(self, ends: dict[tuple[str, int], int]) -> int:
        """Forget what is ready before these offsets; how many messages."""
        count = 0
        with self._changed:
            for (topic, number), end in ends.items():
                partition = self._partitions.get((topic, number))
                if partition is None or not self._settled:
                    continue
                unread = not partition.reached(end)
                count += partition.purge(end, time.time())
                if unread:
                    self._skips.append(TopicPartition(topic, number, end))
        return count
