"""Waiting for file descriptors: one interface over epoll, kqueue, poll and select.

A poller has ``register(fd, events)`` (again: replaces the events), ``unregister(fd)``,
``poll(timeout)`` in seconds (``None``: no limit) which returns ``[(fd, events), ...]``, and
``close()``. Events are the :data:`READ`, :data:`WRITE` and :data:`ERR` bits. A descriptor
that was closed behind a poller's back is forgotten, and reported once as :data:`ERR` where
the platform notices, so that it can never make ``poll`` return at once for ever.
"""

from __future__ import annotations

import errno
import math
import select
from typing import Any, Protocol

from .compat import fileno, maybe_fileno

__all__ = ("ERR", "READ", "WRITE", "poll")

READ = POLL_READ = 0x001
WRITE = POLL_WRITE = 0x004
ERR = POLL_ERR = 0x008 | 0x010

POLLIN = 0x001
POLLOUT = 0x004
POLLERR = 0x008
POLLHUP = 0x010
POLLNVAL = 0x020

# The BSD constants, for platforms whose select module lacks them.
KQ_FILTER_READ = getattr(select, "KQ_FILTER_READ", -1)
KQ_FILTER_WRITE = getattr(select, "KQ_FILTER_WRITE", -2)
KQ_FILTER_AIO = getattr(select, "KQ_FILTER_AIO", -3)
KQ_FILTER_VNODE = getattr(select, "KQ_FILTER_VNODE", -4)
KQ_FILTER_PROC = getattr(select, "KQ_FILTER_PROC", -5)
KQ_FILTER_SIGNAL = getattr(select, "KQ_FILTER_SIGNAL", -6)
KQ_FILTER_TIMER = getattr(select, "KQ_FILTER_TIMER", -7)
KQ_EV_ADD = getattr(select, "KQ_EV_ADD", 1)
KQ_EV_DELETE = getattr(select, "KQ_EV_DELETE", 2)
KQ_EV_ENABLE = getattr(select, "KQ_EV_ENABLE", 4)
KQ_EV_CLEAR = getattr(select, "KQ_EV_CLEAR", 32)
KQ_EV_ERROR = getattr(select, "KQ_EV_ERROR", 16384)
KQ_EV_EOF = getattr(select, "KQ_EV_EOF", 32768)
KQ_NOTE_DELETE = 1
KQ_NOTE_LOWAT = 1
KQ_NOTE_WRITE = 2
KQ_NOTE_EXTEND = 4
KQ_NOTE_ATTRIB = 8
KQ_NOTE_LINK = 16
KQ_NOTE_RENAME = 32
KQ_NOTE_REVOKE = 64

kqueue = getattr(select, "kqueue", None)
kevent = getattr(select, "kevent", None)

#: What select(2) raises when one of its descriptors is no longer open.
SELECT_BAD_FD = {errno.EBADF, getattr(errno, "WSAENOTSOCK", errno.EBADF)}

#: What the kernel says of a descriptor that it does not watch or that is closed.
_NOT_WATCHED = {errno.ENOENT, errno.EBADF, errno.EPERM}


def _number(fd: Any) -> int:
    """The file descriptor; ``TypeError`` for what can't have one, as of :mod:`select` itself."""
    if not isinstance(fd, int) and not hasattr(fd, "fileno"):
        raise TypeError(f"{type(fd).__name__} is no file descriptor and has no fileno()")
    return fileno(fd)


class Poller(Protocol):
    """What :func:`poll` returns."""

    def register(self, fd: Any, events: int) -> int: ...
    def unregister(self, fd: Any) -> None: ...
    def poll(self, timeout: float | None) -> list[tuple[int, int]]: ...
    def close(self) -> None: ...


class _epoll:
    """Linux epoll(7)."""

    def __init__(self) -> None:
        self._kernel = select.epoll()

    def register(self, fd: Any, events: int) -> int:
        number = _number(fd)
        try:
            self._kernel.register(number, events)
        except FileExistsError:
            self._kernel.modify(number, events)
        return number

    def unregister(self, fd: Any) -> None:
        try:
            self._kernel.unregister(_number(fd))
        except OSError as exc:
            if exc.errno not in _NOT_WATCHED:
                raise
        except (TypeError, ValueError):
            return  # never had one; a closed socket object: fileno() is -1

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        return self._kernel.poll(-1 if timeout is None else max(timeout, 0))

    def close(self) -> None:
        self._kernel.close()


class _kqueue:
    """BSD and macOS kqueue(2)."""

    def __init__(self) -> None:
        self._kernel = select.kqueue()  # type: ignore[attr-defined,unused-ignore]
        self._filters: dict[int, set[int]] = {}

    def register(self, fd: Any, events: int) -> int:
        number = _number(fd)
        wanted = {
            kqueue_filter
            for bit, kqueue_filter in ((READ, KQ_FILTER_READ), (WRITE, KQ_FILTER_WRITE))
            if events & bit
        }
        for kqueue_filter in self._filters.get(number, set()) - wanted:
            self._control(number, kqueue_filter, KQ_EV_DELETE)
        for kqueue_filter in wanted:
            self._control(number, kqueue_filter, KQ_EV_ADD)
        self._filters[number] = wanted
        return number

    def unregister(self, fd: Any) -> None:
        number = maybe_fileno(fd)
        if number is None:
            return
        for kqueue_filter in self._filters.pop(number, ()):
            self._control(number, kqueue_filter, KQ_EV_DELETE)

    def _control(self, number: int, kqueue_filter: int, flags: int) -> None:
        change = select.kevent(number, kqueue_filter, flags)  # type: ignore[attr-defined,unused-ignore]
        try:
            self._kernel.control([change], 0)
        except OSError as exc:
            if flags != KQ_EV_DELETE or exc.errno not in _NOT_WATCHED:
                raise

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        seen: dict[int, int] = {}
        for event in self._kernel.control(None, 1000, timeout):
            bits = READ if event.filter == KQ_FILTER_READ else WRITE
            if event.flags & (KQ_EV_EOF | KQ_EV_ERROR):
                bits |= ERR
            seen[event.ident] = seen.get(event.ident, 0) | bits
        return list(seen.items())

    def close(self) -> None:
        self._filters.clear()
        self._kernel.close()


class _poll:
    """POSIX poll(2)."""

    def __init__(self) -> None:
        self._kernel = select.poll()

    def register(self, fd: Any, events: int) -> int:
        number = _number(fd)
        self._kernel.register(number, events)
        return number

    def unregister(self, fd: Any) -> None:
        try:
            self._kernel.unregister(_number(fd))
        except (KeyError, TypeError, ValueError):
            return

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        ready = self._kernel.poll(None if timeout is None else math.ceil(max(timeout, 0) * 1000))
        events = []
        for number, bits in ready:
            if bits & POLLNVAL:
                self._kernel.unregister(number)
                bits = ERR
            events.append((number, bits))
        return events

    def close(self) -> None:
        return


class _select:
    """select(2), the only one that greenlet libraries and Windows have."""

    def __init__(self) -> None:
        self._events: dict[int, int] = {}

    def register(self, fd: Any, events: int) -> int:
        number = _number(fd)
        if number < 0:
            raise ValueError(f"file descriptor cannot be a negative integer ({number})")
        self._events[number] = events
        return number

    def unregister(self, fd: Any) -> None:
        number = maybe_fileno(fd)
        if number is not None:
            self._events.pop(number, None)

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        readers = [number for number, events in self._events.items() if events & READ]
        writers = [number for number, events in self._events.items() if events & WRITE]
        try:
            readable, writable, failed = select.select(
                readers, writers, list(self._events), timeout
            )
        except (OSError, ValueError) as exc:
            if getattr(exc, "errno", errno.EBADF) not in SELECT_BAD_FD:
                raise
            return self._forget_closed()
        ready: dict[int, int] = {}
        for numbers, bits in ((readable, READ), (writable, WRITE), (failed, ERR)):
            for number in numbers:
                ready[number] = ready.get(number, 0) | bits
        return list(ready.items())

    def _forget_closed(self) -> list[tuple[int, int]]:
        closed = []
        for number in list(self._events):
            try:
                select.select([number], [], [], 0)
            except (OSError, ValueError):
                del self._events[number]
                closed.append((number, ERR))
        return closed

    def close(self) -> None:
        self._events.clear()


def poll(*args: Any, **kwargs: Any) -> Poller:
    """A new poller, the best that this process has at this moment.

    gevent and eventlet take epoll, kqueue and poll out of the ``select`` module when they
    patch it, so looking there at the time of the call finds what cooperates with them.
    """
    if hasattr(select, "epoll"):
        return _epoll()
    if hasattr(select, "kqueue"):
        return _kqueue()
    if hasattr(select, "poll"):
        return _poll()
    return _select()
