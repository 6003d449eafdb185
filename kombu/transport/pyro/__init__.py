"""Pyro transport: ``pyro://host:9090/kombu.broker``, a broker process found by a name server."""

from __future__ import annotations

from typing import Any, ClassVar

from kombu.transport import base, virtual
from kombu.transport.features import Features
from kombu.transport.options import shown_by
from kombu.transport.pyro.errors import ERRORS
from kombu.transport.pyro.library import LIBRARY
from kombu.transport.pyro.link import Link
from kombu.transport.pyro.options import PyroOptions
from kombu.transport.pyro.store import PyroStore
from kombu.transport.pyro.topology import PyroTopology
from kombu.transport.virtual.store import Store
from kombu.transport.virtual.topology import Topology

DEFAULT_PORT = 9090
DEFAULT_NAME = "kombu.broker"


@shown_by(PyroOptions, "body_encoding", "deadletter_queue")
class Channel(virtual.Channel):
    """A channel of a broker process."""


class Transport(virtual.Transport):
    """A broker process (``python -m kombu.transport.pyro``) and its queues in memory.

    Arguments:
        client: the :class:`kombu.Connection` that it serves.
    """

    Channel = Channel
    Options = PyroOptions
    default_port = DEFAULT_PORT
    driver_type = "pyro"
    driver_name = "pyro"
    features: ClassVar[Features] = PyroStore.features
    errors = ERRORS
    implements = base.Implements.of(features)

    def __init__(self, client: Any, **kwargs: Any) -> None:
        self._link: Link | None = None
        super().__init__(client, **kwargs)

    @property
    def link(self) -> Link:
        """The session with the broker, begun when first asked for."""
        if self._link is None:
            assert isinstance(self.options, PyroOptions)
            client = self.client
            path = str(client.virtual_host or "").strip("/")
            with ERRORS.mapped(f"find broker {path or DEFAULT_NAME!r} by its name server"):
                self._link = Link(
                    LIBRARY,
                    (client.hostname or "localhost", client.port or DEFAULT_PORT),
                    path or DEFAULT_NAME,
                    self.options.socket_timeout,
                    self.options.lease,
                )
        return self._link

    def create_store(self) -> Store:
        """Queues of the broker process."""
        assert isinstance(self.options, PyroOptions)
        self._link = None
        return PyroStore(self.link, self.options.lease)

    def create_topology(self) -> Topology:
        """Exchanges and bindings, shared with all clients of the broker process."""
        return Topology(vhost=self._vhost(), shared=PyroTopology(lambda: self.link))

    def driver_version(self) -> str:
        """Version of Pyro."""
        return LIBRARY.version
