"""The conformance suite on Redis, over its configurations."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kombu.testing.conformance import Harness, TransportConformance
from kombu.transport.redis import Transport
from t.services.pool import Servers

#: What the published format of fanout on Redis rules out.
DEVIATIONS = {
    "test_fanout_ignores_keys": "with fanout_patterns a binding's key is a pattern of channels",
}

#: Seconds after which a killed consumer's messages return.
LEASE = 1.0


@pytest.mark.server("redis")
class TestRedis(TransportConformance):
    features = Transport.features
    deviations = DEVIATIONS

    @pytest.fixture
    def harness(self, servers: Servers) -> Iterator[Harness]:
        url = servers.env("redis")["REDIS_URL"]
        with Harness(url, transport_options={"lease": LEASE}, lease=LEASE) as harness:
            yield harness


@pytest.mark.server("redis")
class TestRedisStrictWithPrefix(TransportConformance):
    features = Transport.features
    deviations = DEVIATIONS
    drop_in = False

    @pytest.fixture
    def harness(self, servers: Servers) -> Iterator[Harness]:
        url = servers.env("redis")["REDIS_URL"]
        options = {"global_keyprefix": "kombu-tests:", "lease": LEASE}
        with Harness(url, transport_options=options, lease=LEASE, strict=True) as harness:
            yield harness
