"""What the AWS client's errors mean; an error response is told apart by its code."""

from __future__ import annotations

from collections.abc import Sequence

from amqp.exceptions import (
    AccessRefused,
    NotFound,
    RecoverableChannelError,
    RecoverableConnectionError,
)
from amqp.exceptions import ConnectionError as AMQPConnectionError
from botocore import exceptions

from kombu.transport.errors import ErrorRow, ErrorTable
from kombu.transport.virtual.errors import Throttled

UNKNOWN_QUEUE = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "NotFound")
REFUSED = ("AccessDenied", "AccessDeniedException", "KMS.AccessDeniedException")
#: The credentials are no good: nothing that this connection does will succeed.
UNAUTHENTICATED = (
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "IncompleteSignature",
    "InvalidSecurity",
    "UnrecognizedClientException",
    "MissingAuthenticationToken",
    "AuthFailure",
)
#: Connecting again fetches new ones.
OUTDATED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
#: Asked too often, after the client's own retries.
THROTTLED = (
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "SlowDown",
    "OverLimit",
    "KMS.ThrottlingException",
    "ServiceUnavailable",
)


class AWSErrorTable(ErrorTable):
    """Adds to the table what the code of an error response says."""

    def translate(self, exc: BaseException, doing: str) -> Exception:
        if not isinstance(exc, exceptions.ClientError):
            return super().translate(exc, doing)
        error = exc.response.get("Error", {})
        code = error.get("Code", "")
        text = f"{doing}: {code}: {error.get('Message', '')}"
        return kind_of(code)(text)


def kind_of(code: str) -> type[Exception]:
    """The library's exception for a code of AWS."""
    kinds: Sequence[tuple[Sequence[str], type[Exception]]] = (
        (UNKNOWN_QUEUE, NotFound),
        (REFUSED, AccessRefused),
        (UNAUTHENTICATED, AMQPConnectionError),
        (OUTDATED, RecoverableConnectionError),
        (THROTTLED, Throttled),
    )
    for codes, kind in kinds:
        if matches(code, codes):
            return kind
    refused: type[Exception] = RecoverableChannelError
    return refused


def matches(code: str, codes: Sequence[str]) -> bool:
    return any(code == each or code.endswith(f".{each}") for each in codes)


def is_unknown_queue(exc: exceptions.ClientError) -> bool:
    """Whether an error response says that the queue does not exist."""
    return matches(exc.response.get("Error", {}).get("Code", ""), UNKNOWN_QUEUE)


ERRORS = AWSErrorTable(
    [
        ErrorRow(exceptions.ClientError, "channel"),
        ErrorRow(exceptions.NoCredentialsError, "connection", recoverable=False),
        ErrorRow(exceptions.PartialCredentialsError, "connection", recoverable=False),
        ErrorRow(exceptions.HTTPClientError, "connection"),
        ErrorRow(exceptions.ParamValidationError, "channel", recoverable=False),
        ErrorRow(exceptions.BotoCoreError, "connection"),
    ]
)
