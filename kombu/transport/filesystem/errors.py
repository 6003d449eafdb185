"""What errors of the file system mean."""

from __future__ import annotations

import errno

from kombu.transport.errors import ErrorRow, ErrorTable, Mapped


class DiskFull(OSError):
    """No room (or no quota) is left for a message; nothing of it was made visible."""


ERRORS = ErrorTable(
    [
        ErrorRow(DiskFull, "channel"),
        ErrorRow(OSError, "connection"),
    ]
)


class mapped(Mapped):
    """As :meth:`ErrorTable.mapped`, with a full disk told apart.

    Arguments:
        doing: what is being done, for the message.
    """

    __slots__ = ()

    def __init__(self, doing: str) -> None:
        super().__init__(ERRORS, doing)

    def translated(self, exc: BaseException) -> Exception:
        if isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT):
            exc = DiskFull(exc.errno, exc.strerror, exc.filename)
        return super().translated(exc)
