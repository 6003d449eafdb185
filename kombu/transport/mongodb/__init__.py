"""MongoDB transport: ``mongodb://host:port/database``, ``mongodb+srv://host/database``."""

from __future__ import annotations

from typing import Any, ClassVar

from kombu.transport import base, virtual
from kombu.transport.clients import load_client
from kombu.transport.features import Features
from kombu.transport.options import shown_by
from kombu.transport.virtual.store import Fanout, Store, TopologyStore
from kombu.transport.virtual.topology import Topology

pymongo = load_client("pymongo", "mongodb", "mongodb")

from kombu.transport.mongodb.database import BrokerDatabase
from kombu.transport.mongodb.errors import ERRORS
from kombu.transport.mongodb.fanout import MongoFanout
from kombu.transport.mongodb.options import MongoOptions
from kombu.transport.mongodb.store import MongoStore
from kombu.transport.mongodb.topology import MongoTopology
from kombu.transport.mongodb.urls import client_settings, masked


@shown_by(MongoOptions, "body_encoding", "deadletter_queue")
class Channel(virtual.Channel):
    """A channel of a broker in a MongoDB database."""

    supports_fanout = True
    calc_queue_size: bool = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def _size(self, queue: str) -> int:
        return super()._size(queue) if self.calc_queue_size else 0


class Transport(virtual.Transport):
    """A MongoDB database as a broker.

    Arguments:
        client: the :class:`kombu.Connection` that it serves.
    """

    Channel = Channel
    Options = MongoOptions
    can_parse_url = True
    polling_interval = 1
    default_port = 27017
    driver_type = "mongodb"
    driver_name = "pymongo"
    features: ClassVar[Features] = MongoStore.features
    errors = ERRORS
    implements = base.Implements.of(features)

    def __init__(self, client: Any, **kwargs: Any) -> None:
        self._database: BrokerDatabase | None = None
        super().__init__(client, **kwargs)

    @property
    def database(self) -> BrokerDatabase:
        """The database, connected to when first asked for."""
        if self._database is None:
            assert isinstance(self.options, MongoOptions)
            uri, name, settings = client_settings(self.client, self.options)
            with ERRORS.mapped("connect to MongoDB"):
                self._database = BrokerDatabase(
                    pymongo.MongoClient(uri, **settings), name, self.options
                )
                self._database.prepare()
        return self._database

    def create_store(self) -> Store:
        """Messages of the database."""
        self._database = None
        return MongoStore(self.database, lambda: self.polling_interval or 1.0)

    def create_topology(self) -> Topology:
        """Exchanges and bindings, shared with all clients of the database."""
        shared: TopologyStore = MongoTopology(lambda: self.database)
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
