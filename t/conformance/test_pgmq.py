"""The conformance suite on PGMQ."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kombu.testing.conformance import Harness, TransportConformance
from kombu.transport.pgmq import Transport
from t.services.pool import Servers

#: Seconds after which a killed consumer's messages return; PGMQ knows whole ones.
LEASE = 1.0


@pytest.mark.server("postgres")
class TestPgmq(TransportConformance):
    features = Transport.features

    @pytest.fixture
    def harness(self, servers: Servers) -> Iterator[Harness]:
        url = servers.env("postgres")["PGMQ_URL"]
        with Harness(url, transport_options={"lease": LEASE}, lease=LEASE) as harness:
            yield harness
