"""The conformance suite on Azure Storage Queues."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar
from uuid import uuid4

import pytest

from kombu.testing.conformance import Harness, TransportConformance
from kombu.transport.azurestoragequeues import Transport
from t.services.pool import Servers


@pytest.mark.server("azurite")
class TestAzureStorageQueues(TransportConformance):
    features = Transport.features
    many = 60
    deviations: ClassVar = {
        "test_large_body": "Azure takes messages of 64 KiB",
        "test_shorter_delay_overtakes": "Azure counts delays in whole seconds",
    }

    @pytest.fixture
    def harness(self, servers: Servers) -> Iterator[Harness]:
        options = {
            "queue_name_prefix": f"{uuid4().hex[:8]}-",
            "lease": 3,
            "polling_interval": 0.05,
        }
        url = servers.env("azurite")["AZURE_QUEUES_URL"]
        with Harness(url, transport_options=options) as harness:
            yield harness
