"""Fixtures that all test classes of the suite share."""

from __future__ import annotations

from typing import Any

import pytest

from kombu.testing.conformance.harness import Harness
from kombu.testing.conformance.selection import Selected
from kombu.transport.features import Features


class Conformance(Selected):
    """Base of the suite's test classes; a transport's class gives ``harness``."""

    @property
    def declared(self) -> Features:
        """What the transport says it can do."""
        assert self.features is not None
        return self.features

    @pytest.fixture
    def harness(self) -> Any:
        raise NotImplementedError("give the test class a fixture `harness` that yields a Harness")

    @pytest.fixture
    def connection(self, harness: Harness) -> Any:
        """An open connection."""
        return harness.connection()

    @pytest.fixture
    def channel(self, connection: Any) -> Any:
        """A channel of ``connection``."""
        return connection.channel()

    @pytest.fixture
    def queue(self, harness: Harness, channel: Any) -> Any:
        """A new queue without bindings but that of the default exchange."""
        return harness.queue(channel)


def code_of(error: BaseException) -> Any:
    """The AMQP reply code of an error."""
    return getattr(error, "reply_code", None) or getattr(error, "code", None)
