"""What transports on key-value servers have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from kombu.transport import virtual
from kombu.transport.http import Server
from kombu.transport.keyvalue.errors import ERRORS
from kombu.transport.keyvalue.options import KeyValueOptions
from kombu.transport.keyvalue.port import KeyValue
from kombu.transport.keyvalue.store import KeyValueStore
from kombu.transport.keyvalue.topology import KeyValueTopology
from kombu.transport.tls import tls_context
from kombu.transport.virtual.store import Store
from kombu.transport.virtual.topology import Topology


class KeyValueTransport(virtual.Transport):
    """A key-value server as a broker; its options have ``lease`` and ``operation_timeout``.

    Arguments:
        client: the :class:`kombu.Connection` that it serves.
    """

    Options = KeyValueOptions
    options: KeyValueOptions
    features = KeyValueStore.features
    errors = ERRORS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    @abstractmethod
    def headers(self) -> Mapping[str, str]:
        """What is sent with each request: who we are."""

    @abstractmethod
    def open_keys(self, server: Server) -> KeyValue:
        """The server's keys, once it has answered something."""

    def create_store(self) -> Store:
        """Messages of the server."""
        client = self.client
        limit = self.options.operation_timeout
        server = Server(
            client.hostname or "localhost",
            client.port or int(self.default_port or 0),
            self.headers(),
            client.connect_timeout or limit,
            limit,
            tls_context(client.ssl),
        )
        with ERRORS.mapped(f"connect to {server.host}:{server.port}"):
            keys = self.open_keys(server)
        return KeyValueStore(keys, server, self.options.lease, self.features)

    def create_topology(self) -> Topology:
        """Exchanges and bindings, shared with all clients of the server."""
        shared = KeyValueTopology(lambda: self.connected_to(KeyValueStore).keys)
        return Topology(vhost=self._vhost(), shared=shared)
