"""AMQP 1.0 transport: ``qpid://user:password@host:5672/vhost``, on RabbitMQ's AMQP 1.0 plugin."""

from __future__ import annotations

from typing import Any

from kombu.transport import virtual
from kombu.transport.clients import load_client
from kombu.transport.options import shown_by
from kombu.transport.virtual.store import Fanout, Store

proton = load_client("proton", "qpid", "qpid")

from kombu.transport.qpid.control import Control
from kombu.transport.qpid.errors import ERRORS
from kombu.transport.qpid.fanout import ExchangeFanout
from kombu.transport.qpid.options import QpidOptions
from kombu.transport.qpid.store import AMQP10Store
from kombu.transport.qpid.wire import Address, Wire

DEFAULT_PORT = 5672


def dependency_is_none(dependency: Any) -> bool:
    """Whether an optional dependency is absent."""
    return dependency is None


class QoS(virtual.QoS):
    """Deliveries of a channel.

    Arguments:
        session: the channel.
        prefetch_count: how many unacknowledged messages it may hold; 0 is no limit.
    """

    def __init__(self, session: Any, prefetch_count: int = 1) -> None:
        super().__init__(session, prefetch_count)


@shown_by(QpidOptions)
class Channel(virtual.Channel):
    """A channel of queues in a broker.

    Arguments:
        connection: what the transport's ``establish_connection`` gave.
        transport: the transport.
    """

    QoS = QoS
    Message = virtual.Message
    supports_fanout = True

    def __init__(self, connection: Any, transport: Any) -> None:
        super().__init__(connection)
        self.qos.prefetch_count = 0  # AMQP's own default, as with every other transport


class Connection:
    """How 5.7 calls a connection; ours is the transport itself.

    Arguments:
        connection_options: what it was made with.
    """

    Channel = Channel

    def __init__(self, **connection_options: Any) -> None:
        self.connection_options = connection_options


class Transport(virtual.Transport):
    """A broker spoken to by AMQP 1.0.

    Arguments:
        client: the :class:`kombu.Connection` that it serves.
    """

    Channel = Channel
    Connection = Connection
    Options = QpidOptions
    options: QpidOptions
    polling_interval = None
    driver_type = "qpid"
    driver_name = "qpid"
    features = AMQP10Store.features
    errors = ERRORS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    @property
    def default_connection_params(self) -> dict[str, Any]:
        """A server on this host, as its guest."""
        return {
            "userid": "guest",
            "password": "guest",
            "port": DEFAULT_PORT,
            "virtual_host": "/",
            "hostname": "localhost",
        }

    def create_channel(self, connection: Any) -> Any:
        """A channel: the one made while connecting, then new ones."""
        if self._avail_channels:
            return self._avail_channels.pop()
        self._open_store()
        channel = self.Channel(connection, self)
        self.channels.append(channel)
        return channel

    def create_store(self) -> Store:
        """Queues of the server that the URL names."""
        client, options, defaults = self.client, self.options, self.default_connection_params
        virtual_host = client.virtual_host or "/"
        address = Address(
            client.hostname or defaults["hostname"],
            client.port or DEFAULT_PORT,
            client.userid or defaults["userid"],
            client.password or defaults["password"],
            None if virtual_host == "/" else virtual_host,
            options.sasl_mechanisms,
            bool(client.ssl),
            options.ca_certs,
            client.heartbeat or None,
            client.connect_timeout or 5,
        )
        wire = Wire(address, options.operation_timeout)
        with ERRORS.mapped("connect by AMQP 1.0"):
            wire.open()
        return AMQP10Store(wire, Control(address, options.operation_timeout))

    def create_fanout(self, store: Store) -> Fanout:
        """Fanout exchanges of the broker."""
        assert isinstance(store, AMQP10Store)
        return ExchangeFanout(store)

    def driver_version(self) -> str:
        """Version of python-qpid-proton."""
        return ".".join(map(str, (proton.VERSION_MAJOR, proton.VERSION_MINOR)))
