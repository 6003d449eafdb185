"""Doing something in spite of a lost connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from kombu.log import get_logger

logger = get_logger(__name__)


@contextmanager
def _ignoring_errors(conn: Any) -> Iterator[None]:
    try:
        yield
    except (*conn.connection_errors, *conn.channel_errors) as exc:
        logger.debug("ignored: %r", exc)


def ignore_errors(
    conn: Any, fun: Callable[..., Any] | None = None, *args: Any, **kwargs: Any
) -> Any:
    """Ignore errors of the connection and its channels.

    ::

        ignore_errors(connection, consumer.channel.close)

        with ignore_errors(connection):
            consumer.channel.close()

    Arguments:
        conn: anything with ``connection_errors`` and ``channel_errors``.
        fun: called with ``args`` and ``kwargs``; without it, a context manager is returned.

    Returns:
        what ``fun`` returns; ``None`` after an error.
    """
    if fun is None:
        return _ignoring_errors(conn)
    with _ignoring_errors(conn):
        return fun(*args, **kwargs)
    return None


def _log_retry(exc: BaseException, interval: float) -> None:
    logger.error("Connection error: %r. Retry in %ss", exc, interval)


def revive_connection(
    connection: Any, channel: Any, on_revive: Callable[[Any], object] | None = None
) -> None:
    """Call ``on_revive`` with the new channel of a connection that was made again."""
    if on_revive is not None:
        on_revive(channel)


def insured(
    pool: Any,
    fun: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    errback: Callable[[BaseException, float], object] | None = None,
    on_revive: Callable[[Any], object] | None = None,
    **opts: Any,
) -> Any:
    """Call a function with a connection of a pool, again when the connection is lost.

    Arguments:
        pool: a :class:`~kombu.connection.ConnectionPool`.
        fun: called with ``args`` and ``kwargs``, and ``connection`` and ``channel``.
        errback: called with (exception, seconds) before each retry; by default it is logged.
        on_revive: called with the new channel after connecting again.
        **opts: arguments of :meth:`kombu.Connection.ensure`.

    Returns:
        what ``fun`` returns.
    """
    errback = errback or _log_retry
    with pool.acquire(block=True) as connection:
        connection.ensure_connection(errback=errback)
        retried = connection.autoretry(
            fun,
            connection.default_channel,
            errback=errback,
            on_revive=partial(revive_connection, connection, on_revive=on_revive),
            **opts,
        )
        result, _ = retried(*args, **{**kwargs, "connection": connection})
        return result
