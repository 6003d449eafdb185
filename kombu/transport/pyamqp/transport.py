"""The AMQP 0-9-1 transport."""

from __future__ import annotations

import re
from typing import Any

import amqp

from ...utils.amq_manager import get_manager
from ..base import Transport as BaseTransport
from ..errors import ErrorRow, ErrorTable
from ..features import Features
from .connection import Connection
from .options import AMQPOptions

__all__ = ("DEFAULT_PORT", "DEFAULT_SSL_PORT", "SSLTransport", "Transport")

DEFAULT_PORT = 5672
DEFAULT_SSL_PORT = 5671

#: Events handled before other descriptors of the event loop get their turn.
EVENTS_PER_TURN = 50


class Transport(BaseTransport):
    """AMQP 0-9-1 on py-amqp.

    Arguments:
        client: the :class:`kombu.Connection`.
        default_port, default_ssl_port: ports where the URL names none.
    """

    Connection = Connection
    Options = AMQPOptions

    default_port = DEFAULT_PORT
    default_ssl_port = DEFAULT_SSL_PORT

    driver_name = "py-amqp"
    driver_type = "amqp"

    features = Features(
        priority=True,
        message_ttl=True,
        queue_expiry=True,
        max_length=True,
        dead_letter=True,
        mandatory=True,
        confirms=True,
        leases=True,
        ordered=True,
        shared=True,
        shared_topology=True,
        durable=True,
        exclusive=True,
        consumer_counts=True,
        event_loop=True,
        heartbeats=True,
        batch_publish=True,
        native=frozenset(
            {
                "priority",
                "message_ttl",
                "queue_expiry",
                "max_length",
                "dead_letter",
                "mandatory",
                "confirms",
            }
        ),
    )

    errors = ErrorTable((ErrorRow(OSError, "connection"),))

    #: A nack is answered by publishing again, as after a lost connection.
    recoverable_connection_errors = (
        amqp.RecoverableConnectionError,
        amqp.exceptions.MessageNacked,
        OSError,
    )

    def __init__(
        self,
        client: Any,
        default_port: int | None = None,
        default_ssl_port: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(client, **kwargs)
        self.default_port = default_port or self.default_port
        self.default_ssl_port = default_ssl_port or self.default_ssl_port

    # -- connections -----------------------------------------------------

    @property
    def default_connection_params(self) -> dict[str, Any]:
        """What is connected to when the URL does not say."""
        return {
            "userid": "guest",
            "password": "guest",
            "port": self.default_ssl_port if self.client.ssl else self.default_port,
            "hostname": "localhost",
            "login_method": "PLAIN",
        }

    def establish_connection(self) -> Any:
        """Connect and log in.

        Raises:
            OSError: no connection.
            AccessRefused: the broker refuses the credentials.
            NotAllowed: no such virtual host, or not for this user.
            ValueError: a transport option can't be what it is.
        """
        client = self.client
        for name, default in self.default_connection_params.items():
            if not getattr(client, name, None):
                setattr(client, name, default)
        arguments = {
            "host": self._address(client.hostname, client.port),
            "userid": client.userid,
            "password": client.password() if callable(client.password) else client.password,
            "login_method": client.login_method,
            "virtual_host": client.virtual_host,
            "insist": client.insist,
            "ssl": client.ssl,
            "connect_timeout": client.connect_timeout,
            "heartbeat": client.heartbeat or 0,
        }
        given = client.transport_options or {}
        arguments.update(self.Options.parse(given, self.driver_type).for_connection(given))
        connection = self.Connection(**arguments)
        connection.client = client
        connection.connect()
        return connection

    @staticmethod
    def _address(hostname: str, port: int) -> str:
        if hostname == "localhost":
            hostname = "127.0.0.1"
        elif ":" in hostname and not hostname.startswith("["):
            hostname = f"[{hostname}]"
        return f"{hostname}:{port}"

    def verify_connection(self, connection: Any) -> bool:
        """Whether the connection is still usable, as far as is known."""
        return connection.channels is not None and bool(connection.connected)

    def close_connection(self, connection: Any) -> None:
        """Close the connection, within its ``close_timeout`` seconds."""
        connection.client = None
        connection.close()

    def collect_connection(self, connection: Any, timeout: float | None = None) -> None:
        """Free what a lost connection holds."""
        connection.client = None
        connection.collect()

    def abandon_connection(self, connection: Any) -> None:
        """In a forked child: let go of the parent's socket."""
        connection.client = None
        connection.abandon()

    def create_channel(self, connection: Any) -> Any:
        """Open a channel."""
        return connection.channel()

    def drain_events(self, connection: Any, **kwargs: Any) -> Any:
        """Wait for one event and handle it."""
        return connection.drain_events(**kwargs)

    # -- heartbeats ------------------------------------------------------

    def get_heartbeat_interval(self, connection: Any) -> float:
        """Seconds between heartbeats as agreed with the broker; 0: none."""
        return connection.heartbeat or 0

    def heartbeat_check(self, connection: Any, rate: int = 2) -> None:
        """Send a heartbeat when one is due; raise when the broker's are missing.

        Arguments:
            rate: how often per interval this is called.
        """
        return connection.heartbeat_tick(rate=rate)  # type: ignore[no-any-return]

    # -- event loop ------------------------------------------------------

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Have the event loop handle what arrives."""
        connection.transport.raise_on_initial_eintr = True
        scheduled = False

        def read_leftover() -> None:
            nonlocal scheduled
            scheduled = False
            if connection.connected:
                self.on_readable(connection, loop)

        def on_leftover() -> None:
            nonlocal scheduled
            if not scheduled:
                scheduled = True
                loop.call_soon(read_leftover)

        connection.on_leftover = on_leftover
        loop.add_reader(connection.sock, self.on_readable, connection, loop)

    def unregister_from_event_loop(self, connection: Any, loop: Any) -> None:
        """Undo :meth:`register_with_event_loop`."""
        connection.on_leftover = None
        if connection.connected:
            loop.remove_reader(connection.sock)

    def on_readable(self, connection: Any, loop: Any) -> None:
        """Handle what has arrived.

        Raises:
            RecoverableConnectionError: the connection is lost.
        """
        if not connection.connected:
            raise amqp.RecoverableConnectionError("Socket was disconnected")
        if connection.drain_ready(EVENTS_PER_TURN) and connection.on_leftover is not None:
            connection.on_leftover()

    # -- questions -------------------------------------------------------

    def driver_version(self) -> str:
        """Version of py-amqp."""
        return str(amqp.__version__)

    def qos_semantics_matches_spec(self, connection: Any) -> bool:
        """Whether a prefetch count without ``global`` is the channel's, as the protocol has it.

        RabbitMQ counts per consumer from 3.3 on; from 4.0 on it refuses the global form for
        quorum queues, so that one must not ask for it.
        """
        properties = connection.server_properties
        if properties.get("product") != "RabbitMQ":
            return True
        numbers = re.findall(r"\d+", str(properties.get("version", "")))
        version = tuple(int(number) for number in numbers[:2])
        return version < (3, 3) or version >= (4, 0)

    def get_manager(self, *args: Any, **kwargs: Any) -> Any:
        """The management interface of RabbitMQ."""
        return get_manager(self.client, *args, **kwargs)


class SSLTransport(Transport):
    """The same under TLS (``amqps://``)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.client.ssl:
            self.client.ssl = True
