"""NATS transport: ``nats://user:password@host:4222/vhost``, on JetStream."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, ClassVar

from kombu.transport import base, virtual
from kombu.transport.clients import load_client
from kombu.transport.features import Features
from kombu.transport.options import shown_by
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


@shown_by(NatsOptions, "body_encoding", "deadletter_queue")
class Channel(virtual.Channel):
    """A channel of a broker in JetStream."""


class Transport(virtual.Transport):
    """Streams of a NATS server as queues.

    Arguments:
        client: the :class:`kombu.Connection` that it serves.
    """

    Channel = Channel
    Options = NatsOptions
    default_port = DEFAULT_PORT
    driver_type = "nats"
    driver_name = "nats-py"
    features: ClassVar[Features] = NatsStore.features
    errors = ERRORS
    implements = base.Implements.of(features)

    def __init__(self, client: Any, **kwargs: Any) -> None:
        self._connected: tuple[Link, Any] | None = None
        self.names = Names(str(getattr(client, "virtual_host", None) or ""))
        super().__init__(client, **kwargs)

    @property
    def settings(self) -> NatsOptions:
        """What the user asked for."""
        assert isinstance(self.options, NatsOptions)
        return self.options

    def _connect(self) -> tuple[Link, Any]:
        """The link and the bucket of the topology, made when first asked for."""
        if self._connected is None:
            with ERRORS.mapped("connect to NATS"):
                link = Link(self._address(), self.settings.socket_timeout)
                try:
                    self._connected = link, link.run(self._bucket(link))
                except BaseException:
                    link.close()
                    raise
        return self._connected

    def _address(self) -> Mapping[str, Any]:
        client, options = self.client, self.settings
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
                    storage=StorageType(self.settings.storage),
                    replicas=self.settings.replicas,
                )
            )

    def create_store(self) -> Store:
        """Queues of the virtual host."""
        self._connected = None
        link, bucket = self._connect()
        options = self.settings
        streams = Streams(link, self.names, options.storage, options.replicas, options.lease)
        try:
            return NatsStore(streams, bucket, options.deduplicate)
        except BaseException:
            link.close()
            raise

    def create_topology(self) -> Topology:
        """Exchanges and bindings, shared with all clients of the virtual host."""
        return Topology(vhost=self._vhost(), shared=NatsTopology(self._connect, self.names))

    def driver_version(self) -> str:
        """Version of nats-py."""
        return str(client_version)


def tls_context(given: Any) -> ssl.SSLContext | None:
    """What ``Connection(ssl=...)`` comes to: ``True``, a context, or a mapping.

    Arguments:
        given: the mapping's keys are ``ca_certs``, ``certfile`` and ``keyfile``, paths all, and
            ``cert_reqs``: ``ssl.CERT_NONE`` takes any certificate.

    Raises:
        ValueError: it has other keys.
    """
    if not given:
        return None
    if isinstance(given, ssl.SSLContext):
        return given
    paths = {} if given is True else dict(given)
    context = ssl.create_default_context(cafile=paths.pop("ca_certs", None))
    certificate, key = paths.pop("certfile", None), paths.pop("keyfile", None)
    if certificate:
        context.load_cert_chain(certificate, key)
    if paths.pop("cert_reqs", ssl.CERT_REQUIRED) == ssl.CERT_NONE:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if paths:
        known = "ca_certs, certfile, keyfile and cert_reqs"
        raise ValueError(f"ssl takes {known}, not {', '.join(paths)}")
    return context
