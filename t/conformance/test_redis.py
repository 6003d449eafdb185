"""The conformance suite on Redis, over its configurations."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kombu.testing.conformance import Harness, TransportConformance
from kombu.transport.redis import Transport
from t.services.pool import Servers


@pytest.mark.server("redis")
class TestRedis(TransportConformance):
    features = Transport.features

    @pytest.fixture
    def harness(self, servers: Servers) -> Iterator[Harness]:
        with Harness(servers.env("redis")["REDIS_URL"]) as harness:
            yield harness


@pytest.mark.server("redis")
class TestRedisStrictWithPrefix(TransportConformance):
    features = Transport.features
    drop_in = False

    @pytest.fixture
    def harness(self, servers: Servers) -> Iterator[Harness]:
        url = servers.env("redis")["REDIS_URL"]
        options = {"global_keyprefix": "kombu-tests:"}
        with Harness(url, transport_options=options, strict=True) as harness:
            yield harness
