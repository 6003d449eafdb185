"""Pyro transport: ``pyro://host:9090/kombu.broker``, a broker process found by a name server."""

from __future__ import annotations

from kombu.transport import virtual
from kombu.transport.options import shown_by
from kombu.transport.pyro.errors import ERRORS
from kombu.transport.pyro.library import LIBRARY
from kombu.transport.pyro.link import Link
from kombu.transport.pyro.options import PyroOptions
from kombu.transport.pyro.store import PyroStore
from kombu.transport.pyro.topology import PyroTopology
from kombu.transport.virtual.drivers import DriverChannel
from kombu.transport.virtual.store import Store
from kombu.transport.virtual.topology import Topology

DEFAULT_PORT = 9090
DEFAULT_NAME = "kombu.broker"


@shown_by(PyroOptions)
class Channel(DriverChannel):
    """A channel of a broker process."""


class Transport(virtual.Transport):
    """A broker process (``python -m kombu.transport.pyro``) and its queues in memory.

    Arguments:
        client: the :class:`kombu.Connection` that it serves.
    """

    Channel = Channel
    Options = PyroOptions
    options: PyroOptions
    default_port = DEFAULT_PORT
    driver_type = "pyro"
    driver_name = "pyro"
    features = PyroStore.features
    errors = ERRORS

    def create_store(self) -> Store:
        """Queues of the broker process."""
        client, options = self.client, self.options
        name = self._vhost().strip("/") or DEFAULT_NAME
        with ERRORS.mapped(f"find broker {name!r} by its name server"):
            link = Link(
                LIBRARY,
                (client.hostname or "localhost", client.port or DEFAULT_PORT),
                name,
                options.socket_timeout,
                options.lease,
            )
        return PyroStore(link, options.lease)

    def create_topology(self) -> Topology:
        """Exchanges and bindings, shared with all clients of the broker process."""
        shared = PyroTopology(lambda: self.connected_to(PyroStore).link)
        return Topology(vhost=self._vhost(), shared=shared)

    def driver_version(self) -> str:
        """Version of Pyro."""
        return LIBRARY.version
