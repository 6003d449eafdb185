"""Connection pools: of one server, of what a sentinel says is the primary."""

from __future__ import annotations

from typing import Any

from redis.connection import Connection, ConnectionPool, SSLConnection
from redis.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection

from kombu.transport.redis.greeting import greeting_bounded
from kombu.transport.redis.options import RedisOptions


class SentinelManagedSSLConnection(SentinelManagedConnection, SSLConnection):
    """A TLS connection to the server that the sentinels name."""


def make_pool(parameters: dict[str, Any]) -> ConnectionPool:
    """A pool of connections to one server.

    Arguments:
        parameters: as :func:`~kombu.transport.redis.urls.connection_parameters` returns them.
    """
    arguments = dict(parameters)
    connection_class = greeting_bounded(arguments.pop("connection_class", Connection))
    return ConnectionPool(connection_class=connection_class, **arguments)


def make_sentinel_pool(
    parameters: dict[str, Any], addresses: list[tuple[str, int]], options: RedisOptions
) -> ConnectionPool:
    """A pool of connections to the primary that the sentinels at ``addresses`` name.

    Raises:
        ValueError: the option ``master_name`` is missing.
    """
    if not options.master_name:
        raise ValueError("transport option 'master_name' is needed with sentinel:// URLs")
    arguments = dict(parameters)
    secure = issubclass(arguments.pop("connection_class", Connection), SSLConnection)
    for name in ("host", "port"):
        arguments.pop(name, None)
    toward_sentinels = {
        "socket_timeout": arguments["socket_timeout"],
        "socket_connect_timeout": arguments["socket_connect_timeout"],
        "socket_keepalive": True,
        **(options.sentinel_kwargs or {}),
    }
    # redis-py has no types for these two.
    make_sentinel: Any = Sentinel
    make_pool_of: Any = SentinelConnectionPool
    sentinel = make_sentinel(
        addresses,
        min_other_sentinels=options.min_other_sentinels,
        sentinel_kwargs=toward_sentinels,
    )
    pool: ConnectionPool = make_pool_of(
        options.master_name,
        sentinel,
        connection_class=SentinelManagedSSLConnection if secure else SentinelManagedConnection,
        **arguments,
    )
    return pool
