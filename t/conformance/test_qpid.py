"""The conformance suite by AMQP 1.0, on RabbitMQ's plugin."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kombu.testing.conformance import Harness, TransportConformance
from kombu.transport.qpid import Transport
from t.services.pool import Servers


@pytest.mark.server("rabbitmq")
class TestQpid(TransportConformance):
    features = Transport.features

    @pytest.fixture
    def harness(self, servers: Servers) -> Iterator[Harness]:
        url = servers.env("rabbitmq")["RABBITMQ_AMQP10_URL"].replace("amqp://", "qpid://")
        with Harness(url) as harness:
            yield harness
