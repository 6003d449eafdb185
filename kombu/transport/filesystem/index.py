"""What waits in a message folder, known without listing it for every message."""

from __future__ import annotations

import heapq
import os
import time
from collections.abc import Iterator

from kombu.log import get_logger
from kombu.transport.filesystem.names import Name, parse

logger = get_logger(__name__)

#: Time stamps of folders are this coarse on some systems, in seconds: a folder that changed
#: less long ago than this may have changed once more without showing it.
_COARSE = 0.05
#: A listing that took a second is not repeated for this many seconds, unless nothing is left.
_THRIFT = 10
#: So many files are noted without listing the folder.
_MOST_TOLD = 1000
#: So many names may be stale in the heaps, beyond as many as are not, before they are thrown out.
_MOST_STALE = 64


class Index:
    """Message files of one folder, by queue and in order; a cache of the folder's listing.

    Not for concurrent use: its store holds a lock.

    Arguments:
        folder: the folder.
        by_time: whether :meth:`earliest` is wanted.
    """

    def __init__(self, folder: str, by_time: bool = False) -> None:
        self.folder = folder
        self.by_time = by_time
        self._known: dict[str, Name | None] = {}
        self._queues: dict[str, list[Name]] = {}
        self._counts: dict[str, int] = {}
        self._due: list[tuple[float, Name]] = []
        self._times: list[tuple[int, Name]] = []
        #: How many were noted without listing, and how many names in the heaps may be stale.
        self._told = self._stale = 0
        self._stamp: int | None = None
        self._listed = 0.0
        #: Seconds the last listing took.
        self.cost = 0.0

    def changed(self) -> bool:
        """Whether the folder may hold other files than are known."""
        stamp = os.stat(self.folder).st_mtime_ns
        return stamp != self._stamp

    def refresh(self, thrifty: bool = False) -> None:
        """Take note of what came and went.

        Arguments:
            thrifty: only if that costs a small part of the time that has passed.
        """
        begun = time.monotonic()
        if thrifty and begun - self._listed < self.cost * _THRIFT:
            return
        if not self.changed():
            return
        before = os.stat(self.folder).st_mtime_ns
        found = set(os.listdir(self.folder))
        for file in self._known.keys() - found:
            self.discard(file)
        for file in found - self._known.keys():
            self.add(file)
        self._told = 0
        self._listed = time.monotonic()
        self.cost = self._listed - begun
        settled = abs(time.time() - before / 1e9) > _COARSE
        self._stamp = before if settled else None

    def add(self, file: str) -> None:
        """Note one file."""
        if file in self._known:
            return
        name = parse(file)
        self._known[file] = name
        if name is None:
            if not file.startswith("."):
                logger.warning("%r in %r is no message: left alone", file, self.folder)
            return
        self._note(name)

    def add_name(self, name: Name) -> None:
        """As :meth:`add`, of a name that need not be read.

        After many the next listing finds them: one that is never needed is never made.
        """
        if self._told < _MOST_TOLD and name.file not in self._known:
            self._told += 1
            self._known[name.file] = name
            self._note(name)

    def _note(self, name: Name) -> None:
        heapq.heappush(self._queues.setdefault(name.queue, []), name)
        self._counts[name.queue] = self._counts.get(name.queue, 0) + 1
        if self.by_time:
            heapq.heappush(self._times, (name.milliseconds, name))
        if name.expires_at is not None:
            heapq.heappush(self._due, (name.expires_at, name))

    def discard(self, file: str) -> None:
        """Forget one file."""
        name = self._known.pop(file, None)
        if name is not None:
            self._counts[name.queue] -= 1
            if not self._counts[name.queue]:
                del self._counts[name.queue]
                self._queues.pop(name.queue, None)
            self._stale += 1
            if self._stale > len(self._known) + _MOST_STALE:
                self._compact()

    def _compact(self) -> None:
        """Throw out of the heaps what is gone, as that may never come to their heads."""
        self._stale = 0
        for heap in self._queues.values():
            heap[:] = [name for name in heap if self._known.get(name.file) is name]
            heapq.heapify(heap)
        self._due = [each for each in self._due if self._known.get(each[1].file) is each[1]]
        self._times = [each for each in self._times if self._known.get(each[1].file) is each[1]]
        heapq.heapify(self._due)
        heapq.heapify(self._times)

    def pop(self, queue: str) -> Name | None:
        """Take the next message of a queue out of the index (the file stays where it is)."""
        heap = self._queues.get(queue)
        while heap:
            name = heapq.heappop(heap)
            if self._known.get(name.file) is name:
                self.discard(name.file)
                return name
        return None

    def pop_expired(self, now: float) -> Name | None:
        """Take out a message whose time has passed."""
        while self._due and self._due[0][0] <= now:
            name = heapq.heappop(self._due)[1]
            if self._known.get(name.file) is name:
                self.discard(name.file)
                return name
        return None

    def next_expiry(self) -> float | None:
        """Unix time at which the next message expires."""
        while self._due and self._known.get(self._due[0][1].file) is not self._due[0][1]:
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    def earliest(self) -> Name | None:
        """The message with the smallest time in its name, whatever its queue."""
        while self._times and self._known.get(self._times[0][1].file) is not self._times[0][1]:
            heapq.heappop(self._times)
        return self._times[0][1] if self._times else None

    def count(self, queue: str) -> int:
        """Messages of a queue."""
        return self._counts.get(queue, 0)

    def of(self, queue: str) -> Iterator[Name]:
        """Messages of a queue, in order."""
        for name in sorted(self._queues.get(queue, ())):
            if self._known.get(name.file) is name:
                yield name
