"""The socket below a connection: buffered, non-blocking, every wait bounded.

py-amqp asks the kernel three times for each frame and blocks for as long as the peer likes.
Here one read takes whatever has arrived, frames are cut from that, and a wait ends at its
deadline, also in the middle of a frame and under TLS.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any

from amqp import transport as amqp_transport
from amqp.exceptions import FrameSyntaxError, UnexpectedFrame

from .wire import FRAME_END, FRAME_HEADER_SIZE, frame_header

#: Most bytes taken from the socket at once.
RECEIVE_SIZE = 256 * 1024

Frame = tuple[int, int, bytes]


def remaining(deadline: float | None) -> float | None:
    """Seconds until a deadline of the monotonic clock, not below zero."""
    return None if deadline is None else max(deadline - monotonic(), 0.0)


def wait_for(sock: Any, read: bool, write: bool, timeout: float | None) -> tuple[bool, bool]:
    """Wait until the socket is readable or writable; which of them it is.

    The ``select`` module is looked into at each call: gevent and eventlet patch it.
    """
    if hasattr(select, "poll"):
        poller = select.poll()
        wanted = (select.POLLIN if read else 0) | (select.POLLOUT if write else 0)
        poller.register(sock, wanted)
        # Rounded up: polling again for the last half millisecond would only burn CPU.
        ready = poller.poll(None if timeout is None else int(timeout * 1000) + (timeout > 0))
        bits = ready[0][1] if ready else 0
        failed = bool(bits & ~(select.POLLIN | select.POLLOUT))
        return bool(bits & select.POLLIN) or failed, bool(bits & select.POLLOUT) or failed
    readable, writable, _ = select.select(
        [sock] if read else [], [sock] if write else [], [], timeout
    )
    return bool(readable), bool(writable)


class _Limits(threading.local):
    """Until when the current thread's writes may take."""

    deadline: float | None = None


class WriteLock:
    """One thread writes at a time; another waits no longer than its own write may take.

    Arguments:
        limit: seconds that the current thread may wait; ``None``: no limit.
    """

    def __init__(self, limit: Callable[[], float | None]) -> None:
        self._limit = limit
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            limit = self._limit()
            if not self._lock.acquire(timeout=-1 if limit is None else limit):
                raise TimeoutError("timed out: another thread is writing")

    def __exit__(self, *exc_info: object) -> None:
        self._lock.release()


class LinkMixin:
    """What is the same with and without TLS; mixed into py-amqp's transports.

    Attributes:
        write_lock: held by whoever writes.
        last_received: monotonic time at which bytes last arrived.
        frame_max: most bytes of a frame that the peer may send, as negotiated.
    """

    sock: Any
    connected: bool
    host: str

    def _setup_transport(self) -> None:
        super()._setup_transport()  # type: ignore[misc]
        self.__dict__.pop("_write", None)  # py-amqp's, which blocks
        self._buffer = b""
        self._offset = 0
        self._limits = _Limits()
        self.write_lock = WriteLock(lambda: remaining(self._write_deadline()))
        self.frame_max = 0
        self.last_received = monotonic()
        self.sock.setblocking(False)

    def _set_socket_options(self, socket_settings: Any) -> None:
        named = {
            getattr(socket, option) if isinstance(option, str) else option: value
            for option, value in (socket_settings or {}).items()
            if not isinstance(option, str) or hasattr(socket, option)
        }
        super()._set_socket_options(named)  # type: ignore[misc]

    # -- reading ---------------------------------------------------------

    @property
    def buffered(self) -> bool:
        """Whether bytes were received that nobody has looked at and the kernel doesn't know of."""
        return len(self._buffer) > self._offset

    @property
    def has_frame(self) -> bool:
        """Whether a whole frame was received that nobody has looked at."""
        available = len(self._buffer) - self._offset
        if available < FRAME_HEADER_SIZE + 1:
            return False
        size: int = frame_header.unpack_from(self._buffer, self._offset)[2]
        return available >= FRAME_HEADER_SIZE + size + 1

    def next_frame(self) -> Frame | None:
        """The next frame as ``(type, channel, payload)`` if all of it has arrived.

        Raises:
            UnexpectedFrame, FrameSyntaxError: what arrived is no frame, or larger than agreed.
        """
        buffer, offset = self._buffer, self._offset
        available = len(buffer) - offset
        if available < FRAME_HEADER_SIZE + 1:
            return None
        frame_type, channel, size = frame_header.unpack_from(buffer, offset)
        if self.frame_max and size > self.frame_max - 8:
            self.connected = False
            raise FrameSyntaxError(
                f"frame of {size + 8} bytes; {self.frame_max} were agreed on as the most"
            )
        start = offset + FRAME_HEADER_SIZE
        end = start + size
        if available <= FRAME_HEADER_SIZE + size:
            return None
        if buffer[end] != FRAME_END:
            self.connected = False
            raise UnexpectedFrame(f"frame ends with {buffer[end]:#04x} instead of 0xce")
        self._offset = end + 1
        return frame_type, channel, buffer[start:end]

    def fill(self, timeout: float | None) -> None:
        """Receive what there is; wait for it when there is nothing.

        Arguments:
            timeout: seconds; ``None``: no limit; 0: don't wait.

        Raises:
            TimeoutError: nothing arrived in time.
            OSError: the connection is lost.
        """
        deadline = None if timeout is None else monotonic() + timeout
        while True:
            data = self._receive()
            if data is not None:
                break
            if timeout == 0:
                raise TimeoutError("timed out")
            left = remaining(deadline)
            readable, writable = self._ready(True, self._wants_write, left)
            if not (readable or writable) and remaining(deadline) == 0.0:
                raise TimeoutError("timed out")
        self.last_received = monotonic()
        if self._offset >= len(self._buffer):
            self._buffer = data
        else:
            self._buffer = self._buffer[self._offset :] + data
        self._offset = 0

    _wants_write = False

    def _receive(self) -> bytes | None:
        """What has arrived; ``None``: nothing."""
        try:
            data: bytes = self._open_socket().recv(RECEIVE_SIZE)
        except (BlockingIOError, InterruptedError):
            return None
        except TimeoutError as exc:
            raise self._given_up(exc) from exc
        except OSError:
            self.connected = False
            raise
        if not data:
            self.connected = False
            raise ConnectionResetError(errno.ECONNRESET, "Server unexpectedly closed connection")
        return data

    def _given_up(self, exc: TimeoutError) -> ConnectionError:
        """The kernel's ETIMEDOUT: the connection is lost, not merely silent for a while."""
        self.connected = False
        return ConnectionAbortedError(exc.errno, exc.strerror)

    def _open_socket(self) -> Any:
        """The socket, which another thread may have closed."""
        sock = self.sock
        if sock is None:
            raise ConnectionResetError(errno.ECONNRESET, "Socket closed")
        return sock

    def _ready(self, read: bool, write: bool, timeout: float | None) -> tuple[bool, bool]:
        try:
            return wait_for(self._open_socket(), read, write, timeout)
        except ValueError as exc:  # closed in this moment
            raise ConnectionResetError(errno.ECONNRESET, "Socket closed") from exc

    def is_readable(self) -> bool:
        """Whether something arrived, without taking it."""
        return self.buffered or self._ready(True, False, 0)[0]

    def read_frame(self, unpack: Any = None) -> Frame:
        """Wait for the next frame, for as long as it takes."""
        while True:
            frame = self.next_frame()
            if frame is not None:
                return frame
            self.fill(None)

    # -- writing ---------------------------------------------------------

    @contextmanager
    def having_timeout(self, timeout: float | None) -> Iterator[Any]:
        """Writes inside the block end after so many seconds."""
        limits = self._limits
        previous = limits.deadline
        if timeout is not None:
            deadline = monotonic() + timeout
            limits.deadline = deadline if previous is None else min(previous, deadline)
        try:
            yield self.sock
        finally:
            limits.deadline = previous

    def write(self, data: Any) -> None:
        """Send all of ``data``.

        Raises:
            TimeoutError: not in time. When a part of it had gone out the connection is of no
                use any more, and closed.
            OSError: the connection is lost.
        """
        try:
            sent = self._send(data)
            if sent != len(data):
                self._write_rest(memoryview(data), sent)
        except TimeoutError:
            raise
        except OSError:
            self.connected = False
            raise
        except BaseException:
            # Interrupted (a signal, a greenlet's timeout): nobody knows how much went out.
            self.close()
            raise

    _write = write

    def _send(self, data: Any) -> int:
        try:
            return int(self._open_socket().send(data))
        except (BlockingIOError, InterruptedError):
            return 0
        except TimeoutError as exc:
            raise self._given_up(exc) from exc

    def _write_rest(self, data: memoryview, sent: int) -> None:
        deadline = self._write_deadline()
        while sent < len(data):
            _, writable = self._ready(self._wants_read, True, remaining(deadline))
            if not writable and remaining(deadline) == 0.0:
                if sent or self._record_begun:
                    # Half a frame is out: whatever followed would be taken for its end.
                    self.close()
                raise TimeoutError("timed out")
            sent += self._send(data[sent:])

    def _write_deadline(self) -> float | None:
        """Until when the current thread may write."""
        deadline = self._limits.deadline
        limit: float | None = getattr(self, "write_timeout", None)
        if limit is None:
            return deadline
        latest = monotonic() + limit
        return latest if deadline is None else min(deadline, latest)

    _wants_read = False
    _record_begun = False

    # -- closing ---------------------------------------------------------

    def abandon(self) -> None:
        """Close this process's copy of the socket without telling the peer anything."""
        sock, self.sock = self.sock, None
        self.connected = False
        if sock is not None:
            os.close(sock.detach())

    def close(self) -> None:
        """Close the socket; never waits for the peer."""
        sock, self.sock = self.sock, None
        self.connected = False
        if sock is None:
            return
        with suppress(OSError):  # the peer may have been first
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()


class TCPLink(LinkMixin, amqp_transport.TCPTransport):
    """A plain TCP connection."""


class TLSLink(LinkMixin, amqp_transport.SSLTransport):
    """A connection under TLS, either side of which may need the other direction to go on."""

    def _setup_transport(self) -> None:
        super()._setup_transport()
        #: One thread reads while another writes; OpenSSL must not be used by both at once.
        self._session = threading.RLock()

    def _receive(self) -> bytes | None:
        self._wants_write = False
        try:
            with self._session:
                data: bytes = self._open_socket().recv(RECEIVE_SIZE)
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLWantWriteError:
            self._wants_write = True
            return None
        except TimeoutError as exc:
            raise self._given_up(exc) from exc
        except OSError:
            self.connected = False
            raise
        if not data:
            self.connected = False
            raise ConnectionResetError(errno.ECONNRESET, "Server unexpectedly closed connection")
        return data

    @property
    def buffered(self) -> bool:
        return super().buffered or bool(self.sock is not None and self.sock.pending())

    def _send(self, data: Any) -> int:
        if not self._record_begun and not self._ready(False, True, 0)[1]:
            return 0  # once OpenSSL has begun with it there is no taking it back
        self._wants_read = False
        self._record_begun = True
        try:
            with self._session:
                sent = int(self._open_socket().send(data))
        except ssl.SSLWantWriteError:
            return 0
        except ssl.SSLWantReadError:
            self._wants_read = True
            return 0
        except TimeoutError as exc:
            raise self._given_up(exc) from exc
        except OSError:
            with suppress(ssl.SSLWantReadError, ssl.SSLEOFError):
                # A peer that refuses our certificate says so before it closes.
                self.sock.recv(1)
            raise
        self._record_begun = False
        return sent


def Link(host: str, connect_timeout: float | None = None, ssl: Any = False, **options: Any) -> Any:
    """A link to ``host:port``, with TLS when ``ssl`` is true or has options."""
    kind = TLSLink if ssl else TCPLink
    return kind(host, connect_timeout=connect_timeout, ssl=ssl, **options)
