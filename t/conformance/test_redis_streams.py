"""The conformance suite on Redis Streams."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kombu.testing.conformance import Harness, TransportConformance
from kombu.transport.redis import Transport
from t.conformance.test_redis import DEVIATIONS, LEASE
from t.services.pool import Servers


@pytest.mark.server("redis")
class TestRedisStreams(TransportConformance):
    features = Transport.features
    deviations = DEVIATIONS

    @pytest.fixture
    def harness(self, servers: Servers) -> Iterator[Harness]:
        url = servers.env("redis")["REDIS_URL"].replace("redis", "redis+streams", 1)
        with Harness(url, transport_options={"lease": LEASE}, lease=LEASE) as harness:
            yield harness
