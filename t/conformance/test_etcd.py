"""The conformance suite on etcd."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kombu.testing.conformance import Harness, TransportConformance
from kombu.transport.etcd import Transport
from t.services.pool import Servers


@pytest.mark.server("etcd")
class TestEtcd(TransportConformance):
    features = Transport.features

    @pytest.fixture
    def harness(self, servers: Servers) -> Iterator[Harness]:
        url = servers.env("etcd")["ETCD_URL"]
        with Harness(url, transport_options={"lease": 2}) as harness:
            yield harness
