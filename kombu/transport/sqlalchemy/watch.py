"""Noticing that another process wrote to a SQLite file."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from kombu.transport.waking import Source

#: Longest pause between two looks at the files' times, which cost next to nothing.
FILE_PAUSE = 0.05
#: Nanoseconds within which two writes may bear the same time.
TICK = 20_000_000


class FileTimes(Source):
    """Watches SQLite's file and its journal for writes of any process.

    Arguments:
        path: of the database.
        interval: longest pause of the transport, seconds.
        times_within: called after a write, which may have been of a delayed message, with the
            seconds within which to look when the next one is ready.
    """

    def __init__(
        self, path: str, interval: Callable[[], float], times_within: Callable[[float], None]
    ) -> None:
        self._paths = (path, f"{path}-wal")
        self._interval = interval
        self._times_within = times_within
        self._seen: tuple[tuple[int, int], ...] | None = None

    @property
    def longest_pause(self) -> float:  # type: ignore[override]
        return min(self._interval(), FILE_PAUSE)

    def _times(self) -> tuple[tuple[int, int], ...]:
        found = []
        for path in self._paths:
            try:
                status = os.stat(path)
            except FileNotFoundError:
                found.append((0, 0))
            else:
                found.append((status.st_mtime_ns, status.st_size))
        return tuple(found)

    def look(self, queues: Sequence[str]) -> bool:
        times = self._times()
        changed = times != self._seen
        # Another write may bear the same time, as clocks of files tick slowly: look once more.
        fresh = changed and abs(time.time_ns() - max(at for at, _ in times)) < TICK
        self._seen = None if fresh else times
        if changed:
            self._times_within(FILE_PAUSE)
        return changed
