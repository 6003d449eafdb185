"""Waking a waiting consumer: by notification where a backend has them, else by looking."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

SHORTEST_PAUSE = 0.001


class Source(ABC):
    """Where news of messages come from."""

    #: Longest pause between two looks; ``None`` where the descriptor tells.
    longest_pause: float | None = None

    def open(self) -> bool:
        """Get ready to be told; whether news may have been missed until now."""
        return False

    def fileno(self) -> int | None:
        """A descriptor that becomes readable with news."""
        return None

    @abstractmethod
    def look(self, queues: Sequence[str]) -> bool:
        """Whether there is news for one of the queues; without blocking for more."""

    def close(self) -> None:  # noqa: B027 - optional
        """Stop listening."""


class Polling(Source):
    """Asks the backend.

    Arguments:
        ask: whether a claim on one of the queues may succeed.
        interval: asked before each pause, seconds.
    """

    def __init__(self, ask: Callable[[Sequence[str]], bool], interval: Callable[[], float]) -> None:
        self._ask = ask
        self._interval = interval

    @property
    def longest_pause(self) -> float:  # type: ignore[override]
        return self._interval()

    def look(self, queues: Sequence[str]) -> bool:
        return self._ask(queues)


class Waker:
    """Puts the thread that waits to sleep, until there may be something to claim.

    Arguments:
        source: tells what other clients did.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self._lock = threading.Lock()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._rung = False
        self._interrupted = False
        self._due = float("inf")
        self._closed = False

    def ring(self) -> None:
        """This client put something or gave it back."""
        with self._lock:
            self._rung = True
        self._nudge()

    def ring_in(self, seconds: float) -> None:
        """Something becomes ready then."""
        due = time.monotonic() + max(seconds, 0.0)
        with self._lock:
            if due >= self._due:
                return
            self._due = due
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
            is_due = self._due <= time.monotonic()
            if is_due:
                self._due = float("inf")
            if is_due or self._rung:
                self._rung = False
                return True
        return None

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
            fileno = self.source.fileno()
            if fileno is not None:
                selector.register(fileno, selectors.EVENT_READ)
            while True:
                self._drain()
                news = self._news()
                if news is not None:
                    return news
                now = time.monotonic()
                if deadline is not None and now >= deadline:
                    return False
                longest = self.source.longest_pause
                ends = [self._due, float("inf") if deadline is None else deadline]
                if longest is not None:
                    ends.append(now + min(pause, longest))
                until = min(ends)
                nap = None if until == float("inf") else max(until - now, 0.0)
                ready = selector.select(nap)
                told = any(key.fd == fileno for key, _ in ready)
                if told or (longest is not None and not ready):
                    pause *= 2
                    if self.source.look(queues):
                        return True

    def close(self) -> None:
        """End all waiting."""
        self.source.close()
        self.interrupt()
        self._reader.close()
        self._writer.close()
