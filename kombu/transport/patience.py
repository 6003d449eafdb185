"""Long polls made of receives that come back at once (Azure Storage Queues)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from kombu.transport.virtual.store import Claim

SHORTEST_PAUSE = 0.001


class Patience:
    """Makes a long poll of receives that come back at once: asks again after growing pauses.

    Arguments:
        receive: takes up to so many messages of a queue, without waiting for any.
        interval: asked before each pause, seconds; the longest one.
        shortest: seconds of the first pause.
    """

    def __init__(
        self,
        receive: Callable[[str, int], list[Claim]],
        interval: Callable[[], float],
        shortest: float = SHORTEST_PAUSE,
    ) -> None:
        self.receive = receive
        self.interval = interval
        self.shortest = shortest
        self._condition = threading.Condition()
        self._pauses: dict[str, float] = {}
        self._rings = 0
        self._closed = False

    def __call__(self, queue: str, limit: int, wait: float) -> list[Claim]:
        """Up to ``limit`` messages; none after ``wait`` seconds, or when closed."""
        deadline = time.monotonic() + wait
        while not self._closed:
            rings = self._rings
            claims = self.receive(queue, limit)
            left = deadline - time.monotonic()
            if claims:
                self._pauses.pop(queue, None)
                return claims
            if left <= 0:
                break
            pause = min(self._pauses.get(queue, self.shortest), self.interval())
            with self._condition:
                rung = self._condition.wait_for(
                    lambda heard=rings: self._closed or self._rings != heard,  # type: ignore[misc]
                    min(pause, left),
                )
            self._pauses[queue] = self.shortest if rung else pause * 2
        return []

    def ring(self) -> None:
        """Something was put or given back: look at once."""
        with self._condition:
            self._rings += 1
            self._condition.notify_all()

    def close(self) -> None:
        with self._condition:
            self._closed = True
            self._condition.notify_all()
