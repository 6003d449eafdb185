"""What ``transport_options`` a Kafka connection takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kombu.transport.options import option, seconds
from kombu.transport.virtual.settings import VirtualOptions

Config = Mapping[str, Any]


@dataclass(frozen=True)
class KafkaOptions(VirtualOptions):
    """Names and defaults as published, and below them those that are ours."""

    wait_time_seconds: float = option(
        5, "seconds basic_get waits for its share of the partitions at most", parse=seconds
    )
    connection_wait_time_seconds: float = option(
        5, "seconds any one question to the brokers may take", parse=seconds
    )
    security_protocol: str = option("plaintext", "plaintext, ssl, sasl_plaintext or sasl_ssl")
    sasl_mechanism: str | None = option(
        None, "how to log in with the URL's user and password, e.g. SCRAM-SHA-512"
    )
    num_partitions: int = option(1, "partitions of a new topic", parse=int)
    replication_factor: int = option(1, "replicas of a new topic", parse=int)
    topic_config: Config = option(doc="configuration of new topics", factory=dict)
    kafka_common_config: Config = option(doc="librdkafka settings of every client", factory=dict)
    kafka_producer_config: Config = option(doc="librdkafka settings of the producer", factory=dict)
    kafka_consumer_config: Config = option(doc="librdkafka settings of consumers", factory=dict)
    kafka_admin_config: Config = option(
        doc="librdkafka settings of the administration client", factory=dict
    )

    delivery_timeout: float = option(
        30.0, "seconds within which a published message is stored or an error", parse=seconds
    )
    linger: float = option(
        10.0, "seconds a membership lasts that basic_get alone asked for", parse=seconds
    )
    topology_topic: str = option(
        "kombu.topology", "compacted topic of exchanges and bindings; empty: not shared"
    )
