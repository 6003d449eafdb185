"""The conformance suite on Azure Service Bus (a stand-in of the service)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar
from uuid import uuid4

import pytest

from kombu.testing.conformance import Harness, TransportConformance
from kombu.transport.azureservicebus import Transport
from t.services.pool import Servers


@pytest.mark.server("servicebus")
class TestAzureServiceBus(TransportConformance):
    features = Transport.features
    many = 60
    deviations: ClassVar = {
        "test_ack_of_several": "Service Bus promises no order",
        "test_delayed": "the client takes half a second to open a link",
        "test_shorter_delay_overtakes": "the client takes half a second to open a link",
        "test_timeout_holds": "the client takes half a second to open a link",
        "test_what_was_delivered_does_not_expire": "the client takes half a second to open a link",
        "test_in_two_processes": "Service Bus counts what other clients hold",
    }

    @pytest.fixture
    def harness(self, servers: Servers) -> Iterator[Harness]:
        environment = servers.env("servicebus")
        options = {
            "queue_name_prefix": f"{uuid4().hex[:8]}-",
            "peek_lock_seconds": 3,
            "wait_time_seconds": 1,
            "max_delivery_count": 100,
            "emulator": True,
            "connection_verify": environment["SERVICEBUS_CA"],
        }
        with Harness(environment["SERVICEBUS_URL"], transport_options=options) as harness:
            yield harness
