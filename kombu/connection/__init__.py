"""Connections, and pools of them."""

from __future__ import annotations

from kombu.connection.client import Connection, is_connection, maybe_channel
from kombu.connection.failover import failover_strategies, roundrobin_failover
from kombu.connection.health import Health
from kombu.connection.parameters import resolve_aliases
from kombu.connection.pool import ChannelPool, ConnectionPool, PooledConnection
from kombu.utils.url import ssl_available

__all__ = (
    "BrokerConnection",
    "ChannelPool",
    "Connection",
    "ConnectionPool",
    "Health",
    "PooledConnection",
    "failover_strategies",
    "is_connection",
    "maybe_channel",
    "resolve_aliases",
    "roundrobin_failover",
    "ssl_available",
)

#: The name of long ago.
BrokerConnection = Connection

# Pickles name them by the module that has them in every version.
for _public in (Connection, PooledConnection, ConnectionPool, ChannelPool):
    _public.__module__ = __name__
