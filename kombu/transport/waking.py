"""Waking a waiting consumer: by notification where a backend has them, else by looking."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from kombu.transport.sweeping import Sweep
from kombu.transport.virtual.store import Store

SHORTEST_PAUSE = 0.001


class Source(ABC):
    """Where news of messages come from.

    Either it has a descriptor that becomes readable, or a thread of its own that calls
    :attr:`ring`, or it is looked at again and again: after a millisecond first, then less and
    less often. :attr:`longest_pause` is asked each time, so that a source may change from one
    to another and back; it rings when it does.
    """

    #: Longest pause between two looks, seconds; ``None`` while it tells by itself.
    longest_pause: float | None = None

    #: Wakes the thread that waits; may be called from any thread. Set by the waker.
    ring: Callable[[], None]

    def open(self) -> bool:
        """Get ready to be told; whether news may have been missed until now."""
        return False

    def fileno(self) -> int | None:
        """A descriptor that becomes readable with news."""
        return None

    def filenos(self) -> Sequence[int]:
        """All such descriptors, where there may be several; others after each look."""
        fileno = self.fileno()
        return () if fileno is None else (fileno,)

    @abstractmethod
    def look(self, queues: Sequence[str]) -> bool:
        """Whether there is news for one of the queues; without blocking for more."""

    def close(self) -> None:  # noqa: B027 - optional
        """Stop listening."""


class Looking(Source):
    """Asks what is known; whoever learns more rings.

    Arguments:
        ask: whether a claim on one of the queues may succeed.
    """

    def __init__(self, ask: Callable[[Sequence[str]], bool]) -> None:
        self._ask = ask

    def look(self, queues: Sequence[str]) -> bool:
        return self._ask(queues)


class Polling(Looking):
    """Asks the backend, again and again.

    Arguments:
        ask: whether a claim on one of the queues may succeed.
        interval: asked before each pause, seconds.
    """

    def __init__(self, ask: Callable[[Sequence[str]], bool], interval: Callable[[], float]) -> None:
        super().__init__(ask)
        self._interval = interval

    @property
    def longest_pause(self) -> float:  # type: ignore[override]
        return self._interval()


class Waker:
    """Puts the thread that waits to sleep, until there may be something to claim.

    Arguments:
        source: tells what other clients did.
        sweeps: the store's; who waits is woken when one is due, for a claim to run it.
    """

    def __init__(self, source: Source, *sweeps: Sweep) -> None:
        self.source = source
        self.sweeps = sweeps
        self._lock = threading.Lock()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._rung = False
        self._interrupted = False
        self._armed: tuple[str, ...] = ()
        source.ring = self.ring
        for sweep in sweeps:
            sweep.notify(self._nudge)

    def ring(self) -> None:
        """This client put something or gave it back."""
        with self._lock:
            self._rung = True
        self._nudge()

    def interrupt(self) -> None:
        """End the wait that is under way, or the next one."""
        with self._lock:
            self._interrupted = True
        self._nudge()

    def _nudge(self) -> None:
        try:
            self._writer.send(b"!")
        except (BlockingIOError, OSError):
            return  # full: it is readable already; closed: nobody waits

    def _drain(self) -> None:
        try:
            while self._reader.recv(4096):
                continue
        except (BlockingIOError, OSError):
            return

    def _news(self) -> bool | None:
        """What was said by this client: ``None`` is nothing."""
        with self._lock:
            if self._interrupted:
                self._interrupted = False
                return False
            rung, self._rung = self._rung, False
        # Each is asked, for each tells once.
        due = [sweep.tell() for sweep in self.sweeps]
        return True if rung or any(due) else None

    def wait(self, queues: Sequence[str], timeout: float | None) -> bool:
        """Sleep until a claim may succeed; ``False`` after the timeout or an interruption."""
        deadline = None if timeout is None else time.monotonic() + timeout
        opened = self.source.open()
        news = self._news()
        if news is not None:
            return news
        if opened or self.source.look(queues):
            return True
        pause = SHORTEST_PAUSE
        with selectors.DefaultSelector() as selector:
            selector.register(self._reader, selectors.EVENT_READ)
            registered: set[int] = set()
            while True:
                filenos = set(self.source.filenos())
                for fileno in registered - filenos:
                    selector.unregister(fileno)
                for fileno in filenos - registered:
                    selector.register(fileno, selectors.EVENT_READ)
                registered = filenos
                self._drain()
                news = self._news()
                if news is not None:
                    return news
                now = time.monotonic()
                if deadline is not None and now >= deadline:
                    return False
                longest = self.source.longest_pause
                ends = [sweep.wakes_at for sweep in self.sweeps]
                ends.append(float("inf") if deadline is None else deadline)
                if longest is not None:
                    ends.append(now + min(pause, longest))
                until = min(ends)
                nap = None if until == float("inf") else max(until - now, 0.0)
                ready = selector.select(nap)
                told = any(key.fd in registered for key, _ in ready)
                if told or (longest is not None and not ready):
                    pause *= 2
                    if self.source.look(queues):
                        return True

    # ---- under an event loop

    def filenos(self) -> Sequence[int]:
        """Descriptors that become readable with news of any kind."""
        return (self._reader.fileno(), *self.source.filenos())

    def arm(self, queues: Sequence[str]) -> None:
        """Make one of them readable when a claim on one of ``queues`` may succeed."""
        self._armed = tuple(queues)
        if self.source.open() or self.source.look(queues):
            self.ring()

    def on_readable(self) -> bool:
        """Read what came; whether a claim may succeed now."""
        self._drain()
        told = bool(self._news())
        return self.source.look(self._armed) or told

    def close(self) -> None:
        """End all waiting."""
        self.source.close()
        self.interrupt()
        self._reader.close()
        self._writer.close()


class WakerStore(Store):
    """What stores do that a :class:`Waker` wakes; under an event loop if ``features`` say so.

    A driver makes ``waker``, and closes it.
    """

    waker: Waker

    def wait(self, queues: Sequence[str], timeout: float | None) -> bool:
        return self.waker.wait(queues, timeout)

    def interrupt(self) -> None:
        self.waker.interrupt()

    def filenos(self) -> Sequence[int]:
        return self.waker.filenos() if self.features.event_loop else ()

    def arm(self, queues: Sequence[str]) -> None:
        if self.features.event_loop:
            self.waker.arm(queues)

    def on_readable(self, fileno: int) -> bool:
        return self.waker.on_readable()
