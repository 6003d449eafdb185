"""One held connection that only listens: wake calls, invalidated keys and fanout messages."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from redis import exceptions

from kombu.transport.redis.link import pack
from kombu.transport.redis.readiness import new_poll

#: Channel on which a server announces keys that were read and then changed.
INVALIDATE = b"__redis__:invalidate"


class Heard(NamedTuple):
    """One message: the subscription it came by, and what it says."""

    subscription: bytes
    data: Any


class Listener:
    """A connection in subscribed state.

    State: closed until :meth:`open`, then listening; any failure closes it again and raises
    redis-py's exception. Subscriptions are remembered and made again by :meth:`open`.

    Arguments:
        pool: a redis-py connection pool.
    """

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._connection: Any = None
        self._pid = os.getpid()
        self._channels: set[str] = set()
        self._patterns: set[str] = set()
        self._heard: list[Heard] = []
        self._lock = threading.RLock()
        self._poll: Any = None
        self._retire_at: float | None = None
        #: Grows with each connection.
        self.generation = 0
        #: The server's number of this connection, for CLIENT TRACKING REDIRECT.
        self.client_id = 0
        #: Why the server does not tell that number.
        self.refusal: exceptions.ResponseError | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a connection, of this very process."""
        return self._connection is not None and self._pid == os.getpid()

    def fileno(self) -> int:
        """The descriptor to watch; -1 while closed."""
        sock = getattr(self._connection, "_sock", None) if self.is_open else None
        return sock.fileno() if sock is not None else -1

    def open(self) -> None:
        """Connect, unless that is done, and subscribe to all that is remembered."""
        with self._lock:
            if self.is_open:
                return
            self._after_fork()
            self._connection = connection = self._pool.get_connection()
            self.generation += 1
            self._retire_at = None
            self._heard.clear()
            self._poll = None
            try:
                if not connection.is_connected:
                    connection.connect()
                connection.send_packed_command([pack(("CLIENT", "ID"))])
                self.client_id, self.refusal = 0, None
                try:
                    self.client_id = int(connection.read_response())
                except exceptions.ResponseError as exc:
                    self.refusal = exc
                if self._channels:
                    self._confirmed("SUBSCRIBE", self._channels)
                if self._patterns:
                    self._confirmed("PSUBSCRIBE", self._patterns)
            except BaseException:
                self.drop()
                raise

    def subscribe(self, channels: Iterable[str]) -> None:
        """Listen to channels; returns when the server confirmed it."""
        with self._lock:
            self._after_fork()
            new = set(channels) - self._channels
            self._channels |= new
            self._change("SUBSCRIBE", new)

    def subscribe_patterns(self, patterns: Iterable[str]) -> None:
        """As :meth:`subscribe`, for patterns."""
        with self._lock:
            self._after_fork()
            new = set(patterns) - self._patterns
            self._patterns |= new
            self._change("PSUBSCRIBE", new)

    def unsubscribe_patterns(self, patterns: Iterable[str]) -> None:
        """Stop listening to patterns."""
        with self._lock:
            gone = set(patterns) & self._patterns
            self._patterns -= gone
            if self.is_open:
                self._change("PUNSUBSCRIBE", gone)

    def _after_fork(self) -> None:
        """In a child: another connection is needed, and the parent is not to be heard for."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._connection = None
            self._channels.clear()

    def _change(self, command: str, names: set[str]) -> None:
        if not self.is_open:
            self.open()
        elif names:
            try:
                self._confirmed(command, names)
            except BaseException:
                self.drop()
                raise

    def _confirmed(self, command: str, names: Iterable[str]) -> None:
        wanted = sorted(names)
        self._connection.send_packed_command([pack((command, *wanted))], check_health=False)
        kind = command.lower().encode()
        missing = len(wanted)
        while missing:
            if self._sort(self._connection.read_response()) == kind:
                missing -= 1

    def _sort(self, reply: Any) -> bytes:
        """Keep a message; the kind of reply it was."""
        kind = bytes(reply[0]) if isinstance(reply, list) else b""
        if kind == b"message":
            self._heard.append(Heard(reply[1], reply[2]))
        elif kind == b"pmessage":
            self._heard.append(Heard(reply[1], reply[3]))
        return kind

    def hear(self) -> list[Heard]:
        """All messages that have arrived, without blocking."""
        with self._lock:
            if not self.is_open:
                heard, self._heard = self._heard, []
                return heard
            if self._retire_at is not None and time.monotonic() >= self._retire_at:
                self.drop()
                raise exceptions.ConnectionError("replaced, because credentials were renewed")
            if not self._heard and self._is_silent():
                return []
            try:
                while self._connection.can_read(0):
                    self._sort(self._connection.read_response())
            except exceptions.ResponseError:
                raise
            except BaseException:
                self.drop()
                raise
            heard, self._heard = self._heard, []
            return heard

    def _is_silent(self) -> bool:
        """Whether surely nothing arrived; much cheaper than asking redis-py."""
        sock = getattr(self._connection, "_sock", None)
        if sock is None or hasattr(sock, "pending"):
            return False
        if self._poll is None:
            self._poll = new_poll()
            self._poll.register(sock, select.POLLIN)
        return not self._poll.poll(0)

    def retire(self, seconds: float) -> None:
        """Give the connection up after so many seconds; whoever hears then opens another."""
        self._retire_at = time.monotonic() + seconds

    @property
    def retires_in(self) -> float | None:
        """Seconds until the connection is given up; ``None``: it stays."""
        at = self._retire_at
        return None if at is None or not self.is_open else max(at - time.monotonic(), 0.0)

    def check(self) -> None:
        """Make sure that the server still answers (PING)."""
        with self._lock:
            if not self.is_open or not (self._channels or self._patterns):
                return
            try:
                self._connection.send_packed_command([pack(("PING",))], check_health=False)
                while self._sort(self._connection.read_response()) != b"pong":
                    pass
            except BaseException:
                self.drop()
                raise

    def forget_channels(self) -> None:
        """Listen to patterns only, and close where there are none."""
        with self._lock:
            self._channels.clear()
            if not self._patterns:
                self.drop()

    def drop(self) -> None:
        """Close the connection; subscriptions stay remembered."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.disconnect()
                if self._pid == os.getpid():
                    self._pool.release(connection)

    def close(self) -> None:
        """Close for good; a forked child leaves the parent's connection alone."""
        with self._lock:
            self._channels.clear()
            self._patterns.clear()
            self._heard.clear()
            if self._pid == os.getpid():
                self.drop()
