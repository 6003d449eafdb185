"""What a client knows of the levels of the queues that it claims from."""

from __future__ import annotations

import threading
from collections import defaultdict

from kombu.transport.nats.names import Level


class Levels:
    """For each queue the levels that may have messages; safe for use by threads.

    A level is *dry* after a pull that brought less than was asked for, until the bell rings
    for it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rings: dict[str, dict[Level, int]] = defaultdict(dict)
        self._dry: dict[tuple[str, Level], int] = {}
        self._made: set[tuple[str, Level]] = set()

    def knows(self, queue: str) -> bool:
        """Whether the queue was looked at since it was forgotten last."""
        return queue in self._rings

    def found(self, queue: str, levels: set[Level]) -> None:
        """The server says that these have messages."""
        with self._lock:
            known = self._rings[queue]
            for level in levels:
                known[level] = known.get(level, 0) + 1

    def rung(self, queue: str, level: Level) -> None:
        """Something was put there."""
        self.found(queue, {level})

    def worth_a_pull(self, queue: str) -> list[tuple[Level, int]]:
        """The levels that are not dry, in the order of delivery, each with its mark."""
        with self._lock:
            return [
                (level, rings)
                for level, rings in sorted(self._rings.get(queue, {}).items(), reverse=True)
                if self._dry.get((queue, level)) != rings
            ]

    def ran_dry(self, queue: str, level: Level, mark: int) -> None:
        """A pull found no more; a bell that rang since the mark was taken counts for more."""
        with self._lock:
            self._dry[queue, level] = mark

    def is_made(self, queue: str, level: Level) -> bool:
        """Whether the level's consumer is on the server, as far as is known."""
        return (queue, level) in self._made

    def made(self, queue: str, level: Level) -> None:
        """Its consumer is on the server."""
        self._made.add((queue, level))

    def forget(self, queue: str) -> None:
        """The queue is gone, or was found to be another one."""
        with self._lock:
            self._rings.pop(queue, None)
            self._made = {made for made in self._made if made[0] != queue}
            self._dry = {dry: mark for dry, mark in self._dry.items() if dry[0] != queue}

    def forget_all(self) -> None:
        """Look at each queue anew before the next claim."""
        with self._lock:
            self._rings.clear()
            self._dry.clear()
