"""Which of redis-py's errors mean what, and the edge at which they are mapped."""

from __future__ import annotations

import ssl
from functools import partial
from typing import NamedTuple

from redis import exceptions

from kombu.transport.errors import ErrorRow, ErrorTable, Mapped


class ServerUnavailable(exceptions.ResponseError):
    """The server answered that it can't serve now: MISCONF, BUSY, NOREPLICAS, OOM and the like."""


class UntrustedServer(exceptions.RedisError):
    """The server's certificate does not hold; trying again does not help."""


class NotEnoughReplicas(exceptions.RedisError):
    """Fewer replicas than ``wait_replicas`` acknowledged a message in time."""


class WrongType(exceptions.ResponseError):
    """A key that should be a queue's list holds something else."""


ERRORS = ErrorTable(
    [
        ErrorRow(exceptions.AuthenticationError, "connection", recoverable=False),
        ErrorRow(exceptions.AuthenticationWrongNumberOfArgsError, "connection", recoverable=False),
        ErrorRow(exceptions.AuthorizationError, "connection", recoverable=False),
        ErrorRow(UntrustedServer, "connection", recoverable=False),
        ErrorRow(exceptions.BusyLoadingError, "connection"),
        ErrorRow(exceptions.ConnectionError, "connection"),
        ErrorRow(exceptions.TimeoutError, "connection"),
        ErrorRow(exceptions.ReadOnlyError, "connection"),
        ErrorRow(exceptions.MasterDownError, "connection"),
        ErrorRow(exceptions.ClusterDownError, "connection"),
        ErrorRow(exceptions.TryAgainError, "connection"),
        ErrorRow(exceptions.AskError, "connection"),
        ErrorRow(exceptions.OutOfMemoryError, "connection"),
        ErrorRow(ServerUnavailable, "connection"),
        ErrorRow(exceptions.RedisClusterException, "connection"),
        ErrorRow(OSError, "connection"),
        ErrorRow(NotEnoughReplicas, "channel"),
        ErrorRow(exceptions.NoPermissionError, "channel", recoverable=False),
        ErrorRow(exceptions.ClusterCrossSlotError, "channel", recoverable=False),
        ErrorRow(WrongType, "channel", recoverable=False),
        ErrorRow(exceptions.DataError, "channel", recoverable=False),
        ErrorRow(exceptions.ResponseError, "channel", recoverable=False),
        ErrorRow(exceptions.RedisError, "channel", recoverable=False),
    ]
)

_PASSING = (
    "MISCONF",
    "BUSY",
    "NOREPLICAS",
    "OOM",
    "UNBLOCKED",
    "MASTERDOWN",
    "LOADING",
    "READONLY",
    "CLUSTERDOWN",
    "TRYAGAIN",
)


_RIGHTS = (
    " (the transport needs +@list +@hash +@sortedset +@set +@string +@keyspace"
    " +@pubsub +@scripting +@connection on its keys and channels)"
)


def refined(error: Exception) -> Exception:
    """A more telling exception for what redis-py knows only by its text or cause."""
    if isinstance(error.__context__, ssl.SSLCertVerificationError):
        return UntrustedServer(str(error))
    if not isinstance(error, exceptions.ResponseError):
        return error
    text = str(error)
    if type(error) is exceptions.ResponseError:
        word = text.split(" ", 1)[0]
        if word in _PASSING or "OOM command not allowed" in text:
            return ServerUnavailable(text)
        if word == "WRONGTYPE" or "WRONGTYPE" in text:
            return WrongType(text)
        for code, kind in (
            ("NOPERM", exceptions.NoPermissionError),
            ("READONLY", exceptions.ReadOnlyError),
            ("MASTERDOWN", exceptions.MasterDownError),
            ("NOAUTH", exceptions.AuthenticationError),
        ):
            if text.startswith(code):
                return kind(text)
        if "The user executing the script can't" in text:
            return exceptions.NoPermissionError(text)
        if "can't write against a read only replica" in text:
            return exceptions.ReadOnlyError(text)
    return error


class _Mapped(Mapped):
    """With what redis-py knows only by its text or cause."""

    __slots__ = ()

    def translated(self, exc: BaseException) -> Exception:
        told = refined(exc) if isinstance(exc, Exception) else exc
        if isinstance(told, exceptions.NoPermissionError):
            return self._table.translate(told, self._doing + _RIGHTS)
        return self._table.translate(told, self._doing)


#: Context: turns redis-py's errors into the library's own; takes what is being done.
mapped = partial(_Mapped, ERRORS)


class error_classes_t(NamedTuple):
    """The two tuples that :func:`get_redis_error_classes` returns."""

    connection_errors: tuple[type[BaseException], ...]
    channel_errors: tuple[type[BaseException], ...]


def get_redis_error_classes() -> error_classes_t:
    """The transport's ``(connection_errors, channel_errors)``."""
    return error_classes_t(ERRORS.connection_errors, ERRORS.channel_errors)


def get_redis_ConnectionError() -> type[exceptions.ConnectionError]:
    """redis-py's ``ConnectionError``."""
    return exceptions.ConnectionError
