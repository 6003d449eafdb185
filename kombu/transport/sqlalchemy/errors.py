"""What SQLAlchemy's exceptions mean."""

from __future__ import annotations

from typing import Any

from sqlalchemy import exc

from kombu.transport.errors import ErrorRow, ErrorTable

ERRORS = ErrorTable(
    [
        # First, because published code reads the first of the connection errors.
        ErrorRow(exc.OperationalError, "connection"),
        ErrorRow(exc.InterfaceError, "connection"),
        ErrorRow(exc.InvalidatePoolError, "connection"),
        ErrorRow(exc.DisconnectionError, "connection"),
        ErrorRow(exc.TimeoutError, "connection"),
        ErrorRow(exc.ArgumentError, "connection", recoverable=False),
        ErrorRow(exc.DataError, "channel", recoverable=False),
        ErrorRow(exc.ProgrammingError, "channel", recoverable=False),
        ErrorRow(exc.NotSupportedError, "channel", recoverable=False),
        ErrorRow(exc.DBAPIError, "channel"),
        ErrorRow(exc.SQLAlchemyError, "channel"),
    ]
)

#: SQLSTATEs after which the same transaction may succeed: serialization failure, deadlock,
#: lock not available.
_TRANSIENT_STATES = frozenset({"40001", "40P01", "55P03"})
#: The same as MySQL and MariaDB number them: lock wait timeout, deadlock, record changed.
_TRANSIENT_NUMBERS = frozenset({1205, 1213, 1020})


#: SQLSTATE of a server that only reads: a standby, or a primary that was demoted.
_READ_ONLY = "25006"


def _state(error: exc.DBAPIError) -> str | None:
    cause: Any = error.orig
    state: str | None = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return state


def is_read_only(error: exc.DBAPIError) -> bool:
    """Whether it takes another connection to write, to another server perhaps."""
    return _state(error) == _READ_ONLY


def is_transient(error: exc.DBAPIError) -> bool:
    """Whether the server rolled a transaction back that may succeed when it is tried again."""
    cause: Any = error.orig
    if _state(error) in _TRANSIENT_STATES:
        return True
    arguments = getattr(cause, "args", ())
    if arguments and arguments[0] in _TRANSIENT_NUMBERS:
        return True
    return "database is locked" in str(cause) or "table is locked" in str(cause)
