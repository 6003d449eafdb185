"""One partition that this process owns: what was read of it, and who holds what."""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING, NamedTuple

from kombu.transport.confluentkafka.marks import Commit, Marks
from kombu.transport.virtual.envelope import ready_at
from kombu.transport.virtual.store import Envelope
from kombu.utils.loggers import get_logger

if TYPE_CHECKING:
    from kombu.transport.confluentkafka.feed import Feed

logger = get_logger(__name__)

#: Seconds without more after which all that was published is taken to be read.
QUIET = 0.05

_serial = itertools.count().__next__


class Record:
    """A message that was read.

    ``order`` is when it was published, or became ready: unix time in seconds, never less than
    that of those before it in the log, however their publishers' clocks go.
    """

    __slots__ = ("deliveries", "message", "offset", "order", "redelivered")

    def __init__(self, offset: int, message: Envelope, published: float) -> None:
        self.offset = offset
        self.message = message
        self.order = max(published, self.ready_at)
        self.redelivered = False
        self.deliveries = 0

    @property
    def ready_at(self) -> float:
        """Unix time before which it must not be delivered; 0: at once."""
        return ready_at(self.message)


class Holding(NamedTuple):
    """What settles one holding of a record, once."""

    feed: Feed
    partition: Partition
    record: Record
    serial: int


class Partition:
    """Messages of one partition, from when it was assigned to when it is lost.

    Not for concurrent use: its feed guards it.

    Arguments:
        start: what was committed before.
    """

    def __init__(self, feed: Feed, topic: str, number: int, start: Commit | None) -> None:
        self.feed = feed
        self.topic = topic
        self.number = number
        self.marks = Marks(start)
        #: Up to where the broker said there was something, at the last look.
        self.end: int | None = None
        self._ended = 0.0
        self.committed: Commit | None = start
        self._next = self.marks.position
        self.paused = False
        #: Whether it is still ours.
        self.live = True
        self._ready: list[tuple[float, int, Record]] = []
        self._clock = 0.0
        self._delayed: list[tuple[float, int, Record]] = []
        self._held: dict[int, Holding] = {}

    # ---- what comes in

    def add(
        self, offset: int, message: Envelope | None, published: float, aside: bool = True
    ) -> None:
        """Take in what was read.

        Arguments:
            message: ``None`` for what is none.
            aside: whether that was set aside; if not, it stays in the log, not done.
        """
        self._clock = max(self._clock, published)
        if self._next is not None and offset < self._next:
            self._begin_anew()
        self._next = offset + 1
        if not self.marks.fetched(offset):
            return
        if message is None:
            if aside:
                self.marks.done(offset)
            return
        record = Record(offset, message, self._clock)
        if record.ready_at:
            heapq.heappush(self._delayed, (record.ready_at, offset, record))
        else:
            self._push(record)

    def _begin_anew(self) -> None:
        """Offsets that had been read come again: the topic is a new one, or was cut short."""
        logger.warning("partition %d of topic %r begins anew", self.number, self.topic)
        self.marks, self.committed, self.end = Marks(), None, None
        self._forget()

    def is_before(self, offset: int) -> bool:
        """Whether reading on from there leaves something out."""
        return self._next is None or self._next < offset

    def _push(self, record: Record) -> None:
        heapq.heappush(self._ready, (record.order, record.offset, record))

    def wake(self, now: float) -> float | None:
        """Let those be ready whose time has come; when the next one's will.

        Not before what was published until then is read, so that it comes first.
        """
        delayed = self._delayed
        quiet = self.end == self.marks.position and now - self._ended > QUIET
        horizon = now if quiet else min(now, self._clock)
        while delayed and delayed[0][0] <= horizon:
            self._push(heapq.heappop(delayed)[2])
        return delayed[0][0] if delayed else None

    def note_end(self, offset: int, now: float) -> None:
        """The broker said that there is no more."""
        self.end, self._ended = offset, now

    def reached(self, end: int) -> bool:
        """Whether everything before ``end`` was read."""
        return max(self.marks.position or 0, self.end or 0) >= end

    # ---- what goes out

    @property
    def ready(self) -> int:
        return len(self._ready)

    @property
    def waiting(self) -> int:
        """All that is read and not held: ready or delayed."""
        return len(self._ready) + len(self._delayed)

    @property
    def holding(self) -> bool:
        return bool(self._held)

    def take(self) -> tuple[Record, Holding]:
        """The next ready record, held from now on."""
        _, _, record = heapq.heappop(self._ready)
        holding = Holding(self.feed, self, record, _serial())
        self._held[record.offset] = holding
        if self.marks.give_out(record.offset):
            record.redelivered = True
            record.deliveries = max(record.deliveries, 1)
        return record, holding

    def _drop(self, holding: Holding) -> bool:
        """End a holding; whether it was one."""
        current = self._held.get(holding.record.offset)
        if not self.live or current is None or current.serial != holding.serial:
            return False
        del self._held[holding.record.offset]
        return True

    def ack(self, holding: Holding) -> None:
        """Done; of a holding that is not current: nothing."""
        if self._drop(holding):
            self.marks.done(holding.record.offset)

    def release(self, holding: Holding) -> bool:
        """Back to its place; whether it was held."""
        if not self._drop(holding):
            return False
        record = holding.record
        record.redelivered = True
        record.deliveries += 1
        self._push(record)
        return True

    def purge(self, end: int, now: float) -> int:
        """Forget what is ready, and all that is not read yet; how many those were."""
        self.wake(now)
        count = len(self._ready)
        for _, offset, _ in self._ready:
            self.marks.done(offset)
        self._ready.clear()
        here = self.marks.position
        if here is not None and end > here:
            count += end - here
        self.marks.skip_to(end)
        return count

    def lose(self) -> None:
        """It belongs to somebody else now."""
        self.live = False
        self._forget()

    def _forget(self) -> None:
        self._ready.clear()
        self._delayed.clear()
        self._held.clear()

    def due_commit(self) -> Commit | None:
        """What is to be committed; ``None``: nothing new."""
        commit = self.marks.commit()
        return None if commit == self.committed else commit
