"""The health check on real brokers."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

import pytest

from kombu import Connection
from kombu.testing.faults import FaultProxy
from t.services.pool import Servers

BROKERS = [
    pytest.param("rabbitmq", marks=pytest.mark.server("rabbitmq")),
    pytest.param("redis", marks=pytest.mark.server("redis")),
]


@pytest.mark.parametrize("broker", BROKERS)
def test_a_broker_that_answers_and_one_that_freezes(broker: str, servers: Servers) -> None:
    address = urlsplit(servers.env(broker)[f"{broker.upper()}_URL"])
    with FaultProxy(address.hostname or "", address.port or 0) as proxy:
        credentials = f"{address.netloc.rpartition('@')[0]}@" if "@" in address.netloc else ""
        url = f"{address.scheme}://{credentials}127.0.0.1:{proxy.port}{address.path}"
        connection = Connection(url)
        health = connection.check_health(timeout=10)
        assert health, health
        assert health.latency is not None and health.latency < health.took
        assert health.host == f"127.0.0.1:{proxy.port}"

        proxy.set(freeze=True)
        begin = time.monotonic()
        health = connection.check_health(timeout=1)
        assert not health
        assert health.error
        assert time.monotonic() - begin < 4
    assert not connection.connected


@pytest.mark.server("rabbitmq")
def test_what_a_broker_refuses(servers: Servers) -> None:
    address = urlsplit(servers.env("rabbitmq")["RABBITMQ_URL"])
    here = f"{address.hostname}:{address.port}"
    health = Connection(f"amqp://guest:wrong-one@{here}//").check_health(timeout=10)
    assert health.error is not None and "ACCESS_REFUSED" in health.error
    assert "wrong-one" not in health.error
    health = Connection(f"amqp://guest:guest@{here}/nowhere").check_health(timeout=10)
    assert health.error is not None and "nowhere" in health.error
