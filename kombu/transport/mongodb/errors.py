"""What pymongo's exceptions mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pymongo
from pymongo import errors

from kombu.transport.errors import ErrorRow, ErrorTable
from kombu.utils.deadlines import time_left


class MongoErrors(ErrorTable):
    """Around each call, so that a publish's deadline holds for it here, too."""

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
