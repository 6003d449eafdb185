"""The event loop.

One thread runs the loop; :meth:`Hub.call_soon` and the ``call_`` methods may be used from
any thread and wake it. Celery's worker drives the loop with ``next(hub.create_loop())``.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from queue import Empty
from time import sleep
from typing import Any, NoReturn

from vine import Thenable, promise

from ..log import get_logger
from ..utils.eventio import ERR, READ, WRITE
from ..utils.objects import cached_property
from . import debug
from .descriptors import Descriptors
from .timer import Timer

__all__ = ("Hub", "get_event_loop", "set_event_loop")

logger = get_logger(__name__)

_current_loop: list[Hub | None] = [None]


class Stop(BaseException):
    """Ends the event loop."""


def get_event_loop() -> Any:
    """The process's event loop, ``None`` when there is none."""
    return _current_loop[0]


def set_event_loop(loop: Any) -> Any:
    """Make ``loop`` the process's event loop; returns it."""
    _current_loop[0] = loop
    return loop


def _stop() -> NoReturn:
    raise Stop


class Hub(Descriptors):
    """An event loop of readable and writable descriptors, timers and callbacks.

    An exception from a descriptor's callback or from :meth:`call_soon` leaves the loop through
    ``next``; one from a timer is logged, except for the types in ``propagate_errors``.

    Arguments:
        timer: what schedules the ``call_later`` family, default a :class:`~.timer.Timer`.

    Attributes:
        on_tick: callables, each called once per iteration before waiting.
        on_close: callables, each called with the hub when it closes.
        propagate_errors: exception types from timers that leave the loop.
    """

    READ = READ
    WRITE = WRITE
    ERR = ERR

    on_close: Any = None

    def __init__(self, timer: Any = None) -> None:
        super().__init__()
        self.timer = timer if timer is not None else Timer()
        self.on_tick: set[Callable[[], Any]] = set()
        self.on_close = set()
        self.propagate_errors: tuple[type[BaseException], ...] = ()
        self._timers_fired = 0
        self._ready: list[Any] = []
        self._ready_lock = threading.Lock()
        self._loop: Generator[None, None, None] | None = None

    # -- running ---------------------------------------------------------

    @cached_property
    def scheduler(self) -> Iterator[tuple[float | None, Any]]:
        """The timer's endless iterator."""
        return iter(self.timer)

    @property
    def loop(self) -> Generator[None, None, None]:
        """The loop that :meth:`run_once` steps; a new one once it has ended."""
        if self._loop is None:
            self._loop = self.create_loop()
        return self._loop

    def run_forever(self) -> None:
        """Run until :meth:`stop`."""
        while self._step():
            pass

    def run_once(self) -> None:
        """One iteration."""
        self._step()

    def _step(self) -> bool:
        try:
            next(self.loop)
        except (Stop, StopIteration):
            self._loop = None
            return False
        except BaseException:
            self._loop = None  # a generator that raised has ended
            raise
        return True

    def stop(self) -> None:
        """End the loop at its next iteration; from any thread."""
        self.call_soon(_stop)

    def create_loop(
        self,
        generator: Any = None,
        sleep: Any = sleep,
        min: Any = min,
        next: Any = next,
        Empty: Any = Empty,
        StopIteration: Any = StopIteration,
        KeyError: Any = KeyError,
        READ: int = READ,
        WRITE: int = WRITE,
        ERR: int = ERR,
    ) -> Generator[None, None, None]:
        """A generator that does one iteration per ``next``.

        One iteration: the callbacks that are ready, the timers that are due, ``on_tick``, then
        (if there was nothing to do so far) waiting for a descriptor, a timer or a wake-up, 10
        seconds at most, and the descriptors' callbacks. The arguments are taken for compatibility
        and have no effect.
        """
        while True:
            self._thread = threading.get_ident()
            worked = self._run_ready()
            fired = self._timers_fired
            delay = self.fire_timers(propagate=self.propagate_errors)
            worked = worked or fired != self._timers_fired
            for tick in list(self.on_tick):
                tick()
            # After work, the driver gets its turn before the loop sleeps.
            delay = 0 if worked or self._ready else delay
            try:
                events = self._wait(delay)
            except ValueError:
                return  # the poller was closed; whoever goes on makes a new loop
            self._dispatch_all(events)
            yield

    def fire_timers(
        self,
        min_delay: float = 1,
        max_delay: float = 10,
        max_timers: int = 10,
        propagate: tuple[type[BaseException], ...] = (),
    ) -> float:
        """Call the timers that are due.

        Arguments:
            min_delay: returned when nothing is scheduled; seconds.
            max_delay: most that is returned; seconds.
            max_timers: most that are called.
            propagate: exception types that are raised; others are logged, except for
                MemoryError, AssertionError and OSErrors that mean out of memory.

        Returns:
            seconds until the next one is due; 0 when ``max_timers`` was reached.
        """
        for _ in range(max_timers):
            delay, entry = next(self.scheduler)
            if entry is None:
                return min(min_delay if delay is None else delay, max_delay)
            self._timers_fired += 1
            try:
                entry()
            except propagate:
                raise
            except (MemoryError, AssertionError):
                raise
            except OSError as exc:
                if exc.errno == errno.ENOMEM:
                    raise
                logger.error("Error in timer: %r", exc, exc_info=True)
            except Exception as exc:
                logger.error("Error in timer: %r", exc, exc_info=True)
        return 0.0

    # -- callbacks -------------------------------------------------------

    def call_soon(self, callback: Any, *args: Any) -> Any:
        """Call at the loop's next iteration; from any thread.

        A promise that is waiting for that already is called once.

        Returns:
            a promise, that can be cancelled; ``callback`` itself if it is one already.
        """
        new = bool(args) or not isinstance(callback, Thenable)
        if new:
            callback = promise(callback, args)
        with self._ready_lock:
            if new or not any(waiting is callback for waiting in self._ready):
                self._ready.append(callback)
        self._wake()
        return callback

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> Any:
        """Call in ``delay`` seconds; returns an entry that can be cancelled."""
        return self._scheduled(self.timer.call_after(delay, callback, args))

    def call_at(self, when: float | datetime, callback: Callable[..., Any], *args: Any) -> Any:
        """Call at a time of the monotonic clock, or a datetime."""
        return self._scheduled(self.timer.call_at(when, callback, args))

    def call_repeatedly(self, delay: float, callback: Callable[..., Any], *args: Any) -> Any:
        """Call every ``delay`` seconds until the entry returned is cancelled."""
        return self._scheduled(self.timer.call_repeatedly(delay, callback, args))

    def _scheduled(self, entry: Any) -> Any:
        self._wake()
        return entry

    def on_callback_error(self, callback: Any, exc: BaseException) -> None:
        """A callback that was run while closing raised; logs it."""
        logger.error("Callback %r raised exception: %r", callback, exc, exc_info=exc)

    def _pop_ready(self) -> list[Any]:
        """Take the callbacks that are ready; Celery's prefork pool calls this at shutdown."""
        with self._ready_lock:
            ready, self._ready = self._ready, []
        return ready

    def _run_ready(self) -> bool:
        if not self._ready:
            return False
        ready = self._pop_ready()
        for position, callback in enumerate(ready):
            try:
                callback()
            except BaseException:
                # The others keep their turn: whoever runs the loop again finds them.
                with self._ready_lock:
                    self._ready[:0] = ready[position + 1 :]
                raise
        return True

    # -- closing ---------------------------------------------------------

    def reset(self) -> None:
        """Forget descriptors and callbacks; timers and ``on_tick`` stay."""
        self.close()

    def close(self, *args: Any) -> None:
        """Forget every descriptor, run what is ready and the ``on_close`` callbacks.

        Their errors are logged. The hub can be used again afterwards.
        """
        self._unwatch_all()
        self._loop = None
        for callback in list(self.on_close):
            with self._logging_errors(callback):
                callback(self)
        for callback in self._pop_ready():
            with self._logging_errors(callback):
                if getattr(callback, "fun", None) is not _stop:
                    callback()

    @contextmanager
    def _logging_errors(self, callback: Any) -> Iterator[None]:
        try:
            yield
        except Exception as exc:  # noqa: BLE001 - closing goes on to the end
            self.on_callback_error(callback, exc)

    # -- showing ---------------------------------------------------------

    def repr_active(self) -> str:
        """What is watched, for debugging."""
        return debug.repr_active(self)

    def repr_events(self, events: Iterable[tuple[int, int]]) -> str:
        """What ``events`` would call, for debugging."""
        return debug.repr_events(self, events or [])

    def __repr__(self) -> str:
        return f"<Hub@{id(self):#x}: R:{len(self.readers)} W:{len(self.writers)}>"
