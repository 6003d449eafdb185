"""SQL transport: ``sqla+<database URL>``, ``sqlalchemy+<database URL>``, ``postgresql://``."""

from __future__ import annotations

from typing import ClassVar

from kombu.transport import virtual
from kombu.transport.clients import load_client
from kombu.transport.options import shown_by
from kombu.transport.virtual.drivers import DriverChannel
from kombu.transport.virtual.store import Store
from kombu.transport.virtual.topology import Topology

sqlalchemy = load_client("sqlalchemy", "sqlalchemy", "sqlalchemy")

from kombu.transport.sqlalchemy.database import Database
from kombu.transport.sqlalchemy.errors import ERRORS
from kombu.transport.sqlalchemy.options import SqlOptions
from kombu.transport.sqlalchemy.store import SqlStore
from kombu.transport.sqlalchemy.topology import SqlTopology
from kombu.transport.sqlalchemy.urls import database_url, masked


@shown_by(SqlOptions)
class Channel(DriverChannel):
    """A channel of a broker in an SQL database."""


class Transport(virtual.Transport):
    """An SQL database as a broker.

    Arguments:
        client: the :class:`kombu.Connection` that it serves.
    """

    Channel = Channel
    Options = SqlOptions
    options: SqlOptions
    can_parse_url = True
    default_port = 0
    driver_type = "sql"
    driver_name = "sqlalchemy"
    features = SqlStore.features
    errors = ERRORS

    #: What the database's URL starts with, where the transport's own name is part of it.
    scheme: ClassVar[str | None] = None

    def create_store(self) -> Store:
        """Messages of the database."""
        url = database_url(self.client, self.scheme)
        database = Database(url, self.options, self.client.connect_timeout)
        database.prepare()
        return SqlStore(database, self.longest_pause)

    def create_topology(self) -> Topology:
        """Exchanges and bindings, shared with all clients of the database."""
        shared = SqlTopology(lambda: self.connected_to(SqlStore).database)
        return Topology(vhost=self._vhost(), shared=shared)

    def driver_version(self) -> str:
        """Version of SQLAlchemy."""
        return str(sqlalchemy.__version__)

    def as_uri(self, uri: str, include_password: bool = False, mask: str = "**") -> str:
        """The URI for people to read."""
        shown = uri if include_password else masked(uri, mask)
        prefix = self.client.uri_prefix
        return f"{prefix}+{shown}" if prefix else shown


class PostgresTransport(Transport):
    """A PostgreSQL database as a broker, by its own URL.

    Arguments:
        client: the :class:`kombu.Connection` that it serves.
    """

    scheme = "postgresql"
