"""The conformance suite on a broker process that is reached by Pyro."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kombu.testing.conformance import Harness, TransportConformance
from kombu.transport.pyro import Transport
from t.services.pool import Servers


@pytest.mark.server("pyro5")
class TestPyro(TransportConformance):
    features = Transport.features

    @pytest.fixture
    def harness(self, servers: Servers) -> Iterator[Harness]:
        url = servers.env("pyro5")["PYRO5_URL"]
        with Harness(url, transport_options={"lease": 2}, lease=2) as harness:
            yield harness
