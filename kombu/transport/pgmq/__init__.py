"""PGMQ transport: ``pgmq://user:password@host:5432/database``."""

from __future__ import annotations

from typing import Any, ClassVar

from kombu.transport import base, virtual
from kombu.transport.clients import load_client
from kombu.transport.features import Features
from kombu.transport.options import shown_by
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


@shown_by(PgmqOptions, "body_encoding", "deadletter_queue")
class Channel(virtual.Channel):
    """A channel of a broker in PGMQ's queues.

    Arguments:
        args: the transport.
    """

    supports_fanout = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

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
    polling_interval = 1.0
    default_port = DEFAULT_PORT
    can_parse_url = False
    driver_type = "pgmq"
    driver_name = "pgmq"
    features: ClassVar[Features] = PgmqStore.features
    errors = ERRORS
    implements = base.Implements.of(features)

    def __init__(self, client: Any, **kwargs: Any) -> None:
        self._database: PgmqDatabase | None = None
        super().__init__(client, **kwargs)

    def _parameters(self) -> dict[str, Any]:
        """Where to connect to, as libpq names it."""
        assert isinstance(self.options, PgmqOptions)
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

    @property
    def database(self) -> PgmqDatabase:
        """The database, connected to when first asked for."""
        if self._database is None:
            assert isinstance(self.options, PgmqOptions)
            database = PgmqDatabase(self._parameters(), self.options)
            database.prepare()
            self._database = database
        return self._database

    def create_store(self) -> Store:
        """PGMQ's queues."""
        self._database = None
        return PgmqStore(self.database)

    def create_topology(self) -> Topology:
        """Exchanges and bindings, shared with all clients of the database."""
        return Topology(vhost=self._vhost(), shared=PgmqTopology(lambda: self.database))

    def driver_version(self) -> str:
        """Version of psycopg."""
        return str(psycopg.__version__)

    @classmethod
    def as_uri(cls, uri: str, include_password: bool = False, mask: str = "**") -> str:
        """The URI for people to read."""
        return uri if include_password else maybe_sanitize_url(uri, mask=mask)
