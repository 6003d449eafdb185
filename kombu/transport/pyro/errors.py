"""What Pyro's exceptions mean."""

from __future__ import annotations

from kombu.transport.errors import ErrorRow, ErrorTable
from kombu.transport.pyro.library import LIBRARY

ERRORS = ErrorTable(
    [
        ErrorRow(LIBRARY.errors.SerializeError, "channel", recoverable=False),
        ErrorRow(LIBRARY.errors.CommunicationError, "connection"),
        # The broker is not registered, or not yet.
        ErrorRow(LIBRARY.errors.NamingError, "connection"),
        ErrorRow(LIBRARY.errors.PyroError, "channel", recoverable=False),
        ErrorRow(OSError, "connection"),
    ]
)
