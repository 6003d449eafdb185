"""Exceptions.

Connection and channel errors are those of :mod:`amqp`, whatever the transport, so that one
``except`` clause serves all of them.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NoReturn, TypeVar

from amqp.exceptions import ChannelError, ConnectionError, ResourceError

__all__ = (
    "BatchPublishError",
    "ChannelError",
    "ChannelLimitExceeded",
    "ConnectionError",
    "ConnectionLimitExceeded",
    "ContentDisallowed",
    "DecodeError",
    "EncodeError",
    "HttpError",
    "InconsistencyError",
    "KombuError",
    "LimitExceeded",
    "MessageStateError",
    "NotBoundError",
    "OperationalError",
    "ResourceError",
    "SerializationError",
    "SerializerNotInstalled",
    "TimeoutError",
    "VersionMismatch",
    "reraise",
)

BaseExceptionType = TypeVar("BaseExceptionType", bound=BaseException)

TimeoutError = builtins.TimeoutError


def reraise(
    tp: type[BaseExceptionType],
    value: BaseExceptionType,
    tb: TracebackType | None = None,
) -> NoReturn:
    """Raise ``value`` with the traceback ``tb``.

    Arguments:
        tp: the exception's type; not looked at, kept for callers that pass ``sys.exc_info()``.
        value: the exception to raise.
        tb: its traceback; ``None`` keeps the one it has.
    """
    if tb is not None and value.__traceback__ is not tb:
        raise value.with_traceback(tb)
    raise value


class KombuError(Exception):
    """Base of the errors defined here."""


class OperationalError(KombuError):
    """A connection or channel error, as seen by users of :meth:`Connection.ensure` and publish."""


class BatchPublishError(KombuError):
    """Some messages of a batch were not stored.

    Arguments:
        failed: index of the message in the batch -> the exception that says why, when known.
    """

    failed: dict[int, BaseException]

    def __init__(self, *args: Any, failed: Mapping[int, BaseException] | None = None) -> None:
        super().__init__(*args)
        self.failed = dict(failed or {})


class SerializationError(KombuError):
    """A body could not be written or read."""


class EncodeError(SerializationError):
    """A body could not be serialized."""


class DecodeError(SerializationError):
    """A body could not be deserialized or decompressed."""


class NotBoundError(KombuError):
    """An operation that needs a channel was called on an entity that has none."""


class MessageStateError(KombuError):
    """A message was acknowledged, rejected or requeued a second time, or has no channel."""


class LimitExceeded(KombuError):
    """A pool or other resource has no more to give."""


class ConnectionLimitExceeded(LimitExceeded):
    """All connections of a pool are in use."""


class ChannelLimitExceeded(LimitExceeded):
    """All channels of a pool are in use."""


class VersionMismatch(KombuError):
    """A library or server has a version that does not work here."""


class SerializerNotInstalled(KombuError):
    """No serializer is registered under the name asked for."""


class ContentDisallowed(SerializerNotInstalled):
    """The content type of a body is not accepted by this consumer."""


class InconsistencyError(ConnectionError):
    """The broker's state is not what was recorded there, e.g. a binding table is gone."""


class HttpError(Exception):
    """An HTTP request was answered with an error.

    Arguments:
        code: HTTP status.
        message: reason.
        response: the response object, when there is one.
    """

    def __init__(self, code: int, message: str | None = None, response: Any = None) -> None:
        self.code = code
        self.message = message
        self.response = response
        super().__init__(code, message, response)

    def __str__(self) -> str:
        return f"HTTP {self.code}: {self.message}"
