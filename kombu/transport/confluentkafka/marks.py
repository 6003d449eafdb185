"""How far one partition is done: offsets acknowledged in any order, committed in order.

Kafka keeps one number per group and partition: all before it is done. What is acknowledged
after a gap must wait for the gap. What is known beyond that number travels in the metadata of
the commit, so that the next owner does not deliver it again (brokers that drop metadata cost
duplicates, never losses). Pure logic: no client, no clock.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

#: What the metadata of our commits begins with; anything else is not read.
MARK = "kombu1:"
#: Characters of metadata that brokers take by default are 4,096.
LONGEST_METADATA = 4000

#: First and last offset.
Range = tuple[int, int]


class Commit(NamedTuple):
    """What to commit for a partition.

    Arguments:
        offset: everything before it is done.
        done: further offsets that are done, as ranges in rising order.
        seen: offsets before it were given to a consumer at least once.
    """

    offset: int
    done: tuple[Range, ...] = ()
    seen: int = 0

    @property
    def metadata(self) -> str:
        """The text that goes with the offset; as many ranges as there is room for."""
        done, seen = list(self.done), self.seen if self.seen > self.offset else 0
        if not done and not seen:
            return ""
        while True:
            text = MARK + json.dumps([seen, *map(list, done)], separators=(",", ":"))
            if len(text) <= LONGEST_METADATA:
                return text
            del done[len(done) * 3 // 4 :]

    @classmethod
    def read(cls, offset: int, metadata: str | None) -> Commit:
        """What an earlier owner committed; foreign metadata counts as none."""
        if not metadata or not metadata.startswith(MARK):
            return cls(offset)
        try:
            seen, *pairs = json.loads(metadata.removeprefix(MARK))
            done = tuple((int(first), int(last)) for first, last in pairs)
            return cls(offset, done, int(seen))
        except (TypeError, ValueError):
            return cls(offset)


class Marks:
    """Which offsets of one partition are fetched, and which of those are done.

    Arguments:
        start: what was committed before; ``None``: nothing.
    """

    def __init__(self, start: Commit | None = None) -> None:
        #: The next offset to fetch; ``None`` until the first is known.
        self.position: int | None = None if start is None else start.offset
        self.seen = 0 if start is None else start.seen
        self._before: Sequence[Range] = () if start is None else start.done
        #: Fetched and not done: each with the first offset it stands for, its own or that of
        #: a hole before it (compaction, the marks of transactions).
        self._pending: dict[int, int] = {}
        self._ranges: list[Range] = []

    def fetched(self, offset: int) -> bool:
        """Note an offset that was read; whether it is to be delivered.

        It is not when it was read or skipped before, or when an earlier owner says it is done.
        """
        if self.position is not None and offset < self.position:
            return False
        self._pending[offset] = offset if self.position is None else self.position
        self.position = offset + 1
        if self._was_done(offset):
            self.done(offset)
            return False
        return True

    def _was_done(self, offset: int) -> bool:
        at = bisect_right(self._before, (offset, float("inf"))) - 1
        return at >= 0 and self._before[at][0] <= offset <= self._before[at][1]

    def give_out(self, offset: int) -> bool:
        """Note that a consumer is given this offset; whether that happened before."""
        before = offset < self.seen
        self.seen = max(self.seen, offset + 1)
        return before

    def done(self, offset: int) -> None:
        """Note that an offset is done: acknowledged, or given up."""
        self._add(self._pending.pop(offset, offset), offset)

    def skip_to(self, position: int) -> None:
        """All from the fetch position up to here, unread, is done (a purge)."""
        if self.position is None:
            self.position = position
        elif position > self.position:
            self._add(self.position, position - 1)
            self.position = position

    def _add(self, first: int, last: int) -> None:
        """Keep the ranges disjoint, in order, and as few as may be."""
        ranges = self._ranges
        at = bisect_right(ranges, (first, last))
        if at and ranges[at - 1][1] >= first - 1:
            at -= 1
            first, last = ranges[at][0], max(ranges[at][1], last)
        end = at
        while end < len(ranges) and ranges[end][0] <= last + 1:
            last = max(ranges[end][1], last)
            end += 1
        ranges[at:end] = [(first, last)]

    def commit(self) -> Commit | None:
        """What may be committed now; ``None`` before anything is known."""
        if self.position is None:
            return None
        offset = next(iter(self._pending), self.position)
        while self._ranges and self._ranges[0][1] < offset:
            del self._ranges[0]
        # What an earlier owner had done and this one has not come to yet is not forgotten.
        ahead = [
            (max(first, self.position), last)
            for first, last in self._before
            if last >= self.position
        ]
        return Commit(offset, (*self._ranges, *ahead), self.seen)
