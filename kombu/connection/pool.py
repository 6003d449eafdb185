"""Pools of connections and of channels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Any

from kombu import exceptions
from kombu.connection.client import Connection
from kombu.connection.retrying import is_lost
from kombu.resource import Resource

__all__ = ("ChannelPool", "ConnectionPool", "PooledConnection")


class PooledConnection(Connection):
    """A connection that belongs to a pool; as a context manager it goes back there.

    Arguments:
        pool: the pool.
        **kwargs: see :class:`Connection`.
    """

    def __init__(self, pool: ConnectionPool, **kwargs: Any) -> None:
        self._pool = pool
        super().__init__(**kwargs)

    def __enter__(self) -> PooledConnection:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        if isinstance(exc_val, tuple(self.recoverable_connection_errors)):
            self.collect()
        self.release()

    def clone(self, **kwargs: Any) -> Connection:
        """A connection like this one that belongs to no pool."""
        copy: Connection = self._cloned(Connection, kwargs)
        return copy

    def __reduce__(self) -> tuple[Any, ...]:
        return Connection, super().__reduce__()[1]


class ConnectionPool(Resource):
    """A pool of connections; they connect when they are first used.

    Arguments:
        connection: what they are copies of.
        limit: see :class:`Resource`.
    """

    LimitExceeded = exceptions.ConnectionLimitExceeded
    close_after_fork = True

    def __init__(self, connection: Connection, limit: int | None = None, **kwargs: Any) -> None:
        self.connection = connection
        super().__init__(limit, **kwargs)

    def new(self) -> PooledConnection:
        """A connection that is not connected yet."""
        copy: PooledConnection = self.connection._cloned(partial(PooledConnection, self), {})
        return copy

    def prepare(self, resource: Any) -> Any:
        """One that was closed while it was idle may connect again."""
        if resource._closed:
            resource._closed = False
        return resource

    def release_resource(self, resource: Any) -> None:
        """Kept as it is."""

    def close_resource(self, resource: Any) -> None:
        """Close the connection."""
        resource.close()

    def collect_resource(self, resource: Any, socket_timeout: float = 0.1) -> None:
        """Free the connection without waiting for the peer for longer than ``socket_timeout``."""
        resource.collect(socket_timeout)
        resource._closed = True

    @contextmanager
    def acquire_channel(self, block: bool = False) -> Iterator[tuple[Any, Any]]:
        """A connection and its default channel, for a ``with`` block."""
        with self.acquire(block) as connection:
            yield connection, connection.default_channel

    def setup(self) -> None:
        """Make the connections that are wanted at once."""
        super().setup()


class ChannelPool(Resource):
    """A pool of channels of one connection.

    Arguments:
        connection: the connection.
        limit: see :class:`Resource`.
    """

    LimitExceeded = exceptions.ChannelLimitExceeded

    def __init__(self, connection: Connection, limit: int | None = None, **kwargs: Any) -> None:
        self.connection = connection
        super().__init__(limit, **kwargs)

    def new(self) -> Any:
        """Open a channel."""
        return self.connection.channel()

    def prepare(self, channel: Any) -> Any:
        """One that was closed while it was idle is replaced."""
        return self.new() if is_lost(channel) else channel

    def close_resource(self, resource: Any) -> None:
        """Close the channel."""
        self.connection.maybe_close_channel(resource)

    def setup(self) -> None:
        """Open the channels that are wanted at once."""
        super().setup()
