"""PGMQ transport: ``pgmq://user:password@host:5432/database``."""

from __future__ import annotations

from typing import Any

from kombu.transport import virtual
from kombu.transport.clients import load_client
from kombu.transport.options import shown_by
from kombu.transport.virtual.drivers import DriverChannel
from kombu.transport.virtual.store import Store
from kombu.transport.virtual.topology import Topology
from kombu.utils.url import maybe_sanitize_url

psycopg = load_client("psycopg", "pgmq", "pgmq")

from kombu.transport.pgmq.database import PgmqDatabase
from kombu.transport.pgmq.errors import ERRORS
from kombu.transport.pgmq.options import PgmqOptions
from kombu.transport.pgmq.store import PgmqStore
from kombu.transport.pgmq.topology import PgmqTopology

DEFAULT_PORT = 5432


@shown_by(PgmqOptions)
class Channel(DriverChannel):
    """A channel of a broker in PGMQ's queues."""

    supports_fanout = True

    default_init_extension = True
    default_notify_throttle_interval_ms = 250
    default_poll_interval_ms = 100
    default_pool_size = 10
    default_visibility_timeout = 1800
    default_wait_time_seconds = 10


class Transport(virtual.Transport):
    """PGMQ's queues in a PostgreSQL database as a broker.

    Arguments:
        client: the :class:`kombu.Connection` that it serves.
    """

    Channel = Channel
    Options = PgmqOptions
    options: PgmqOptions
    default_port = DEFAULT_PORT
    driver_type = "pgmq"
    driver_name = "pgmq"
    features = PgmqStore.features
    errors = ERRORS

    def _parameters(self) -> dict[str, Any]:
        """Where to connect to, as libpq names it."""
        timeout = {"connect_timeout": max(int(self.client.connect_timeout or 5), 2)}
        if self.options.conn_string:
            return timeout
        parameters = {
            "host": self.client.hostname or "localhost",
            "port": self.client.port or DEFAULT_PORT,
            "dbname": str(self.client.virtual_host or "").strip("/") or "postgres",
            "user": self.client.userid,
            "password": self.client.password,
            "sslmode": "require" if self.client.ssl else None,
        }
        return {**timeout, **{key: value for key, value in parameters.items() if value}}

    def create_store(self) -> Store:
        """PGMQ's queues."""
        database = PgmqDatabase(self._parameters(), self.options)
        database.prepare()
        return PgmqStore(database)

    def create_topology(self) -> Topology:
        """Exchanges and bindings, shared with all clients of the database."""
        shared = PgmqTopology(lambda: self.connected_to(PgmqStore).database)
        return Topology(vhost=self._vhost(), shared=shared)

    def driver_version(self) -> str:
        """Version of psycopg."""
        return str(psycopg.__version__)

    @classmethod
    def as_uri(cls, uri: str, include_password: bool = False, mask: str = "**") -> str:
        """The URI for people to read."""
        return uri if include_password else maybe_sanitize_url(uri, mask=mask)
