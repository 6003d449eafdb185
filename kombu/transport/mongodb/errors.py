"""What pymongo's exceptions mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pymongo
from amqp.exceptions import AccessRefused
from amqp.exceptions import ConnectionError as AMQPConnectionError
from pymongo import errors

from kombu.transport.errors import ErrorRow, ErrorTable
from kombu.utils.deadlines import time_left

#: What the server calls wrong credentials: its own code, and Atlas's.
_AUTHENTICATION_FAILED = (18, 8000)
_UNAUTHORIZED = 13


class MongoErrors(ErrorTable):
    """Around each call, so that a publish's deadline holds for it here, too.

    Who is refused is told by the code of the error.
    """

    def translate(self, exc: BaseException, doing: str) -> Exception:
        code = exc.code if isinstance(exc, errors.OperationFailure) else None
        kind: type[Exception] | None = None
        if code in _AUTHENTICATION_FAILED:
            kind = AMQPConnectionError
        elif code == _UNAUTHORIZED:
            kind = AccessRefused
        return super().translate(exc, doing) if kind is None else kind(f"{doing}: {exc}")

    @contextmanager
    def mapped(self, doing: str) -> Iterator[None]:
        left = time_left()
        with super().mapped(doing), nullcontext() if left is None else pymongo.timeout(left):
            yield


ERRORS = MongoErrors(
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
