"""The pytest plugin: an in-memory broker per test.

It is loaded by pytest wherever kombu is installed and imports nothing of kombu's until a test
asks for one of its fixtures.

======================  ======================================================================
``kombu_broker``        the broker of this test: ``url``, ``connection()``, ``published()``,
                        ``consumed()``, ``size()``
``kombu_connection``    a connection to it
``kombu_producer``      a producer on that connection that keeps what it published
``kombu_clock``         lets time pass: ``advance(seconds)``
``kombu_faults``        ``drop_connections()``, ``fail_publishes(n)``, ``refuse_connections(n)``
======================  ======================================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from kombu.utils.imports import Late

if TYPE_CHECKING:
    from kombu import Connection
    from kombu.testing.broker import Clock, Faults, RecordingProducer, TestBroker

_make_broker = Late("kombu.testing.broker:TestBroker")
_make_producer = Late("kombu.testing.broker:RecordingProducer")


@pytest.fixture
def kombu_broker() -> Iterator[TestBroker]:
    """An empty in-memory broker of this test's own; see ``kombu.testing.broker.TestBroker``."""
    with _make_broker() as broker:
        yield broker


@pytest.fixture
def kombu_connection(kombu_broker: TestBroker) -> Connection:
    """A connection to ``kombu_broker``, released at the end of the test."""
    return kombu_broker.connection()


@pytest.fixture
def kombu_producer(kombu_connection: Connection) -> RecordingProducer:
    """A producer on ``kombu_connection`` with ``published()``, for what no queue took too."""
    producer: RecordingProducer = _make_producer(kombu_connection)
    return producer


@pytest.fixture
def kombu_clock(kombu_broker: TestBroker) -> Clock:
    """Lets time pass on ``kombu_broker`` without sleeping, for TTL, delay and queue expiry."""
    return kombu_broker.clock


@pytest.fixture
def kombu_faults(kombu_broker: TestBroker) -> Faults:
    """Lets things go wrong on ``kombu_broker``."""
    return kombu_broker.faults
