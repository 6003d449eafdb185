"""What pymongo's exceptions mean."""

from __future__ import annotations

from pymongo import errors

from kombu.transport.errors import ErrorRow, ErrorTable

ERRORS = ErrorTable(
    [
        ErrorRow(errors.NotPrimaryError, "connection"),
        ErrorRow(errors.ConfigurationError, "connection", recoverable=False),
        ErrorRow(errors.ConnectionFailure, "connection"),
        ErrorRow(errors.DocumentTooLarge, "channel", recoverable=False),
        ErrorRow(errors.BulkWriteError, "channel"),
        ErrorRow(errors.OperationFailure, "channel"),
        ErrorRow(errors.PyMongoError, "channel"),
    ]
)
