"""ZooKeeper transport: ``zookeeper://host:2181/path``, several servers separated by ``;``."""

from __future__ import annotations

from typing import Any

from kombu.transport import virtual
from kombu.transport.clients import load_client
from kombu.transport.options import shown_by
from kombu.transport.virtual.drivers import DriverChannel
from kombu.transport.virtual.store import Store
from kombu.transport.virtual.topology import Topology

kazoo = load_client("kazoo", "zookeeper", "zookeeper")

from kazoo.client import KazooClient
from kazoo.security import make_digest_acl

from kombu.transport.zookeeper.errors import ERRORS
from kombu.transport.zookeeper.options import ZookeeperOptions
from kombu.transport.zookeeper.paths import Paths
from kombu.transport.zookeeper.session import Session
from kombu.transport.zookeeper.store import ZookeeperStore
from kombu.transport.zookeeper.topology import ZookeeperTopology
from kombu.transport.zookeeper.watching import PromptHandler

DEFAULT_PORT = 2181


@shown_by(ZookeeperOptions)
class Channel(DriverChannel):
    """A channel of a broker in a ZooKeeper tree."""


class Transport(virtual.Transport):
    """A ZooKeeper tree as a broker.

    Arguments:
        client: the :class:`kombu.Connection` that it serves.
    """

    Channel = Channel
    Options = ZookeeperOptions
    options: ZookeeperOptions
    default_port = DEFAULT_PORT
    driver_type = "zookeeper"
    driver_name = "kazoo"
    features = ZookeeperStore.features
    errors = ERRORS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def _hosts(self) -> str:
        """All servers of an ensemble: alternates are given as further URLs."""
        first = f"{self.client.hostname or 'localhost'}:{self.client.port or DEFAULT_PORT}"
        others = []
        for url in self.client.alt or ():
            host = url.partition("://")[2].rpartition("@")[2].split("/")[0]
            others.append(host if ":" in host else f"{host}:{DEFAULT_PORT}")
        return ",".join(dict.fromkeys([first, *filter(None, others)]))

    def _login(self) -> dict[str, Any]:
        user, password = self.client.userid, self.client.password
        if not user:
            return {}
        return {
            "auth_data": [("digest", f"{user}:{password}")],
            "default_acl": [make_digest_acl(user, password, all=True)],
        }

    def create_store(self) -> Store:
        """Messages of the tree."""
        session = Session(
            KazooClient(
                self._hosts(),
                timeout=self.options.session_timeout,
                handler=PromptHandler(),
                **self._login(),
            ),
            Paths(self._vhost()),
            self.options.operation_timeout,
        )
        session.start(self.client.connect_timeout or self.options.operation_timeout)
        return ZookeeperStore(session)

    def create_topology(self) -> Topology:
        """Exchanges and bindings, shared with all clients of the tree."""
        shared = ZookeeperTopology(lambda: self.connected_to(ZookeeperStore).session)
        return Topology(vhost=self._vhost(), shared=shared)

    def driver_version(self) -> str:
        """Version of kazoo."""
        return str(kazoo.__version__)
