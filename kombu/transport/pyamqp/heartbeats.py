"""Heartbeats: kept by whoever waits, by the application, or by a thread."""

from __future__ import annotations

import errno
import threading
import weakref
from time import monotonic
from typing import Any

from amqp.exceptions import AMQPError, ConnectionForced

from ...log import get_logger
from . import wire
from .link import remaining

__all__ = ("HeartbeatThread", "Heartbeats")

logger = get_logger(__name__)

#: Looks per interval, so that a heartbeat is never late by more than this part of one.
_LOOKS_PER_INTERVAL = 4


class Heartbeats:
    """The part of a connection that sends heartbeats and misses the broker's."""

    # As py-amqp's connection has them.
    heartbeat: float
    bytes_sent: int
    prev_sent: int | None
    prev_recv: int | None
    last_heartbeat_sent: float
    _transport: Any
    frame_writer: Any

    close_timeout: float

    def _usable_link(self) -> Any:
        raise NotImplementedError

    def _fill(self, link: Any, timeout: float | None) -> None:
        """Receive bytes; keeps the heartbeats going, whether something comes or nothing."""
        interval = self.heartbeat
        if not interval:
            link.fill(timeout)
            return
        deadline = None if timeout is None else monotonic() + timeout
        while True:
            # The silence is noticed when it is too long, not at the next beat of our own.
            pause = min(interval / 2, max(link.last_received + 2 * interval - monotonic(), 0.0))
            left = remaining(deadline)
            try:
                link.fill(pause if left is None else min(left, pause))
            except TimeoutError:
                self._check_silence(link)
                self._beat(link, deadline)
                if deadline is not None and monotonic() >= deadline:
                    raise
            else:
                # What comes may be the broker's heartbeats, always a little before ours.
                self._beat(link, deadline)
                return

    def _beat(self, link: Any, deadline: float | None) -> None:
        """Send a heartbeat if one is due and goes out in time."""
        try:
            with link.having_timeout(remaining(deadline)):
                self.send_heartbeat_if_due()
        except TimeoutError as exc:
            # There is no room for it now. If the link is dead, the silence will tell.
            if not link.connected:
                raise ConnectionAbortedError(
                    errno.ECONNABORTED, "a heartbeat could not be sent"
                ) from exc

    def _check_silence(self, link: Any) -> None:
        silent = monotonic() - link.last_received
        if silent >= 2 * self.heartbeat:
            link.connected = False
            raise ConnectionForced(
                f"Too many heartbeats missed: nothing received for {silent:.1f} seconds"
            )

    def send_heartbeat_if_due(self) -> None:
        """Send a heartbeat if nothing was sent for half an interval."""
        now = monotonic()
        if self.prev_sent != self.bytes_sent:
            self.prev_sent = self.bytes_sent
            self.last_heartbeat_sent = now
        elif now - self.last_heartbeat_sent >= self.heartbeat / 2:
            self.send_heartbeat()
            self.prev_sent = self.bytes_sent
            self.last_heartbeat_sent = now

    def heartbeat_tick(self, rate: float = 2) -> None:
        """Send a heartbeat when one is due, and raise when the broker's are missing.

        Arguments:
            rate: how often per interval this is called.

        Raises:
            ConnectionForced: nothing was received for two intervals.
        """
        if self.heartbeat and self._transport is not None and self._transport.is_readable():
            # Something is there, only nobody has taken it yet.
            self.prev_recv = None
        super().heartbeat_tick(rate)  # type: ignore[misc]

    def send_heartbeat(self) -> None:
        """Send a heartbeat frame; gives up after an interval."""
        link = self._usable_link()
        with link.having_timeout(self.heartbeat or self.close_timeout):
            self.frame_writer(wire.HEARTBEAT, 0, None, b"", None)


class HeartbeatThread(threading.Thread):
    """Sends a connection's heartbeats while it lives.

    It only sends: whether the broker is alive is noticed by whoever reads, since unread
    heartbeats may be waiting in the socket.

    Arguments:
        connection: an open connection with a heartbeat interval; held by a weak reference.
    """

    def __init__(self, connection: Any) -> None:
        super().__init__(name="kombu-heartbeats", daemon=True)
        self._connection = weakref.ref(connection)
        self._link = weakref.ref(connection.transport)
        self._pause = connection.heartbeat / _LOOKS_PER_INTERVAL
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End it; does not wait for it."""
        self._stopped.set()

    def run(self) -> None:
        while not self._stopped.wait(self._pause):
            if not self._beat():
                return

    def _beat(self) -> bool:
        connection, link = self._connection(), self._link()
        if connection is None or link is None or connection._transport is not link:
            return False
        try:
            connection.send_heartbeat_if_due()
        except (OSError, AMQPError) as exc:
            # The owner of the connection finds out by itself, at its next read or write.
            logger.debug("heartbeat not sent: %r", exc)
            return False
        return True
