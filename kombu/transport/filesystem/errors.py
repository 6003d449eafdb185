"""What errors of the file system mean."""

from __future__ import annotations

import errno
from functools import partial

from kombu.transport.errors import ErrorRow, ErrorTable, Mapped


class DiskFull(OSError):
    """No room (or no quota) is left for a message; nothing of it was made visible."""


ERRORS = ErrorTable(
    [
        ErrorRow(DiskFull, "channel"),
        ErrorRow(OSError, "connection"),
    ]
)


class _Mapped(Mapped):
    """With a full disk told apart."""

    __slots__ = ()

    def translated(self, exc: BaseException) -> Exception:
        if isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT):
            exc = DiskFull(exc.errno, exc.strerror, exc.filename)
        return super().translated(exc)


#: As :meth:`ErrorTable.mapped`; takes what is being done.
mapped = partial(_Mapped, ERRORS)
