"""What kazoo's exceptions mean."""

from __future__ import annotations

from kazoo import exceptions
from kazoo.handlers.threading import KazooTimeoutError

from kombu.transport.errors import ErrorRow, ErrorTable

ERRORS = ErrorTable(
    [
        ErrorRow(exceptions.AuthFailedError, "connection", recoverable=False),
        ErrorRow(exceptions.ConnectionLoss, "connection"),
        ErrorRow(exceptions.ConnectionClosedError, "connection"),
        ErrorRow(exceptions.SessionExpiredError, "connection"),
        ErrorRow(exceptions.SessionMovedError, "connection"),
        ErrorRow(exceptions.OperationTimeoutError, "connection"),
        ErrorRow(exceptions.MarshallingError, "connection"),
        ErrorRow(KazooTimeoutError, "connection"),
        ErrorRow(exceptions.NoAuthError, "channel", recoverable=False),
        ErrorRow(exceptions.KazooException, "channel"),
    ]
)
