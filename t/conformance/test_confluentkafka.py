"""The conformance suite on Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar
from uuid import uuid4

import pytest

from kombu.testing.conformance import Harness, TransportConformance
from kombu.transport.confluentkafka import Transport
from t.integration.kafka.settings import TANSU
from t.services.pool import Servers

WITHOUT_METADATA = "Tansu drops the metadata of commits"
ONE_AT_A_TIME = "a topic of one partition has one consumer at a time"


@pytest.mark.server("kafka")
class TestKafka(TransportConformance):
    features = Transport.features
    many = 60
    deviations: ClassVar = {
        "test_what_was_delivered_does_not_expire": "joining takes longer than it lives",
        "test_connection_close_gives_back": WITHOUT_METADATA,
        "test_waiting_consumer_receives_what_the_killed_one_held": WITHOUT_METADATA,
        "test_on_two_connections": ONE_AT_A_TIME,
        "test_in_two_processes": ONE_AT_A_TIME,
    }

    @pytest.fixture
    def harness(self, servers: Servers) -> Iterator[Harness]:
        url = servers.env("kafka")["KAFKA_URL"]
        options = {**TANSU, "topology_topic": f"kombu.topology-{uuid4().hex[:8]}"}
        with Harness(url, transport_options=options) as harness:
            yield harness
