"""The conformance suite on RabbitMQ, which is the suite's judge."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kombu.testing.conformance import Harness, TransportConformance
from kombu.transport.pyamqp import Transport
from t.services.pool import Servers


@pytest.mark.server("rabbitmq")
class TestRabbitMQ(TransportConformance):
    features = Transport.features
    drop_in = False

    @pytest.fixture
    def harness(self, servers: Servers) -> Iterator[Harness]:
        url = servers.env("rabbitmq")["RABBITMQ_URL"]
        with Harness(url, always_strict=True) as harness:
            yield harness


@pytest.mark.server("rabbitmq")
class TestRabbitMQConfirms(TransportConformance):
    features = Transport.features
    drop_in = False

    @pytest.fixture
    def harness(self, servers: Servers) -> Iterator[Harness]:
        url = servers.env("rabbitmq")["RABBITMQ_URL"]
        options = {"confirm_publish": True}
        with Harness(url, transport_options=options, always_strict=True) as harness:
            yield harness
