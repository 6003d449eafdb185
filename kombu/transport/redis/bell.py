"""Ending a wait from another thread."""

from __future__ import annotations

import os


class Bell:
    """Ends a ``poll`` from another thread."""

    def __init__(self) -> None:
        self._open()

    def _open(self) -> None:
        self._pid = os.getpid()
        self.reader, self._writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self._writer, False)

    def ring(self) -> None:
        """Make the reader readable; ringing twice is ringing once."""
        self.after_fork()
        try:
            os.write(self._writer, b"!")
        except BlockingIOError:
            return

    def answered(self) -> bool:
        """Whether it rang; it is silent afterwards."""
        try:
            return bool(os.read(self.reader, 4096))
        except BlockingIOError:
            return False

    def after_fork(self) -> None:
        """A child must not share the parent's pipe."""
        if self._pid != os.getpid():
            self._open()

    def close(self) -> None:
        """Free the descriptors."""
        for descriptor in (self.reader, self._writer):
            os.close(descriptor)
