"""The Redis transports: one server, sentinels, a cluster."""

from __future__ import annotations

from typing import Any, ClassVar

import redis as redis_py
from redis.credentials import StreamingCredentialProvider

from kombu.transport import virtual
from kombu.transport.redis.broker import Broker
from kombu.transport.redis.channel import CHANNEL_OPTIONS, Channel
from kombu.transport.redis.cluster import Cluster
from kombu.transport.redis.errors import ERRORS, mapped
from kombu.transport.redis.node import Node
from kombu.transport.redis.options import RedisOptions
from kombu.transport.redis.pools import make_pool, make_sentinel_pool
from kombu.transport.redis.renewals import Renewals
from kombu.transport.redis.server import Server
from kombu.transport.redis.store import FEATURES
from kombu.transport.redis.streams import RedisStreamStore, StreamKeyspace
from kombu.transport.redis.target import further_addresses, target_of
from kombu.transport.redis.topology import Backend, RedisTopology
from kombu.transport.redis.urls import DEFAULT_PORT, database, sentinel_addresses
from kombu.transport.virtual.store import Fanout, Store
from kombu.transport.virtual.topology import Topology
from kombu.utils.scheduling import cycle_by_name


class Transport(virtual.Transport):
    """``redis://``, ``rediss://``, ``redis+socket://``, ``redis+cluster://`` and ``redis+streams://``.

    Arguments:
        client: the :class:`kombu.Connection` that it serves.
    """

    Channel: ClassVar[Any] = Channel
    Options = RedisOptions
    options: RedisOptions

    polling_interval = None
    default_port = DEFAULT_PORT
    driver_type = "redis"
    driver_name = "redis"
    errors = ERRORS
    features = FEATURES

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._broker: Broker | None = None
        self._seeds: list[tuple[str, int]] = []
        self._shared = RedisTopology(self._backend)
        super().__init__(*args, **kwargs)
        client = self.client
        overridden = {**self._channel_attributes(), **target_of(client).options}
        if overridden:
            given = {**overridden, **(getattr(client, "transport_options", None) or {})}
            self.options = type(self).Options.parse(given, self.driver_type)

    def _channel_attributes(self) -> dict[str, Any]:
        """Options that a subclass of the channel sets as attributes."""
        return {
            name: getattr(self.Channel, name)
            for name in CHANNEL_OPTIONS
            if getattr(self.Channel, name, None) != getattr(Channel, name)
        }

    def driver_version(self) -> str:
        """Version of redis-py."""
        return str(redis_py.__version__)

    # ---- connecting

    @property
    def broker(self) -> Broker:
        """The connection to the server, made when first asked for."""
        if self._broker is None:
            self._broker = self._connect()
            self._broker.store.chores.append(self._shared.maintain)
            self._broker.store.consumed = lambda: self.dispatcher.consumers.queues
        return self._broker

    def _parameters(self) -> dict[str, Any]:
        """What the channel class says (it may be overridden) about how to connect."""
        for channel in (*self._avail_channels, *self.channels):
            if hasattr(channel, "_connparams"):
                return dict(channel._connparams())
        probe = self.Channel.__new__(self.Channel)
        probe.connection = self
        return dict(probe._connparams())

    def _connect(self) -> Broker:
        parameters = self._parameters()
        if "cluster" in target_of(self.client).kinds:
            server: Server = self._cluster(parameters)
        else:
            server = Server(Node(self._make_pool(parameters)))
        number = parameters.get("db", 0)
        if "streams" in target_of(self.client).kinds:
            broker = Broker(
                server,
                self.options,
                number,
                self._fanout_compat,
                RedisStreamStore,
                StreamKeyspace,
            )
        else:
            broker = Broker(server, self.options, number, self._fanout_compat)
        provider = parameters.get("credential_provider")
        if isinstance(provider, StreamingCredentialProvider):
            Renewals.of(provider).add(broker)
        return broker

    def _cluster(self, parameters: dict[str, Any]) -> Cluster:
        if parameters.pop("db", 0):
            raise ValueError("a Redis Cluster has no database but 0")

        def make_node(address: tuple[str, int]) -> Node:
            host, port = address
            pool = make_pool({**parameters, "host": host, "port": port})
            return Node(pool)

        seeds = [
            (parameters["host"], parameters["port"]),
            *further_addresses(self.client, DEFAULT_PORT),
            *self._seeds,
        ]
        cluster = Cluster(seeds, make_node)
        # Nodes found later help to connect again when those of the URL are gone.
        self._seeds = cluster.known
        return cluster

    def _make_pool(self, parameters: dict[str, Any]) -> Any:
        return make_pool(parameters)

    @property
    def _fanout_compat(self) -> bool:
        return False

    def create_store(self) -> Store:
        """Connect, so that a server that is not there is noticed now.

        Raises:
            RecoverableConnectionError: the server can't be reached or serve now.
            ConnectionError: it refuses the credentials.
            ValueError: the URL or an option can't be used.
        """
        target = target_of(self.client)
        database(target.virtual_host)
        broker = self.broker
        with mapped(f"connect to Redis at {self._where()}"):
            broker.server.call("", "PING")
        return broker.store

    def _where(self) -> str:
        target = target_of(self.client)
        if target.hostname.startswith("socket://"):
            return "a unix socket"
        return f"{target.hostname}:{target.port or self.default_port}"

    def create_cycle(self) -> Any:
        """As option ``queue_order_strategy`` says."""
        return cycle_by_name(self.options.queue_order_strategy)()

    def create_fanout(self, store: Store) -> Fanout | None:
        """PUBLISH and PSUBSCRIBE."""
        return self.broker.fanout

    def create_topology(self) -> Topology:
        """Shared by all clients of the server."""
        return Topology(vhost=self._vhost(), shared=self._shared)

    def _backend(self) -> Backend:
        return self.broker.backend()

    def close_connection(self, connection: Any) -> None:
        try:
            super().close_connection(connection)
        finally:
            self.keeper.abandon()
            broker, self._broker = self._broker, None
            if broker is not None:
                broker.store.close()


class SentinelChannel(Channel):
    """A channel on the primary that sentinels name."""

    sentinel_fanout_compat: bool = False
    from_transport_options = (
        *CHANNEL_OPTIONS,
        "master_name",
        "min_other_sentinels",
        "sentinel_kwargs",
        "sentinel_fanout_compat",
    )


class SentinelTransport(Transport):
    """``sentinel://host:26379/DB;sentinel://host2:26379``, with option ``master_name``."""

    Channel = SentinelChannel
    default_port = 26379

    def _make_pool(self, parameters: dict[str, Any]) -> Any:
        return make_sentinel_pool(parameters, sentinel_addresses(self.client), self.options)

    @property
    def _fanout_compat(self) -> bool:
        return bool(self.options.sentinel_fanout_compat)
