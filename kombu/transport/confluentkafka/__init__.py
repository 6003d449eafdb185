"""Kafka transport: ``confluentkafka://host:9092`` or ``kafka://host:9092``."""

from __future__ import annotations

from typing import Any

from kombu.transport import virtual
from kombu.transport.clients import load_client
from kombu.transport.options import shown_by
from kombu.transport.virtual.drivers import DriverChannel
from kombu.transport.virtual.store import Store
from kombu.transport.virtual.topology import Topology
from kombu.utils.url import maybe_sanitize_url

confluent_kafka = load_client("confluent_kafka", "confluentkafka", "confluentkafka")

from kombu.transport.confluentkafka.clients import Clients, Target
from kombu.transport.confluentkafka.errors import ERRORS
from kombu.transport.confluentkafka.options import KafkaOptions
from kombu.transport.confluentkafka.store import KafkaStore
from kombu.transport.confluentkafka.topology import KafkaTopology, TopologyLog

DEFAULT_PORT = 9092


class QoS(virtual.QoS):
    """Deliveries of a Kafka channel."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


@shown_by(KafkaOptions)
class Channel(DriverChannel):
    """A channel of queues in Kafka topics."""

    QoS = QoS
    default_wait_time_seconds = 5
    default_connection_wait_time_seconds = 5


class Transport(virtual.Transport):
    """A Kafka cluster as a broker.

    Arguments:
        client: the :class:`kombu.Connection` that it serves.
    """

    Channel = Channel
    Options = KafkaOptions
    options: KafkaOptions
    default_port = DEFAULT_PORT
    driver_type = "kafka"
    driver_name = "confluentkafka"
    features = KafkaStore.features
    errors = ERRORS

    def create_topology(self) -> Topology:
        """Exchanges and bindings, shared with all clients of the cluster unless told not to."""
        shared = KafkaTopology(self._topology_log) if self.options.topology_topic else None
        return Topology(vhost=self._vhost(), shared=shared)

    def _topology_log(self) -> TopologyLog:
        topology = self.connected_to(KafkaStore).topology
        assert topology is not None
        return topology

    def create_store(self) -> Store:
        """Topics of one cluster."""
        client = self.client
        host = client.hostname or "localhost"
        target = Target(
            f"{host}:{client.port or self.default_port}",
            client.userid or None,
            client.password or None,
        )
        clients = Clients(target, self.options)
        clients.check()
        return KafkaStore(clients, lambda queue: queue in self.dispatcher.consumers)

    def driver_version(self) -> str:
        """Version of confluent-kafka."""
        return str(confluent_kafka.__version__)

    def as_uri(self, uri: str, include_password: bool = False, mask: str = "**") -> str:
        """The URI for people to read."""
        return uri if include_password else maybe_sanitize_url(uri, mask)


__all__ = ("DEFAULT_PORT", "Channel", "QoS", "Transport")
