"""What the NATS client's exceptions mean."""

from __future__ import annotations

from nats import errors
from nats.js import errors as jetstream

from kombu.transport.errors import ErrorRow, ErrorTable

ERRORS = ErrorTable(
    [
        ErrorRow(errors.AuthorizationError, "connection", recoverable=False),
        ErrorRow(errors.InvalidUserCredentialsError, "connection", recoverable=False),
        ErrorRow(errors.MaxPayloadError, "channel", recoverable=False),
        ErrorRow(errors.BadSubjectError, "channel", recoverable=False),
        ErrorRow(jetstream.ServiceUnavailableError, "connection"),
        ErrorRow(jetstream.Error, "channel"),
        ErrorRow(errors.Error, "connection"),
        ErrorRow(OSError, "connection"),
    ]
)
