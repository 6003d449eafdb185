"""Ending a wait from another thread."""

from __future__ import annotations

import os
import socket


class Bell:
    """Ends a ``poll`` from another thread.

    A pair of sockets, as reading an empty pipe waits where eventlet has patched it.
    """

    def __init__(self) -> None:
        self._open()

    def _open(self) -> None:
        self._pid = os.getpid()
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        self.reader = self._receiver.fileno()

    def ring(self) -> None:
        """Make the reader readable; ringing twice is ringing once."""
        self.after_fork()
        try:
            self._sender.send(b"!")
        except BlockingIOError:
            return

    def answered(self) -> bool:
        """Whether it rang; it is silent afterwards."""
        try:
            return bool(self._receiver.recv(4096))
        except BlockingIOError:
            return False

    def after_fork(self) -> None:
        """A child must not share the parent's pipe."""
        if self._pid != os.getpid():
            self._open()

    def close(self) -> None:
        """Free the descriptors."""
        self._receiver.close()
        self._sender.close()
