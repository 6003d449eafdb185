"""The conformance suite on SQS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar
from uuid import uuid4

import pytest

from kombu.testing.conformance import Harness, TransportConformance
from kombu.transport.SQS import Transport
from t.services.pool import Servers


@pytest.mark.server("sqs")
class TestSQS(TransportConformance):
    features = Transport.features
    many = 60
    deviations: ClassVar = {
        "test_shorter_delay_overtakes": "SQS counts delays in whole seconds",
    }

    @pytest.fixture
    def harness(self, servers: Servers) -> Iterator[Harness]:
        environment = servers.env("sqs")
        options = {
            "endpoint_url": environment["SQS_ENDPOINT"],
            "queue_name_prefix": f"{uuid4().hex[:8]}-",
            "is_secure": False,
            "supports_fanout": True,
            "lease": 3,
        }
        with Harness(environment["SQS_URL"], transport_options=options) as harness:
            yield harness
