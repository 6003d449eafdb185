"""Fault 32: the deadline of ``publish(timeout=...)`` does not hold while connecting."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from kombu import Connection
from kombu.exceptions import OperationalError

#: Seconds that connects and closes may take beyond the deadline, on a busy machine.
SLACK = 2.0


@pytest.fixture
def frozen_port() -> Iterator[int]:
    """The port of a broker that accepts connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("retry", [True, False])
def test_deadline_holds_against_a_frozen_broker(retry: bool, frozen_port: int) -> None:
    connection = Connection(f"amqp://127.0.0.1:{frozen_port}//", connect_timeout=30)
    producer = connection.Producer()
    begin = time.monotonic()
    with pytest.raises((OperationalError, *connection.connection_errors)):
        producer.publish({}, routing_key="q", timeout=1, retry=retry)
    assert time.monotonic() - begin < 1 + SLACK


def test_deadline_holds_across_alternates(frozen_port: int) -> None:
    url = f"amqp://127.0.0.1:{frozen_port}//;amqp://127.0.0.1:1//"
    connection = Connection(url, connect_timeout=30)
    begin = time.monotonic()
    with pytest.raises(OperationalError):
        connection.Producer().publish({}, routing_key="q", timeout=1, retry=True)
    assert time.monotonic() - begin < 1 + SLACK
