"""A publish with a limit ends in time though the server stands still."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from kombu import Connection, Queue
from kombu.testing.faults import FaultProxy
from t.services.pool import Servers

#: Transport -> the server it needs, and how its URL is made of the server's.
SERVERS: dict[str, tuple[str, Callable[[Servers], str]]] = {
    "postgresql": ("postgres", lambda servers: servers.env("postgres")["POSTGRES_URL"]),
    "pgmq": ("postgres", lambda servers: servers.env("postgres")["PGMQ_URL"]),
    "etcd": ("etcd", lambda servers: servers.env("etcd")["ETCD_URL"]),
    "consul": ("consul", lambda servers: servers.env("consul")["CONSUL_URL"]),
}
LIMIT = 1.0


@pytest.mark.parametrize(
    "transport",
    [pytest.param(name, marks=pytest.mark.server(row[0])) for name, row in SERVERS.items()],
)
@pytest.mark.timeout(60)
def test_a_publish_ends_in_time(transport: str, servers: Servers) -> None:
    url = SERVERS[transport][1](servers)
    address = urlsplit(url)
    with FaultProxy(address.hostname or "", address.port or 0) as proxy:
        through = address.netloc.rpartition(":")[0] + f":{proxy.port}"
        connection = Connection(address._replace(netloc=through).geturl())
        queue = Queue(f"deadline-{uuid4().hex[:8]}")(connection.channel())
        queue.declare()
        producer = connection.Producer()
        producer.publish("before", routing_key=queue.name)
        proxy.set(blackhole=True)
        begun = time.monotonic()
        errors = (*connection.connection_errors, *connection.channel_errors)
        with pytest.raises(errors):
            producer.publish("x", routing_key=queue.name, timeout=LIMIT)
        assert time.monotonic() - begun < LIMIT + 2
        proxy.heal()
        proxy.reset()
        connection.release()
