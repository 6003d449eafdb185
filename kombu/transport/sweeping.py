"""Work that time brings to a store: when it is due, who does it, and who is woken for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_NEVER = float("inf")

#: Seconds until a sweep that failed is tried again: claims go on without it meanwhile.
_AFTER_FAILURE = 1.0


class Sweep:
    """One kind of recurring work of one store: giving back what leases have run out, say.

    The only place that knows when the work is due. The store runs it where it comes by,
    before each claim; a :class:`~kombu.transport.waking.Waker` that was given it wakes the
    thread that waits, so that it comes by. Due at first, for nobody knows yet what other
    clients left behind.

    Safe for use by threads. Times are seconds from now, on the monotonic clock: a moment on
    the backend's clock is turned into them by who knows the difference.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due = time.monotonic()
        self._told = False
        self._running = False
        self._on_change: Callable[[], None] | None = None

    def notify(self, on_change: Callable[[], None]) -> None:
        """Call this, from any thread, whenever another time than before is to be waited for."""
        self._on_change = on_change

    @property
    def is_due(self) -> bool:
        """Whether :meth:`run` would do something: it is time, and nobody is at it."""
        return not self._running and self._due <= time.monotonic()

    # ---- for those who know what comes

    def within(self, seconds: float) -> None:
        """Be due no later than in so many seconds; a later time than is known changes nothing."""
        due = time.monotonic() + max(seconds, 0.0)
        with self._lock:
            if due >= self._due:
                return
            self._due, self._told = due, False
        self._changed()

    # ---- for those who do it

    def run(self, work: Callable[[], float]) -> bool:
        """Do the work if it is due and no other thread is at it; whether it was done.

        What becomes known meanwhile by :meth:`within` is kept.

        Arguments:
            work: does it and returns the seconds until it is due again: 0 when more is left
                to be done. If it raises, it is due again after a second.
        """
        if self._due > time.monotonic():
            return False
        with self._lock:
            if self._running or self._due > time.monotonic():
                return False
            self._running, self._due = True, _NEVER
        pause = _AFTER_FAILURE
        try:
            pause = work()
        finally:
            with self._lock:
                self._due = min(self._due, time.monotonic() + max(pause, 0.0))
                self._running = self._told = False
            self._changed()
        return True

    def _changed(self) -> None:
        if self._on_change is not None:
            self._on_change()

    # ---- for the one who wakes

    @property
    def wakes_at(self) -> float:
        """When a thread that waits is to be woken for it, on the monotonic clock; or infinite."""
        return _NEVER if self._told or self._running else self._due

    def tell(self) -> bool:
        """Whether it has become due; said once each time, for it may be that nobody claims."""
        with self._lock:
            if self.wakes_at > time.monotonic():
                return False
            self._told = True
            return True
