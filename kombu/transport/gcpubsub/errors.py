"""What the errors of Google's client mean."""

from __future__ import annotations

from amqp.exceptions import AccessRefused, NotFound
from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError

from kombu.transport.errors import ErrorRow, ErrorTable

_KINDS: tuple[tuple[type[Exception], type[Exception]], ...] = (
    (exceptions.NotFound, NotFound),
    (exceptions.Forbidden, AccessRefused),
)


class PubSubErrorTable(ErrorTable):
    """Adds AMQP's own error for what is missing or forbidden."""

    def translate(self, exc: BaseException, doing: str) -> Exception:
        for error, kind in _KINDS:
            if isinstance(exc, error):
                return kind(f"{doing}: {exc}")
        return super().translate(exc, doing)


ERRORS = PubSubErrorTable(
    [
        ErrorRow(GoogleAuthError, "connection", recoverable=False),
        ErrorRow(exceptions.Unauthenticated, "connection", recoverable=False),
        ErrorRow(exceptions.RetryError, "connection"),
        ErrorRow(exceptions.InvalidArgument, "channel", recoverable=False),
        ErrorRow(exceptions.ClientError, "channel"),
        ErrorRow(exceptions.MethodNotImplemented, "channel", recoverable=False),
        ErrorRow(exceptions.GoogleAPICallError, "connection"),
    ]
)
