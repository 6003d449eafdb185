"""The conformance suite on SoftLayer Message Queue (a stand-in)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kombu.testing.conformance import Harness, TransportConformance
from kombu.transport.SLMQ import Transport
from t.services.pool import Servers


@pytest.mark.server("slmq")
class TestSLMQ(TransportConformance):
    features = Transport.features

    @pytest.fixture
    def harness(self, servers: Servers) -> Iterator[Harness]:
        url = servers.env("slmq")["SLMQ_URL"]
        options = {"secure": False, "polling_interval": 0.05}
        with Harness(url, transport_options=options) as harness:
            yield harness
