"""The conformance suite on Consul."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kombu.testing.conformance import Harness, TransportConformance
from kombu.transport.consul import Transport
from t.services.pool import Servers


@pytest.mark.server("consul")
class TestConsul(TransportConformance):
    features = Transport.features

    @pytest.fixture
    def harness(self, servers: Servers) -> Iterator[Harness]:
        url = servers.env("consul")["CONSUL_URL"]
        # Shorter than the real one takes.
        with Harness(url, transport_options={"lease": 2}) as harness:
            yield harness
