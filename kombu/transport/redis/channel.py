"""Channels of the Redis transports: the published names on top of the store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from redis import Redis

from kombu.transport import virtual
from kombu.transport.redis.urls import connection_parameters

PRIORITY_STEPS = [0, 3, 6, 9]

#: Transport options that become attributes of a channel, as published.
CHANNEL_OPTIONS: tuple[str, ...] = (
    "body_encoding",
    "deadletter_queue",
    "sep",
    "ack_emulation",
    "unacked_key",
    "unacked_index_key",
    "unacked_mutex_key",
    "unacked_mutex_expire",
    "visibility_timeout",
    "unacked_restore_limit",
    "unacked_restore_interval",
    "unacked_restore_throttle",
    "fanout_prefix",
    "fanout_patterns",
    "global_keyprefix",
    "socket_timeout",
    "socket_connect_timeout",
    "socket_keepalive",
    "socket_keepalive_options",
    "queue_order_strategy",
    "max_connections",
    "health_check_interval",
    "retry_on_timeout",
    "priority_steps",
    "client_name",
)


class QoS(virtual.QoS):
    """What a channel has given out; leases and their renewal are the store's."""

    restore_at_shutdown = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Put back what owners that are gone left behind, if it is time to look.

        The drain loop does this by itself; arguments are taken and not needed.
        """
        store = self.channel.connection.store
        if store is not None:
            store.sweep_if_due()

    @property
    def unacked_key(self) -> str:
        """Key of the held messages."""
        return str(self.channel.unacked_key)

    @property
    def unacked_index_key(self) -> str:
        """Key of the owners' last signs of life."""
        return str(self.channel.unacked_index_key)

    @property
    def visibility_timeout(self) -> Any:
        """The option of this name."""
        return self.channel.visibility_timeout


class Channel(virtual.Channel):
    """A channel on Redis.

    The attributes are the published ones; what they hold on a subclass counts like a
    transport option.
    """

    QoS: ClassVar[Any] = QoS

    supports_fanout = True
    ack_emulation: bool = True
    sep: str = "\x06\x16"
    unacked_key: str = "unacked"
    unacked_index_key: str = "unacked_index"
    unacked_mutex_key: str = "unacked_mutex"
    unacked_mutex_expire: float | None = 300
    unacked_restore_limit: int | None = None
    unacked_restore_interval: float = 10
    unacked_restore_throttle: int = 10
    visibility_timeout: float = 3600
    priority_steps: list[int] = list(PRIORITY_STEPS)
    max_connections: int = 10
    health_check_interval: float = 25
    client_name: str | None = None
    global_keyprefix: str = ""
    fanout_prefix: bool | str = True
    fanout_patterns: bool = True
    queue_order_strategy: Any = "round_robin"
    socket_timeout: float | None = None
    socket_connect_timeout: float | None = None
    socket_keepalive: bool | None = None
    socket_keepalive_options: Any = None
    retry_on_timeout: bool | None = None
    keyprefix_queue = "_kombu.binding.%s"
    from_transport_options: tuple[str, ...] = CHANNEL_OPTIONS

    _client: Redis | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        """Hook: arguments for redis-py's connection pool.

        Keys are redis-py's (``host``, ``port``, ``db``, ``username``, ``password``,
        ``socket_timeout`` ...) and ``connection_class``.
        """
        return connection_parameters(self.connection.client, self.connection.options)

    @property
    def pool(self) -> Any:
        """The redis-py connection pool that the transport's connections come from."""
        return self.connection.broker.server.any_node().pool

    @property
    def async_pool(self) -> Any:
        """As :attr:`pool`: waiting takes no pool of its own."""
        return self.pool

    @property
    def client(self) -> Any:
        """A redis-py client on the same pool, for whoever wants to look at keys."""
        if self._client is None or self._client.connection_pool is not self.pool:
            self._client = Redis(connection_pool=self.pool)
        return self._client

    @contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        """Use the client given, or :attr:`client`."""
        yield self.client if client is None else client
