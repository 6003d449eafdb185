"""The conformance suite on MongoDB."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from kombu.testing.conformance import Harness, TransportConformance
from kombu.transport.mongodb import Transport
from t.services.pool import Servers


@pytest.mark.server("mongodb")
class TestMongoDB(TransportConformance):
    features = Transport.features

    @pytest.fixture
    def harness(self, servers: Servers) -> Iterator[Harness]:
        url = servers.env("mongodb")["MONGODB_URL"].rpartition("/")[0]
        with Harness(
            f"{url}/conformance_{uuid4().hex[:8]}", transport_options={"lease": 3}
        ) as harness:
            yield harness
