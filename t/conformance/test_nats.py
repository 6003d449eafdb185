"""The conformance suite on NATS JetStream."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from kombu.testing.conformance import Harness, TransportConformance
from kombu.transport.nats import Transport
from t.services.pool import Servers


@pytest.mark.server("nats")
class TestNats(TransportConformance):
    features = Transport.features

    @pytest.fixture
    def harness(self, servers: Servers) -> Iterator[Harness]:
        url = servers.env("nats")["NATS_URL"]
        vhost = f"conformance-{uuid4().hex[:8]}"
        with Harness(
            f"{url}/{vhost}", transport_options={"lease": 2, "storage": "memory"}, lease=2
        ) as harness:
            yield harness
