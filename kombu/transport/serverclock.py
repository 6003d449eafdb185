"""What time it is on a server, whatever is done to this machine's clock meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable


class ServerClock:
    """A server's clock: asked once, and counted on by a clock of ours that nobody sets."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._asked_at = float("-inf")

    def ask(self, tell: Callable[[], float]) -> None:
        """Ask the server.

        Arguments:
            tell: gives its unix time in seconds.
        """
        before = time.monotonic()
        told = tell()
        self._asked_at = time.monotonic()
        self._ahead = told - (before + self._asked_at) / 2

    @property
    def age(self) -> float:
        """Seconds since it was asked."""
        return time.monotonic() - self._asked_at

    def now(self) -> float:
        """Unix time in seconds, as the server has it."""
        return time.monotonic() + self._ahead

    @property
    def offset(self) -> float:
        """Seconds to add to this machine's time, as it is set now, to get the server's."""
        return self.now() - time.time()
