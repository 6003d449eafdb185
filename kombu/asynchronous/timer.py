"""Calls at a later time: a heap of entries, by the monotonic clock.

Times given as :class:`~datetime.datetime` are turned into that clock's, times given as
numbers are taken to be of it (:func:`time.monotonic`).
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import datetime, timezone, tzinfo
from functools import total_ordering, wraps
from time import monotonic
from types import TracebackType
from typing import Any, NamedTuple
from weakref import proxy

from ..log import get_logger

__all__ = ("Entry", "Timer", "to_timestamp")

logger = get_logger(__name__)

#: The longest that :class:`Timer` tells its driver to sleep, in seconds.
DEFAULT_MAX_INTERVAL = 2
EPOCH = datetime.fromtimestamp(0, timezone.utc).replace(tzinfo=None)

#: Below this size a heap is not searched for entries that were cancelled.
_COMPACT_FROM = 64


class scheduled(NamedTuple):
    """An entry in the heap; ordered by time, then priority (lower first), then age."""

    eta: float
    priority: int
    entry: Entry


def to_timestamp(
    d: Any, default_timezone: tzinfo = timezone.utc, time: Callable[[], float] = monotonic
) -> Any:
    """The monotonic time of a datetime; anything else as it is.

    Arguments:
        d: a datetime; a naive one is of ``default_timezone``.
        time: the clock that the result is of.
    """
    if not isinstance(d, datetime):
        return d
    if d.tzinfo is None:
        d = d.replace(tzinfo=default_timezone)
    return time() + (d - datetime.now(d.tzinfo)).total_seconds()


_ages = itertools.count()


@total_ordering
class Entry:
    """A call that waits for its time.

    Attributes:
        canceled: set by :meth:`cancel`; the timer then skips it.
        tref: the handle that cancels it, itself.
    """

    __slots__ = ("__weakref__", "_age", "args", "canceled", "fun", "kwargs", "tref")

    def __init__(
        self,
        fun: Callable[..., Any],
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        self.fun = fun
        self.args = args or []
        self.kwargs = kwargs or {}
        self.canceled = False
        self._age = next(_ages)
        self.tref: Any = proxy(self)

    def __call__(self) -> Any:
        return self.fun(*self.args, **self.kwargs)

    def cancel(self) -> None:
        """Don't call it; may be called at any time, any number of times."""
        self.canceled = True

    @property
    def cancelled(self) -> bool:
        return self.canceled

    @cancelled.setter
    def cancelled(self, value: bool) -> None:
        self.canceled = value

    def __lt__(self, other: Entry) -> bool:
        return self._age < other._age

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        name = getattr(self.fun, "__name__", repr(self.fun))
        state = " (cancelled)" if self.canceled else ""
        return f"<TimerEntry: {name}(*{self.args!r}, **{self.kwargs!r}){state}>"


#: For annotations inside :class:`Timer`, where the name is an attribute.
_Entry = Entry


class Timer:
    """Entries ordered by time; an event loop drives it by iterating.

    Subclasses that schedule elsewhere (greenlets) override ``_enter(eta, priority, entry)``,
    ``clear`` and ``queue``.

    Arguments:
        max_interval: longest sleep it asks its driver for, in seconds; so long may another
            thread's new entry go unnoticed.
        on_error: called with the exception when an entry raises one; without it they are logged.
    """

    Entry = Entry

    on_error: Callable[[BaseException], Any] | None = None

    def __init__(
        self,
        max_interval: float | None = None,
        on_error: Callable[[BaseException], Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.max_interval = float(max_interval or DEFAULT_MAX_INTERVAL)
        self.on_error = on_error or self.on_error
        self._queue: Any = []
        self._mutex = threading.RLock()
        self._compact_at = _COMPACT_FROM

    def __enter__(self) -> Timer:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.stop()

    def call_at(
        self,
        eta: float | datetime,
        fun: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        priority: int = 0,
    ) -> Any:
        """Call ``fun`` at a time; returns what :meth:`cancel` takes."""
        return self.enter_at(self.Entry(fun, args, kwargs), eta, priority)

    def call_after(
        self,
        secs: float,
        fun: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        priority: int = 0,
    ) -> Any:
        """Call ``fun`` in ``secs`` seconds; returns what :meth:`cancel` takes."""
        return self.enter_after(secs, self.Entry(fun, args, kwargs), priority)

    def call_repeatedly(
        self,
        secs: float,
        fun: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        priority: int = 0,
    ) -> Any:
        """Call ``fun`` every ``secs`` seconds until the entry returned is cancelled.

        The calls keep to a grid of ``secs`` and don't drift; times that were missed are skipped.
        An error in one call does not end the series.
        """
        due = [monotonic() + secs]

        @wraps(fun)
        def call_and_reschedule(*call_args: Any, **call_kwargs: Any) -> Any:
            try:
                return fun(*call_args, **call_kwargs)
            finally:
                if not entry.canceled:
                    now = monotonic()
                    due[0] = max(due[0] + secs, now)
                    self.enter_at(entry, due[0], priority)

        entry = self.Entry(call_and_reschedule, args, kwargs)
        self.enter_at(entry, due[0], priority)
        return entry

    def enter_at(
        self,
        entry: _Entry,
        eta: float | datetime | None = None,
        priority: int = 0,
        time: Callable[[], float] = monotonic,
    ) -> Any:
        """Schedule an entry at a time, ``None``: now.

        Raises:
            TypeError: ``eta`` is neither a number nor a datetime.
        """
        when = time() if eta is None else to_timestamp(eta, time=time)
        if isinstance(when, bool) or not isinstance(when, (int, float)):
            raise TypeError(f"eta must be a datetime or a number, not {type(eta).__name__}")
        return self._enter(when, priority or 0, entry)

    def enter_after(
        self,
        secs: float,
        entry: _Entry,
        priority: int = 0,
        time: Callable[[], float] = monotonic,
    ) -> Any:
        """Schedule an entry in ``secs`` seconds."""
        return self.enter_at(entry, time() + float(secs), priority, time)

    def _enter(self, eta: float, priority: int, entry: _Entry, **kwargs: Any) -> Any:
        with self._mutex:
            if len(self._queue) >= self._compact_at:
                self._compact()
            heapq.heappush(self._queue, scheduled(eta, priority, entry))
        return entry

    def _compact(self) -> None:
        """Throw cancelled entries out; at most once per doubling, so that it costs little.

        Called with the mutex held: what another thread added meanwhile would be lost.
        """
        # In place: iterators over the heap hold on to this very list.
        self._queue[:] = [waiting for waiting in self._queue if not waiting.entry.canceled]
        heapq.heapify(self._queue)
        self._compact_at = max(2 * len(self._queue), _COMPACT_FROM)

    def apply_entry(self, entry: _Entry) -> None:
        """Call an entry; an error goes to ``on_error`` or the log."""
        try:
            entry()
        except Exception as exc:
            if not self.handle_error(exc):
                logger.error("Error in timer: %r", exc, exc_info=True)

    def handle_error(self, exc_info: BaseException) -> bool:
        """Hand an exception to ``on_error``; returns whether there is one."""
        if self.on_error is None:
            return False
        self.on_error(exc_info)
        return True

    def cancel(self, tref: Any) -> None:
        """Cancel what one of the ``call_`` or ``enter_`` methods returned."""
        tref.cancel()

    def clear(self) -> None:
        """Forget every entry."""
        del self._queue[:]

    def stop(self) -> None:
        """Nothing to stop: the driver owns the loop. For timers that run a thread."""

    def __len__(self) -> int:
        return sum(not waiting.entry.canceled for waiting in list(self._queue))

    def __bool__(self) -> bool:
        return True

    def __iter__(
        self,
        min: Any = min,
        nowfun: Callable[[], float] = monotonic,
        pop: Any = heapq.heappop,
        push: Any = heapq.heappush,
    ) -> Generator[tuple[float | None, _Entry | None], None, None]:
        """Yield for ever what to do next.

        ``(None, entry)``: call this entry now; ``(seconds, None)``: nothing is due for so long,
        at most ``max_interval``; ``(None, None)``: nothing is scheduled.
        """
        queue = self._queue
        while True:
            if not queue:
                yield None, None
                continue
            first = queue[0]
            if not first.entry.canceled:
                delay = first.eta - nowfun()
                if delay > 0:
                    yield min(delay, self.max_interval), None
                    continue
            with self._mutex:
                if not queue or queue[0] is not first:
                    continue  # another thread came in between
                pop(queue)
            if not first.entry.canceled:
                yield None, first.entry

    @property
    def queue(self) -> Any:
        """What is scheduled, in order: tuples of ``eta``, ``priority`` and ``entry``."""
        return sorted(waiting for waiting in list(self._queue) if not waiting.entry.canceled)

    @property
    def schedule(self) -> Timer:
        """Itself, as a threaded timer's schedule is."""
        return self
