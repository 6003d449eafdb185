"""Logical clocks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, takewhile
from operator import itemgetter
from threading import Lock
from typing import Any

__all__ = ("LamportClock", "timetuple")


class timetuple(tuple[Any, Any, Any, Any]):
    """An event's place in the order of events: ``(clock, timestamp, id, obj)``.

    Arguments:
        clock: logical time, or ``None``.
        timestamp: wall-clock time, in seconds.
        id: of the process.
        obj: what is ordered.

    Events are ordered by logical time, of the same logical time by the id of their process.
    Where one has no logical time, wall-clock time decides.
    """

    __slots__ = ()

    def __new__(cls, clock: int | None, timestamp: float, id: str, obj: Any = None) -> timetuple:
        return super().__new__(cls, (clock, timestamp, id, obj))

    clock = property(itemgetter(0))
    timestamp = property(itemgetter(1))
    id = property(itemgetter(2))
    obj = property(itemgetter(3))

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self)

    def __lt__(self, other: Any) -> bool:
        clock, other_clock = self[0], other[0]
        if clock and other_clock:
            return bool(self[2] < other[2] if clock == other_clock else clock < other_clock)
        return bool(self[1] < other[1])

    def __gt__(self, other: Any) -> bool:
        return bool(other < self)

    def __le__(self, other: Any) -> bool:
        return not other < self

    def __ge__(self, other: Any) -> bool:
        return not self < other

    def __repr__(self) -> str:
        return f"_lamport(clock={self[0]}, timestamp={self[1]}, id={self[2]} {self[3]!r})"


class LamportClock:
    """Lamport's logical clock (1978): an event that may have caused another has a lesser time.

    Call :meth:`forward` before sending, with the result in the message, and :meth:`adjust` with
    the time of each message received. Thread-safe.

    Arguments:
        initial_value: the first time.
        Lock: makes the lock that guards it.
    """

    #: The time.
    value: int = 0

    def __init__(self, initial_value: int = 0, Lock: Any = Lock) -> None:
        self.value = initial_value
        self.mutex = Lock()

    def adjust(self, other: int) -> int:
        """Be later than ``other``, a time received, and return the new time."""
        with self.mutex:
            value = self.value = max(self.value, other) + 1
            return value

    def forward(self) -> int:
        """Go on by one, and return the new time."""
        with self.mutex:
            self.value += 1
            return self.value

    def sort_heap(self, h: list[Any]) -> Any:
        """Choose one of the first events of a heap, as every process does that has the same heap.

        It is the first; where several have its logical time, that of the least id but the last.

        Arguments:
            h: a list kept by :mod:`heapq`, of tuples whose first item is the logical time and
                whose third the id.

        Raises:
            IndexError: it is empty.
        """
        # The last of them has no say in the published package, and nodes of both must agree.
        same = [event for event, after in _leading_pairs(h) if event[0] == after[0]]
        return min(same, key=itemgetter(2)) if same else h[0]

    def __str__(self) -> str:
        return str(self.value)

    def __repr__(self) -> str:
        return f"<LamportClock: {self.value}>"


def _leading_pairs(h: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Events of the first one's logical time, each with the event after it."""
    return takewhile(lambda pair: pair[0][0] == h[0][0], pairwise(h))
