"""The conformance suite on ``memory://``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kombu.testing.conformance import Harness, TransportConformance
from kombu.transport.memory import Transport


class TestMemory(TransportConformance):
    features = Transport.features

    @pytest.fixture
    def harness(self) -> Iterator[Harness]:
        with Harness("memory://", prompt=2.0) as harness:
            yield harness


class TestMemoryStrict(TransportConformance):
    features = Transport.features
    drop_in = False

    @pytest.fixture
    def harness(self) -> Iterator[Harness]:
        with Harness("memory://", strict=True, prompt=2.0) as harness:
            yield harness
