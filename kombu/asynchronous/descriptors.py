"""The descriptors an event loop watches: who waits for which, and what the kernel is told."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from inspect import isgenerator
from queue import Empty
from time import sleep
from typing import Any

from ..log import get_logger
from ..utils.compat import fileno
from ..utils.eventio import ERR, READ, WRITE, Poller, poll

logger = get_logger(__name__)

#: A callback and its arguments, as kept per file descriptor.
Registered = tuple[Any, tuple[Any, ...]]


class Descriptors:
    """Readers and writers by descriptor, the poller that watches them, and what is called.

    A descriptor has at most one reader and one writer; adding again replaces. A callback may
    be a generator, which is then resumed instead of called, and removed when it ends. What was
    closed while it was watched is dropped, also where the kernel goes on reporting it.

    Attributes:
        readers, writers: descriptor -> (callback, arguments).
        consolidate: descriptors whose writability goes to ``consolidate_callback``, which is
            called once per iteration with the list of all that are writable.
    """

    def __init__(self) -> None:
        self.readers: dict[int, Registered] = {}
        self.writers: dict[int, Registered] = {}
        self.consolidate: set[int] = set()
        self.consolidate_callback: Callable[[list[int]], Any] | None = None
        #: The thread that polls.
        self._thread: int | None = None
        self._poller: Poller | None = None
        self._waker: tuple[socket.socket, socket.socket] | None = None
        self._waking = False

    # -- polling ---------------------------------------------------------

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

    def _wait(self, seconds: float) -> Any:
        """Events of descriptors, waiting for them at most that long.

        Raises:
            ValueError: the poller was closed.
        """
        if self.readers or self.writers or self.consolidate:
            return self.poller.poll(seconds) or ()
        self._rest(seconds)
        return ()

    def _dispatch_all(self, events: Any) -> None:
        """Call who waits for these events."""
        writable: list[int] = []
        for number, bits in events:
            self._dispatch(number, bits, writable)
        if writable:
            self._dispatch_consolidated(writable)

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

    def _unwatch_all(self) -> None:
        self.readers.clear()
        self.writers.clear()
        self.consolidate.clear()
        self._close_poller()

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
