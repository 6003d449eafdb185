"""The conformance suite on ZooKeeper."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from kombu.testing.conformance import Harness, TransportConformance
from kombu.transport.zookeeper import Transport
from t.services.pool import Servers


@pytest.mark.server("zookeeper")
class TestZooKeeper(TransportConformance):
    features = Transport.features

    @pytest.fixture
    def harness(self, servers: Servers) -> Iterator[Harness]:
        url = servers.env("zookeeper")["ZOOKEEPER_URL"]
        with Harness(
            f"{url}/conformance-{uuid4().hex[:8]}", transport_options={"session_timeout": 4}
        ) as harness:
            yield harness
