"""What psycopg's exceptions mean."""

from __future__ import annotations

import psycopg

from kombu.transport.errors import ErrorRow, ErrorTable

ERRORS = ErrorTable(
    [
        ErrorRow(psycopg.OperationalError, "connection"),
        ErrorRow(psycopg.InterfaceError, "connection"),
        # A standby, or a primary that was demoted: it takes another connection.
        ErrorRow(psycopg.errors.ReadOnlySqlTransaction, "connection"),
        ErrorRow(psycopg.DataError, "channel", recoverable=False),
        ErrorRow(psycopg.ProgrammingError, "channel", recoverable=False),
        ErrorRow(psycopg.NotSupportedError, "channel", recoverable=False),
        ErrorRow(psycopg.Error, "channel"),
    ]
)
