"""What the errors of the Service Bus client mean."""

from __future__ import annotations

from amqp.exceptions import NotFound
from azure.servicebus import exceptions

from kombu.transport.azure import HTTP_ROWS, HTTPErrorTable
from kombu.transport.errors import ErrorRow


class ServiceBusErrorTable(HTTPErrorTable):
    """Adds to the table that a missing entity is AMQP's 404."""

    def translate(self, exc: BaseException, doing: str) -> Exception:
        if isinstance(exc, exceptions.MessagingEntityNotFoundError):
            missing: Exception = NotFound(f"{doing}: {exc}")
            return missing
        return super().translate(exc, doing)


ERRORS = ServiceBusErrorTable(
    [
        ErrorRow(exceptions.ServiceBusAuthenticationError, "connection", recoverable=False),
        ErrorRow(exceptions.ServiceBusAuthorizationError, "connection", recoverable=False),
        ErrorRow(exceptions.MessagingEntityNotFoundError, "channel"),
        ErrorRow(exceptions.MessagingEntityDisabledError, "channel"),
        ErrorRow(exceptions.ServiceBusQuotaExceededError, "channel"),
        ErrorRow(exceptions.MessageSizeExceededError, "channel", recoverable=False),
        ErrorRow(exceptions.MessageLockLostError, "channel"),
        ErrorRow(exceptions.MessageNotFoundError, "channel"),
        ErrorRow(exceptions.ServiceBusError, "connection"),
        *HTTP_ROWS,
        ErrorRow(OSError, "connection"),
    ]
)
