"""Long polls in the background, for backends whose messages come in the very call that waits.

(Amazon SQS, Google Pub/Sub.)
"""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
import time
from abc import abstractmethod
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from queue import SimpleQueue
from typing import Any

from amqp.exceptions import ChannelError, RecoverableConnectionError
from amqp.exceptions import ConnectionError as AMQPConnectionError

from kombu.transport.virtual.errors import Throttled
from kombu.transport.virtual.steps import PrioritySteps
from kombu.transport.virtual.store import Claim, Put, Store

logger = logging.getLogger(__name__)

#: Receives up to ``limit`` messages of ``queue``, waiting up to ``wait`` seconds for the first.
Receive = Callable[[str, int, int], list[Claim]]
#: Threads of one connection: queues beyond them take turns with the others.
MOST_POLLS = 64
#: Seconds of a poll where there are more queues than that.
CROWDED_WAIT = 1
#: Seconds between two polls of a queue whose requests are refused for their number.
LONGEST_BACKOFF = 20.0
#: Seconds; an empty answer that comes sooner was no long poll: the queue is not there.
AT_ONCE = 0.05
FIRST_PAUSE, LONGEST_PAUSE = 0.01, 1.0


class LongPolls:
    """One poll at a time for each queue that is waited for; what they bring is kept for claims.

    Arguments:
        wait_seconds: of one long poll.
        keep_seconds: how long a message is kept before it is given back unclaimed.
        largest: how many messages one call brings at most.
        give_back: called with what a poll brought after :meth:`close`.
    """

    def __init__(
        self,
        receive: Receive,
        wait_seconds: int,
        keep_seconds: float,
        largest: int,
        give_back: Callable[[list[Claim]], None],
    ) -> None:
        self.receive = receive
        self.largest = largest
        self.give_back = give_back
        self.wait_seconds = wait_seconds
        self.keep_seconds = keep_seconds
        self._condition = threading.Condition()
        self._arrived: dict[str, deque[tuple[float, Claim]]] = {}
        self._polling: set[str] = set()
        self._empty_at: dict[str, float] = {}
        self._error: Exception | None = None
        self._interrupted = False
        self._closed = False
        #: Queues whose last poll came back empty.
        self._found_empty: set[str] = set()
        self._throttled: dict[str, int] = {}
        self._pauses: dict[str, float] = {}
        self._closing = threading.Event()
        self._orders: SimpleQueue[tuple[str, int, int] | None] = SimpleQueue()
        self._workers = 0
        self._idle_workers = 0
        self._backlog = 0
        self._bell: tuple[socket.socket, socket.socket] | None = None
        self._pid = os.getpid()

    # ---- what arrived

    def take(self, queue: str, limit: int) -> list[Claim]:
        """Up to ``limit`` messages that a poll brought."""
        with self._condition:
            arrived = self._arrived.get(queue)
            if not arrived:
                return []
            return [arrived.popleft()[1] for _ in range(min(limit, len(arrived)))]

    def waiting(self, queue: str) -> int:
        """How many messages polls brought that nobody has claimed yet."""
        with self._condition:
            return len(self._arrived.get(queue, ()))

    def forget(self, queue: str) -> None:
        """The queue was deleted, and its messages with it."""
        with self._condition:
            for known in (self._arrived, self._empty_at, self._throttled, self._pauses):
                known.pop(queue, None)
            self._found_empty.discard(queue)
            self._polling.discard(queue)  # what a poll under way brings is nobody's any more

    def take_stale(self) -> list[Claim]:
        """Messages nobody claimed in time: they must be given back."""
        limit = time.monotonic() - self.keep_seconds
        stale: list[Claim] = []
        with self._condition:
            for arrived in self._arrived.values():
                while arrived and arrived[0][0] < limit:
                    stale.append(arrived.popleft()[1])
        return stale

    def take_all(self) -> list[Claim]:
        with self._condition:
            claims = [claim for arrived in self._arrived.values() for _, claim in arrived]
            self._arrived.clear()
        return claims

    def was_just_empty(self, queue: str) -> bool:
        """Whether a poll for it is under way or brought less than it could a moment ago."""
        with self._condition:
            return (
                queue in self._polling or time.monotonic() - self._empty_at.get(queue, -1e9) < 0.5
            )

    # ---- polling

    def start(self, queues: Sequence[str], limit: int, wait_seconds: int | None = None) -> None:
        """Have a poll under way for each queue, no more than one each.

        Arguments:
            wait_seconds: of the first poll; those that follow an empty one take what the option
                says, so that a consumer that waits in small steps costs no more calls than one
                that waits in large ones.
        """
        if os.getpid() != self._pid:  # its threads are the parent's
            raise RecoverableConnectionError("this connection was made before a fork")
        first = self.wait_seconds if wait_seconds is None else wait_seconds
        # Where there are more queues than polls, each must make room for others soon.
        longest = CROWDED_WAIT if len(queues) > MOST_POLLS else self.wait_seconds
        with self._condition:
            if self._closed:
                return
            for queue in queues:
                if queue not in self._polling and not self._arrived.get(queue):
                    wait = min(longest, self.wait_seconds if queue in self._found_empty else first)
                    self._polling.add(queue)
                    self._order(queue, min(limit, self.largest), wait)

    def _order(self, queue: str, limit: int, wait: int) -> None:
        self._orders.put((queue, limit, wait))
        if self._idle_workers:
            self._idle_workers -= 1
        elif self._workers < MOST_POLLS:
            self._workers += 1
            # A daemon: a poll may take long, and no process shall wait for it to end.
            threading.Thread(target=self._work, name="kombu-poll", daemon=True).start()
        else:
            self._backlog += 1

    def _work(self) -> None:
        while (order := self._orders.get()) is not None:
            self._poll(*order)
            with self._condition:
                if self._backlog:
                    self._backlog -= 1
                else:
                    self._idle_workers += 1

    def _poll(self, queue: str, limit: int, wait: int) -> None:
        claims: list[Claim] = []
        error: Exception | None = None
        begun = time.monotonic()
        try:
            claims = self.receive(queue, limit, wait)
            self._throttled.pop(queue, None)
            if claims or time.monotonic() - begun >= AT_ONCE:
                self._pauses.pop(queue, None)
            else:
                self._pause(queue)
        except Throttled as exc:
            self._back_off(queue, exc)
        except Exception as exc:  # noqa: BLE001 - handed on to the thread that waits
            error = exc
        with self._condition:
            late = self._closed or queue not in self._polling
            self._polling.discard(queue)
            if late:
                self._throttled.pop(queue, None)
                self._pauses.pop(queue, None)
            else:
                self._note(queue, claims, limit)
            if late and isinstance(error, ChannelError):
                logger.debug("polling queue %r, which is gone: %s", queue, error)
            elif error is not None:
                self._error = error
            self._condition.notify_all()
        if late and claims:
            self.give_back(claims)
        elif claims or error is not None:
            self._ring()

    def _note(self, queue: str, claims: list[Claim], limit: int) -> None:
        now = time.monotonic()
        if claims:
            self._arrived.setdefault(queue, deque()).extend((now, each) for each in claims)
            self._found_empty.discard(queue)
        else:
            self._found_empty.add(queue)
        if len(claims) < limit:
            self._empty_at[queue] = now

    def _pause(self, queue: str) -> None:
        """Keep the queue's poll busy, as it did not wait itself."""
        pause = self._pauses.get(queue, FIRST_PAUSE)
        self._pauses[queue] = min(pause * 2, LONGEST_PAUSE)
        self._closing.wait(pause)

    def _back_off(self, queue: str, exc: Throttled) -> None:
        """Keep the queue's poll busy for a while, the longer the more often it was refused."""
        times = self._throttled[queue] = self._throttled.get(queue, 0) + 1
        pause = random.uniform(0.5, 1) * min(LONGEST_BACKOFF, 0.1 * 2**times)
        logger.warning("polling queue %r again in %.1f seconds: %s", queue, pause, exc)
        self._closing.wait(pause)

    def wait(self, queues: Sequence[str], limit: int, timeout: float | None) -> bool:
        """Poll until a queue has something; an error of a poll is raised here."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            wait_seconds = (
                self.wait_seconds if left is None else min(self.wait_seconds, max(int(left), 1))
            )
            self.start(queues, limit, wait_seconds)
            with self._condition:
                self._raise_error()
                if any(self._arrived.get(queue) for queue in queues):
                    return True
                if self._interrupted or self._closed:
                    self._interrupted = False
                    return False
                if left is not None and left <= 0:
                    return False
                self._condition.wait(left)

    def _raise_error(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def interrupt(self) -> None:
        with self._condition:
            self._interrupted = True
            self._condition.notify_all()

    # ---- the event loop

    def fileno(self) -> int:
        """Readable when a poll brought something."""
        if self._bell is None:
            self._bell = socket.socketpair()
            for end in self._bell:
                end.setblocking(False)
        return self._bell[0].fileno()

    def _ring(self) -> None:
        if self._bell is not None:
            try:
                self._bell[1].send(b"!")
            except (BlockingIOError, OSError):
                logger.debug("the bell is ringing already or its loop is gone")

    def silence(self) -> bool:
        """Read the bell empty; whether something arrived. An error of a poll is raised here."""
        if self._bell is not None:
            try:
                while self._bell[0].recv(4096):
                    pass
            except BlockingIOError:
                pass
        with self._condition:
            self._raise_error()
            return any(self._arrived.values())

    def close(self, patience: float = 0.0) -> None:
        """Poll no more.

        Arguments:
            patience: seconds to wait for polls under way, so that what they bring can still be
                given back.
        """
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        self._closing.set()
        if os.getpid() != self._pid:
            return
        if patience:
            with self._condition:
                self._condition.wait_for(lambda: not self._polling, patience)
        for _ in range(self._workers):
            self._orders.put(None)
        if self._bell is not None:
            for end in self._bell:
                end.close()
            self._bell = None


def unsettled(claims: Iterable[Claim]) -> list[Any]:
    """Receipts that have not settled their message yet; one that has must not be sent again."""
    return [claim.receipt for claim in claims if not claim.receipt.settled]


class LongPollStore(Store):
    """What stores do whose claims are brought by long polls: claim, wait, wake event loops.

    A driver says ``claim_window``, what one call brings at most, and implements
    :meth:`_receive` and :meth:`_close`.

    Arguments:
        wait_seconds: of one long poll.
        keep_seconds: how long a message is kept before it is given back unclaimed.
        steps: priorities.
    """

    #: A poll may bring messages at any time: an event loop leaves it to the threads.
    quick = False
    #: Seconds in which polls under way must be back when the connection closes.
    closing_time = 0.0
    _evented = False

    def __init__(self, wait_seconds: int, keep_seconds: float, steps: PrioritySteps) -> None:
        self.steps = steps
        self.polls = LongPolls(
            self._receive, wait_seconds, keep_seconds, self.claim_window, self._return_late
        )
        self._limit = self.claim_window
        self._pid = os.getpid()

    @abstractmethod
    def _receive(self, source: str, limit: int, wait: int) -> list[Claim]:
        """Up to ``limit`` messages of a source, waiting up to ``wait`` seconds for the first."""

    def _is_enough(self, received: int, wanted: int, alone: bool) -> bool:
        """Hook: whether not to ask a source again at once.

        Arguments:
            alone: it is the only one that is claimed from.
        """
        return received < wanted

    def _stop_waiting(self) -> None:
        """Hook: let polls that are under way come back soon, if the client can."""

    @abstractmethod
    def _close(self) -> None:
        """Close the clients."""

    def _by_source(self, puts: Sequence[Put]) -> dict[str, list[int]]:
        """Queue of the backend -> which messages go there."""
        found: dict[str, list[int]] = defaultdict(list)
        for index, put in enumerate(puts):
            found[self.steps.source(put.queue, put.priority)].append(index)
        return found

    def _sources(self, queues: Sequence[str]) -> list[str]:
        """Queues of the backend that stand for these, in the order they are served."""
        return [source for queue in queues for source in self.steps.sources(queue)]

    def claim(self, queues: Sequence[str], limit: int) -> list[Claim]:
        self._limit = limit
        stale = self.polls.take_stale()
        if stale and self._evented:  # a loop is not to wait for that
            threading.Thread(target=self._return_late, args=(stale,), daemon=True).start()
        elif stale:
            self.settle(releases=stale)
        claims: list[Claim] = []
        sources = self._sources(queues)
        for source in sources:
            claims += self.polls.take(source, limit - len(claims))
            while len(claims) < limit and not self._evented:
                if self.polls.was_just_empty(source):
                    break
                wanted = min(limit - len(claims), self.polls.largest)
                try:
                    received = self._receive(source, wanted, 0)
                except Throttled as exc:
                    logger.warning("asking less often: %s", exc)
                    break
                claims += received
                if self._is_enough(len(received), wanted, len(sources) == 1):
                    break
            if len(claims) >= limit:
                break
        return claims

    def _return_late(self, claims: list[Claim]) -> None:
        """Give back what a poll brought and nobody claimed; else it stays leased in vain."""
        try:
            self.settle(releases=claims)
        except (AMQPConnectionError, ChannelError) as exc:
            logger.warning("%d message(s) return when their lease ends: %s", len(claims), exc)

    def _deleted(self, queue: str) -> None:
        """The queue was deleted: what polls brought of it, and how it was polled."""
        for source in self.steps.sources(queue):
            self.polls.forget(source)
        self.steps.forget(queue)

    def wait(self, queues: Sequence[str], timeout: float | None) -> bool:
        return self.polls.wait(self._sources(queues), self._limit, timeout)

    def interrupt(self) -> None:
        self.polls.interrupt()

    def filenos(self) -> Sequence[int]:
        return (self.polls.fileno(),)

    def arm(self, queues: Sequence[str]) -> None:
        self._evented = True
        self.polls.start(self._sources(queues), self._limit)

    def on_readable(self, fileno: int) -> bool:
        return self.polls.silence()

    def close(self) -> None:
        if os.getpid() != self._pid:
            self.polls.close()
            return
        self._stop_waiting()
        self.polls.close(self.closing_time)
        try:
            if unclaimed := self.polls.take_all():
                self._return_late(unclaimed)
        finally:
            self._close()
