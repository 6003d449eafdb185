"""Threads that share a connection: one reads, the others wait for what it reads for them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

from .link import remaining

__all__ = ("Reading",)


class Reading:
    """Whose turn it is to read from the socket.

    Answers are handled by whoever reads them, before the turn ends; so a thread that waits for
    one either finds it handled, or has the turn and reads it itself.
    """

    def __init__(self) -> None:
        self._turn = threading.RLock()
        self._changed = threading.Condition(threading.Lock())
        self._waiting = 0

    def begin(self) -> bool:
        """Take the turn, if nobody has it."""
        return self._turn.acquire(blocking=False)

    def end(self) -> None:
        """Give it up."""
        self._turn.release()
        # Who begins to wait after this finds the turn free.
        if self._waiting:
            with self._changed:
                self._changed.notify_all()

    def wait(self, timeout: float | None, until: Callable[[], bool] | None) -> bool:
        """Wait for the turn.

        Arguments:
            timeout: seconds; ``None``: no limit.
            until: what the current thread waits for.

        Returns:
            whether it has the turn; if not, ``until`` holds.

        Raises:
            TimeoutError: neither in time.
        """
        deadline = None if timeout is None else monotonic() + timeout
        with self._changed:
            self._waiting += 1
            try:
                while until is None or not until():
                    if self.begin():
                        return True
                    left = remaining(deadline)
                    if left == 0:
                        raise TimeoutError("timed out: another thread is reading")
                    self._changed.wait(left)
                return False
            finally:
                self._waiting -= 1
