"""What can go wrong between us and a key-value server, by HTTP."""

from __future__ import annotations

import h11

from kombu.transport.errors import ErrorRow, ErrorTable
from kombu.transport.http import HTTP_ERRORS

ERRORS = ErrorTable([ErrorRow(h11.RemoteProtocolError, "connection"), *HTTP_ERRORS])
