"""The conformance suite on Redis Cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kombu.testing.conformance import Harness, TransportConformance
from kombu.transport.redis import Transport
from t.conformance.test_redis import DEVIATIONS, LEASE
from t.services.pool import Servers


@pytest.mark.server("redis-cluster")
class TestRedisCluster(TransportConformance):
    features = Transport.features
    deviations = DEVIATIONS

    @pytest.fixture
    def harness(self, servers: Servers) -> Iterator[Harness]:
        url = servers.env("redis-cluster")["REDIS_CLUSTER_URL"].replace("redis", "redis+cluster", 1)
        with Harness(url, transport_options={"lease": LEASE}, lease=LEASE) as harness:
            yield harness
