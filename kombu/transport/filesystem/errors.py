"""What errors of the file system mean."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from kombu.transport.errors import ErrorRow, ErrorTable


class DiskFull(OSError):
    """No room (or no quota) is left for a message; nothing of it was made visible."""


ERRORS = ErrorTable(
    [
        ErrorRow(DiskFull, "channel"),
        ErrorRow(OSError, "connection"),
    ]
)


@contextmanager
def mapped(doing: str) -> Iterator[None]:
    """As :meth:`ErrorTable.mapped`, with a full disk told apart."""
    with ERRORS.mapped(doing):
        try:
            yield
        except OSError as exc:
            if exc.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull(exc.errno, exc.strerror, exc.filename) from exc
            raise
