"""Ending connections whose server does not answer, where the driver has no limit of its own."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from typing import Any
from weakref import ref

from kombu.utils.deadlines import time_left

#: Seconds that a connection may be in use beyond the limit that the server itself knows.
GRACE = 2.0


class Watchdog:
    """Shuts the socket of a connection that is in use for too long.

    One daemon thread, started with the first connection; it ends with its pool.

    Arguments:
        limit: seconds.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._in_use: dict[int, tuple[float, int]] = {}
        self._lock = threading.Lock()
        self._sooner = threading.Event()
        self._thread: threading.Thread | None = None

    def taken(self, connection: Any, *rest: Any) -> None:
        """A connection, which has a ``fileno()``, is used from now on.

        Its limit is the deadline of what it is used for, where that has a sooner one.
        """
        left = time_left()
        limit = self.limit if left is None else min(left, self.limit)
        with self._lock:
            self._in_use[id(connection)] = (time.monotonic() + limit, connection.fileno())
            if self._thread is None:
                self._thread = threading.Thread(
                    target=_watch,
                    args=(ref(self), self._sooner),
                    name="kombu-sql-watchdog",
                    daemon=True,
                )
                self._thread.start()
        if limit < self.limit:
            self._sooner.set()

    def returned(self, connection: Any, *rest: Any) -> None:
        """It is not used any more; unknown ones are ignored."""
        with self._lock:
            self._in_use.pop(id(connection), None)

    def bite(self) -> None:
        """Shut what is overdue; the thread that waits for it gets an error."""
        now = time.monotonic()
        with self._lock:
            overdue = [key for key, (deadline, _) in self._in_use.items() if deadline <= now]
            for key in overdue:
                _, fileno = self._in_use.pop(key)
                # Gone by itself meanwhile: so much the better.
                with suppress(OSError), socket.socket(fileno=os.dup(fileno)) as line:
                    line.shutdown(socket.SHUT_RDWR)

    def pause(self) -> float:
        """Seconds until something may be overdue; a tenth of the limit is near enough."""
        with self._lock:
            first = min((deadline for deadline, _ in self._in_use.values()), default=float("inf"))
        return min(max(self.limit / 10, 0.1), max(first - time.monotonic(), 0.01))


def _watch(watchdog_ref: ref[Watchdog], sooner: threading.Event) -> None:
    """The thread: holds no reference to the watchdog while it sleeps."""
    while True:
        watchdog = watchdog_ref()
        if watchdog is None:
            return
        watchdog.bite()
        pause = watchdog.pause()
        del watchdog
        sooner.wait(pause)
        sooner.clear()
