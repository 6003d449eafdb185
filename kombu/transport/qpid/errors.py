"""What the errors of the two protocols mean."""

from __future__ import annotations

from amqp.exceptions import (
    AccessRefused,
    NotFound,
    PreconditionFailed,
    RecoverableChannelError,
    RecoverableConnectionError,
    ResourceLocked,
)
from proton import ConnectionException, ProtonException

from kombu.transport.errors import ErrorRow, ErrorTable

ERRORS = ErrorTable(
    [
        ErrorRow(ConnectionException, "connection"),
        ErrorRow(ProtonException, "connection"),
        ErrorRow(OSError, "connection"),
    ]
)

#: AMQP 1.0's error conditions that end a link or session, not the connection.
CONDITIONS: dict[str, type[Exception]] = {
    "amqp:not-found": NotFound,
    "amqp:unauthorized-access": AccessRefused,
    "amqp:resource-locked": ResourceLocked,
    "amqp:precondition-failed": PreconditionFailed,
}


def link_error(doing: str, name: str, description: str) -> Exception:
    """The library's exception for a condition that ended a link or session."""
    kind: type[Exception] = CONDITIONS.get(name, RecoverableChannelError)
    return kind(f"{doing}: {name}: {description}")


def lost(why: object) -> Exception:
    """The library's exception for a connection that is gone."""
    error: Exception = RecoverableConnectionError(f"the AMQP 1.0 connection is gone: {why}")
    return error
