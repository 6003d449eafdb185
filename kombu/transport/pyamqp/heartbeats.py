"""Heartbeats for applications that are too busy to send them."""

from __future__ import annotations

import threading
import weakref
from typing import Any

from amqp.exceptions import AMQPError

from ...log import get_logger

logger = get_logger(__name__)

#: Looks per interval, so that a heartbeat is never late by more than this part of one.
_LOOKS_PER_INTERVAL = 4


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
