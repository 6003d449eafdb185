"""What transports on key-value servers have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from kombu.transport import base, virtual
from kombu.transport.features import Features
from kombu.transport.http import Server, tls_context
from kombu.transport.keyvalue.errors import ERRORS
from kombu.transport.keyvalue.options import KeyValueOptions
from kombu.transport.keyvalue.port import KeyValue
from kombu.transport.keyvalue.store import KeyValueStore
from kombu.transport.keyvalue.topology import KeyValueTopology
from kombu.transport.virtual.store import Store
from kombu.transport.virtual.topology import Topology


class KeyValueTransport(virtual.Transport):
    """A key-value server as a broker; its options have ``lease`` and ``operation_timeout``.

    Arguments:
        client: the :class:`kombu.Connection` that it serves.
    """

    Options = KeyValueOptions
    features: ClassVar[Features] = KeyValueStore.features
    errors = ERRORS
    implements = base.Implements.of(features)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._reached: tuple[Server, KeyValue] | None = None
        super().__init__(*args, **kwargs)

    @property
    def settings(self) -> KeyValueOptions:
        """The options, by their type."""
        assert isinstance(self.options, KeyValueOptions)
        return self.options

    @abstractmethod
    def headers(self) -> Mapping[str, str]:
        """What is sent with each request: who we are."""

    @abstractmethod
    def open_keys(self, server: Server) -> KeyValue:
        """The server's keys, once it has answered something."""

    def _reach(self) -> tuple[Server, KeyValue]:
        if self._reached is None:
            client = self.client
            limit = self.settings.operation_timeout
            server = Server(
                client.hostname or "localhost",
                client.port or int(self.default_port or 0),
                self.headers(),
                client.connect_timeout or limit,
                limit,
                tls_context(client.ssl),
            )
            with ERRORS.mapped(f"connect to {server.host}:{server.port}"):
                self._reached = server, self.open_keys(server)
        return self._reached

    def create_store(self) -> Store:
        """Messages of the server."""
        self._reached = None
        server, keys = self._reach()
        return KeyValueStore(keys, server, self.settings.lease, self.features)

    def create_topology(self) -> Topology:
        """Exchanges and bindings, shared with all clients of the server."""
        return Topology(vhost=self._vhost(), shared=KeyValueTopology(lambda: self._reach()[1]))
