"""NATS transport: ``nats://user:password@host:4222/vhost``, on JetStream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kombu.transport import virtual
from kombu.transport.clients import load_client
from kombu.transport.options import shown_by
from kombu.transport.tls import tls_context
from kombu.transport.virtual.drivers import DriverChannel
from kombu.transport.virtual.store import Store
from kombu.transport.virtual.topology import Topology

load_client("nats.js", "nats", "nats")

from nats.aio.client import __version__ as client_version
from nats.js.api import KeyValueConfig, StorageType
from nats.js.errors import BucketNotFoundError

from kombu.transport.nats.errors import ERRORS
from kombu.transport.nats.link import Link
from kombu.transport.nats.names import Names
from kombu.transport.nats.options import NatsOptions
from kombu.transport.nats.store import NatsStore
from kombu.transport.nats.streams import Streams
from kombu.transport.nats.topology import NatsTopology

DEFAULT_PORT = 4222


@shown_by(NatsOptions)
class Channel(DriverChannel):
    """A channel of a broker in JetStream."""


class Transport(virtual.Transport):
    """Streams of a NATS server as queues.

    Arguments:
        client: the :class:`kombu.Connection` that it serves.
    """

    Channel = Channel
    Options = NatsOptions
    options: NatsOptions
    default_port = DEFAULT_PORT
    driver_type = "nats"
    driver_name = "nats-py"
    features = NatsStore.features
    errors = ERRORS

    def __init__(self, client: Any, **kwargs: Any) -> None:
        self.names = Names(str(getattr(client, "virtual_host", None) or ""))
        super().__init__(client, **kwargs)

    def _address(self) -> Mapping[str, Any]:
        client, options = self.client, self.options
        host = f"{client.hostname or 'localhost'}:{client.port or DEFAULT_PORT}"
        address: dict[str, Any] = {
            "servers": f"nats://{host}",
            "connect_timeout": client.connect_timeout or options.socket_timeout,
            "ping_interval": options.ping_interval,
            "tls": tls_context(client.ssl),
        }
        if client.password:
            address.update(user=client.userid, password=client.password)
        elif client.userid:
            address["token"] = client.userid
        if options.user_credentials:
            address["user_credentials"] = options.user_credentials
        return address

    async def _bucket(self, link: Link) -> Any:
        try:
            return await link.jetstream.key_value(self.names.bucket)
        except BucketNotFoundError:
            return await link.jetstream.create_key_value(
                KeyValueConfig(
                    bucket=self.names.bucket,
                    storage=StorageType(self.options.storage),
                    replicas=self.options.replicas,
                )
            )

    def create_store(self) -> Store:
        """Queues of the virtual host."""
        options = self.options
        with ERRORS.mapped("connect to NATS"):
            link = Link(self._address(), options.socket_timeout)
            try:
                bucket = link.run(self._bucket(link))
                streams = Streams(
                    link, self.names, options.storage, options.replicas, options.lease
                )
                return NatsStore(streams, bucket, options.deduplicate)
            except BaseException:
                link.close()
                raise

    def create_topology(self) -> Topology:
        """Exchanges and bindings, shared with all clients of the virtual host."""
        shared = NatsTopology(lambda: self.connected_to(NatsStore), self.names)
        return Topology(vhost=self._vhost(), shared=shared)

    def driver_version(self) -> str:
        """Version of nats-py."""
        return str(client_version)
