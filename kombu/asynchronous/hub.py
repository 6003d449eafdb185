"""The event loop.

One thread runs the loop; :meth:`Hub.call_soon` and the ``call_`` methods may be used from
any thread and wake it. Celery's worker drives the loop with ``next(hub.create_loop())``.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from inspect import isgenerator
from queue import Empty
from time import sleep
from typing import Any, NoReturn

from vine import Thenable, promise

from ..log import get_logger
from ..utils.compat import fileno
from ..utils.eventio import ERR, READ, WRITE, Poller, poll
from ..utils.objects import cached_property
from . import debug
from .timer import Timer

__all__ = ("Hub", "get_event_loop", "set_event_loop")

logger = get_logger(__name__)

#: A callback and its arguments, as kept per file descriptor.
Registered = tuple[Any, tuple[Any, ...]]

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


class Hub:
    """An event loop of readable and writable descriptors, timers and callbacks.

    A descriptor has at most one reader and one writer; adding again replaces. A callback may
    be a generator, which is then resumed instead of called, and removed when it ends. An
    exception from a descriptor's callback or from :meth:`call_soon` leaves the loop through
    ``next``; one from a timer is logged, except for the types in ``propagate_errors``.

    Arguments:
        timer: what schedules the ``call_later`` family, default a :class:`~.timer.Timer`.

    Attributes:
        readers, writers: descriptor -> (callback, arguments).
        consolidate: descriptors whose writability goes to ``consolidate_callback``, which is
            called once per iteration with the list of all that are writable.
        on_tick: callables, each called once per iteration before waiting.
        on_close: callables, each called with the hub when it closes.
        propagate_errors: exception types from timers that leave the loop.
    """

    READ = READ
    WRITE = WRITE
    ERR = ERR

    on_close: Any = None

    def __init__(self, timer: Any = None) -> None:
        self.timer = timer if timer is not None else Timer()
        self.readers: dict[int, Registered] = {}
        self.writers: dict[int, Registered] = {}
        self.consolidate: set[int] = set()
        self.consolidate_callback: Callable[[list[int]], Any] | None = None
        self.on_tick: set[Callable[[], Any]] = set()
        self.on_close = set()
        self.propagate_errors: tuple[type[BaseException], ...] = ()
        self._timers_fired = 0
        self._ready: list[Any] = []
        self._ready_lock = threading.Lock()
        self._thread: int | None = None
        self._poller: Poller | None = None
        self._waker: tuple[socket.socket, socket.socket] | None = None
        self._waking = False
        self._loop: Generator[None, None, None] | None = None

    # -- running ---------------------------------------------------------

    @property
    def poller(self) -> Poller:
        """The kernel's side; made when first needed."""
        if self._poller is None:
            self._poller = self._open_poller()
        return self._poller

    @poller.setter
    def poller(self, poller: Any) -> None:
        """Use another poller, as Celery's tests do; the one in use is left alone."""
        self._poller = poller

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
            events: Any = ()
            if self.readers or self.writers or self.consolidate:
                try:
                    events = self.poller.poll(delay) or ()
                except ValueError:
                    return  # the poller was closed; whoever goes on makes a new loop
            else:
                self._rest(delay)
            writable: list[int] = []
            for number, bits in events:
                self._dispatch(number, bits, writable)
            if writable:
                self._dispatch_consolidated(writable)
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
        if args or not isinstance(callback, Thenable):
            callback = promise(callback, args)
        with self._ready_lock:
            if not any(waiting is callback for waiting in self._ready):
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

    # -- descriptors -----------------------------------------------------

    def add(
        self,
        fd: Any,
        callback: Any,
        flags: int,
        args: tuple[Any, ...] = (),
        consolidate: bool = False,
    ) -> None:
        """Watch a descriptor.

        Arguments:
            fd: a number or an object with ``fileno()``.
            callback: called with ``args`` when it is ready; a generator is resumed.
            flags: READ or WRITE, with or without ERR.
            consolidate: hand it to ``consolidate_callback`` instead.

        Raises:
            OSError, ValueError: the descriptor can't be watched (closed, or a plain file);
                nothing is registered then.
        """
        number = fileno(fd)
        previous = self._entries(number)
        if consolidate:
            self.consolidate.add(number)
            self.writers.pop(number, None)
        elif flags & READ:
            self.readers[number] = (callback, args)
        else:
            self.writers[number] = (callback, args)
            self.consolidate.discard(number)
        try:
            self.poller.register(number, self._mask(number))
        except (OSError, ValueError):
            self._restore_entries(number, previous)
            self.remove(number) if self._is_closed(number) else self._sync(number)
            raise

    def add_reader(self, fds: Any, callback: Any, *args: Any) -> None:
        """Call ``callback(*args)`` when there is something to read; ``fds`` is one descriptor."""
        self.add(fds, callback, READ | ERR, args)

    def add_writer(self, fds: Any, callback: Any, *args: Any) -> None:
        """Call ``callback(*args)`` when there is room to write; ``fds`` is one descriptor."""
        self.add(fds, callback, WRITE, args)

    def remove(self, fd: Any) -> None:
        """Stop watching a descriptor; one that is closed or unknown is no error."""
        number = fileno(fd) if fd is not None else None
        if number is None:
            raise ValueError("file descriptor is None")
        self.readers.pop(number, None)
        self.writers.pop(number, None)
        self.consolidate.discard(number)
        self._sync(number)

    def remove_reader(self, fd: Any) -> None:
        """Stop waiting for something to read; its writer stays."""
        number = fileno(fd)
        if self.readers.pop(number, None) is not None:
            self._sync(number)

    def remove_writer(self, fd: Any) -> None:
        """Stop waiting for room to write; its reader stays."""
        number = fileno(fd)
        known = self.writers.pop(number, None) is not None or number in self.consolidate
        self.consolidate.discard(number)
        if known:
            self._sync(number)

    def _entries(self, number: int) -> tuple[Registered | None, Registered | None, bool]:
        return self.readers.get(number), self.writers.get(number), number in self.consolidate

    def _restore_entries(
        self, number: int, entries: tuple[Registered | None, Registered | None, bool]
    ) -> None:
        reader, writer, consolidated = entries
        for registry, entry in ((self.readers, reader), (self.writers, writer)):
            if entry is None:
                registry.pop(number, None)
            else:
                registry[number] = entry
        (self.consolidate.add if consolidated else self.consolidate.discard)(number)

    def _mask(self, number: int) -> int:
        mask = READ | ERR if number in self.readers else 0
        if number in self.writers or number in self.consolidate:
            mask |= WRITE | ERR
        return mask

    def _sync(self, number: int) -> None:
        """Tell the kernel what this process now wants to know of a descriptor."""
        if self._poller is None or number < 0:
            return
        mask = self._mask(number)
        if not mask:
            self._poller.unregister(number)
            return
        try:
            self._poller.register(number, mask)
        except (OSError, ValueError):
            if not self._is_closed(number):
                raise
            self.remove(number)

    @staticmethod
    def _is_closed(number: int) -> bool:
        try:
            os.fstat(number)
        except OSError:
            return True
        return False

    # -- dispatching -----------------------------------------------------

    def _dispatch(self, number: int, bits: int, writable: list[int]) -> None:
        if self._waker is not None and number == self._waker[0].fileno():
            self._on_woken()
            return
        if number in self.consolidate and bits & (WRITE | ERR):
            writable.append(number)
            bits &= READ
        reader = self.readers.get(number)
        writer = self.writers.get(number)
        if reader is None and writer is None:
            if number not in self.consolidate:
                self._forget(number)
            return
        if bits & READ and reader is not None:
            self._call(number, reader, self.readers)
        elif bits & ERR and not bits & WRITE:
            self._dispatch_error(number, reader, writer)
            return
        # The reader may have removed or replaced the writer.
        if bits & WRITE and writer is not None and self.writers.get(number) is writer:
            self._call(number, writer, self.writers)
        elif bits & WRITE and bits & ERR and reader is not None and not bits & READ:
            self._call(number, reader, self.readers)

    def _dispatch_error(
        self, number: int, reader: Registered | None, writer: Registered | None
    ) -> None:
        if self._is_closed(number):
            logger.debug("file descriptor %s was closed while it was watched", number)
            self._rebuild_without(number)
        elif reader is not None:
            self._call(number, reader, self.readers)
        elif writer is not None:
            self._call(number, writer, self.writers)

    def _dispatch_consolidated(self, writable: list[int]) -> None:
        if self.consolidate_callback is None:
            for number in writable:
                self.remove_writer(number)
            return
        # An earlier callback of this iteration may have taken some away.
        self.consolidate_callback([n for n in writable if n in self.consolidate])

    def _call(self, number: int, registered: Registered, registry: dict[int, Registered]) -> None:
        callback, args = registered
        try:
            if isgenerator(callback):
                self._resume(number, callback, registry)
            else:
                callback(*args)
        except Empty:
            pass  # as Celery's readers say that there was nothing to read
        except OSError as exc:
            if exc.errno == errno.EBADF and self._is_closed(number):
                self._rebuild_without(number)
            raise

    def _resume(self, number: int, callback: Any, registry: dict[int, Registered]) -> None:
        ended = True
        try:
            next(callback)
            ended = False
        except StopIteration:
            pass
        except OSError as exc:
            if exc.errno != errno.EBADF:
                self.remove(number)
                raise
        except BaseException:
            self.remove(number)
            raise
        finally:
            # An ended generator does nothing about its descriptor: the loop would spin on it.
            if ended and registry.get(number, (None,))[0] is callback:
                del registry[number]
                self._sync(number)

    def _forget(self, number: int) -> None:
        """An event for a descriptor that nobody waits for."""
        if self._is_closed(number):
            self._rebuild_without(number)
        else:
            self.poller.unregister(number)

    def _rebuild_without(self, number: int) -> None:
        """Drop a closed descriptor.

        epoll goes on reporting a descriptor that was closed here while a copy of it (in a
        forked child) lives, and can't be told to stop: only a new one forgets it.
        """
        self.readers.pop(number, None)
        self.writers.pop(number, None)
        self.consolidate.discard(number)
        self._close_poller()

    # -- the kernel's side and waking ------------------------------------

    def _open_poller(self) -> Poller:
        poller = poll()
        receiver, sender = socket.socketpair()
        for end in (receiver, sender):
            end.setblocking(False)
        poller.register(receiver, READ)
        self._waker, self._waking = (receiver, sender), False
        for number in {*self.readers, *self.writers, *self.consolidate}:
            try:
                poller.register(number, self._mask(number))
            except OSError:
                if not self._is_closed(number):
                    raise
                self._restore_entries(number, (None, None, False))
        return poller

    def _close_poller(self) -> None:
        poller, self._poller = self._poller, None
        waker, self._waker = self._waker, None
        for end in waker or ():
            end.close()
        if poller is not None:
            poller.close()

    def _wake(self) -> None:
        """End the poll of a loop that runs in another thread."""
        if self._thread in (None, threading.get_ident()) or self._waking:
            return
        waker = self._waker
        if waker is None:
            return
        self._waking = True
        with suppress(BlockingIOError, OSError):
            waker[1].send(b"\0")

    def _rest(self, seconds: float) -> None:
        """Sleep with nothing to watch, until it is over or another thread wakes us."""
        if self._poller is None:
            self._poller = self._open_poller()
        if self._waker is None:  # somebody else's poller, which can't be woken
            sleep(min(seconds, 0.1))
            return
        receiver = self._waker[0]
        receiver.settimeout(seconds)
        try:
            with suppress(BlockingIOError, TimeoutError):
                receiver.recv(4096)
        finally:
            receiver.setblocking(False)
        self._waking = False

    def _on_woken(self) -> None:
        # Emptied before the flag falls: the other way round a byte sent in between is lost.
        if self._waker is not None:
            with suppress(BlockingIOError):
                self._waker[0].recv(4096)
        self._waking = False

    # -- closing ---------------------------------------------------------

    def reset(self) -> None:
        """Forget descriptors and callbacks; timers and ``on_tick`` stay."""
        self.close()

    def close(self, *args: Any) -> None:
        """Forget every descriptor, run what is ready and the ``on_close`` callbacks.

        Their errors are logged. The hub can be used again afterwards.
        """
        self.readers.clear()
        self.writers.clear()
        self.consolidate.clear()
        self._close_poller()
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
