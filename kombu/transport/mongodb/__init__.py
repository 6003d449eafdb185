"""MongoDB transport: ``mongodb://host:port/database``, ``mongodb+srv://host/database``."""

from __future__ import annotations

from kombu.transport import virtual
from kombu.transport.clients import load_client
from kombu.transport.options import shown_by
from kombu.transport.virtual.drivers import DriverChannel
from kombu.transport.virtual.store import Fanout, Store
from kombu.transport.virtual.topology import Topology

pymongo = load_client("pymongo", "mongodb", "mongodb")

from kombu.transport.mongodb.database import BrokerDatabase
from kombu.transport.mongodb.errors import ERRORS
from kombu.transport.mongodb.fanout import MongoFanout
from kombu.transport.mongodb.options import MongoOptions
from kombu.transport.mongodb.store import MongoStore
from kombu.transport.mongodb.topology import MongoTopology
from kombu.transport.mongodb.urls import client_settings, masked


@shown_by(MongoOptions)
class Channel(DriverChannel):
    """A channel of a broker in a MongoDB database."""

    supports_fanout = True
    calc_queue_size: bool = True

    def _size(self, queue: str) -> int:
        return super()._size(queue) if self.calc_queue_size else 0


class Transport(virtual.Transport):
    """A MongoDB database as a broker.

    Arguments:
        client: the :class:`kombu.Connection` that it serves.
    """

    Channel = Channel
    Options = MongoOptions
    options: MongoOptions
    can_parse_url = True
    default_port = 27017
    driver_type = "mongodb"
    driver_name = "pymongo"
    features = MongoStore.features
    errors = ERRORS

    def create_store(self) -> Store:
        """Messages of the database."""
        uri, name, settings = client_settings(self.client, self.options)
        with ERRORS.mapped("connect to MongoDB"):
            database = BrokerDatabase(pymongo.MongoClient(uri, **settings), name, self.options)
            database.prepare()
        return MongoStore(database, self.longest_pause)

    def create_topology(self) -> Topology:
        """Exchanges and bindings, shared with all clients of the database."""
        shared = MongoTopology(lambda: self.connected_to(MongoStore).broker)
        return Topology(vhost=self._vhost(), shared=shared)

    def create_fanout(self, store: Store) -> Fanout:
        """The capped broadcast collection."""
        assert isinstance(store, MongoStore)
        store.fanout = MongoFanout(store.broker, store.waker)
        return store.fanout

    def driver_version(self) -> str:
        """Version of pymongo."""
        return str(pymongo.version)

    def as_uri(self, uri: str, include_password: bool = False, mask: str = "**") -> str:
        """The URI for people to read."""
        return uri if include_password else masked(uri, mask)
