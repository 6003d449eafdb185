"""What the errors of the Azure Storage client mean."""

from __future__ import annotations

from kombu.transport.azure import HTTP_ROWS, HTTPErrorTable

ERRORS = HTTPErrorTable(HTTP_ROWS)
