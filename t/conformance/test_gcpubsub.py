"""The conformance suite on Pub/Sub: Google's emulator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar
from uuid import uuid4

import pytest

from kombu.testing.conformance import Harness, TransportConformance
from kombu.transport.gcpubsub import Transport
from t.services.pool import Servers

NOT_TOLD = "Pub/Sub tells deliveries before only where it dead-letters by itself"


@pytest.mark.server("pubsub")
class TestPubSub(TransportConformance):
    features = Transport.features
    many = 60

    deviations: ClassVar = {
        "test_shorter_delay_overtakes": "Pub/Sub counts deadlines in whole seconds",
        "test_waiting_consumer_receives_what_the_killed_one_held": NOT_TOLD,
        "test_connection_close_gives_back": NOT_TOLD,
    }

    @pytest.fixture
    def harness(self, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
        environment = servers.env("pubsub")
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", environment["PUBSUB_EMULATOR_HOST"])
        options = {"ack_deadline_seconds": 10, "lease": 3}
        url = f"gcpubsub://projects/conformance-{uuid4().hex[:8]}"
        with Harness(url, transport_options=options) as harness:
            yield harness
