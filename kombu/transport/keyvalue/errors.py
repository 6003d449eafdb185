"""What can go wrong between us and a key-value server, by HTTP."""

from __future__ import annotations

import h11
import urllib3.exceptions

from kombu.transport.errors import ErrorRow, ErrorTable


class ServerError(Exception):
    """The server could not do it now: no leader, out of time, shutting down."""


class Refused(Exception):
    """The server refuses the request, and would again."""


class NotAllowed(Exception):
    """Name, password or token are not what the server wants."""


class Unsuitable(Exception):
    """What answers is not the server that the transport needs."""


ERRORS = ErrorTable(
    [
        ErrorRow(NotAllowed, "connection", recoverable=False),
        ErrorRow(Unsuitable, "connection", recoverable=False),
        ErrorRow(ServerError, "connection"),
        ErrorRow(Refused, "channel", recoverable=False),
        ErrorRow(urllib3.exceptions.LocationValueError, "connection", recoverable=False),
        ErrorRow(urllib3.exceptions.HTTPError, "connection"),
        ErrorRow(h11.RemoteProtocolError, "connection"),
        ErrorRow(OSError, "connection"),
    ]
)
