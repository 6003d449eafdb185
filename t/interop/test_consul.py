"""What published kombu and ours give back on Consul; see test_keyvalue for the rest.

A look of 5.7's into a queue takes ten seconds there, so that there are two only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from kombu import Connection, Queue
from t.interop.published import Published
from t.interop.receiving import received
from t.peers import published_python
from t.services.pool import Servers

pytestmark = pytest.mark.server("consul")


@pytest.fixture
def url(servers: Servers) -> str:
    return servers.env("consul")["CONSUL_URL"]


@pytest.fixture
def published(url: str, tmp_path: Path) -> Published:
    return Published(published_python(), url, {}, tmp_path)


@pytest.fixture
def connection(url: str) -> Iterator[Any]:
    with Connection(url, transport_options={"lease": 10}) as connection:
        yield connection


@pytest.fixture
def name() -> str:
    return f"q-{uuid4().hex[:8]}"


@pytest.mark.interop("requeue", "ours->published")
def test_what_ours_requeues_goes_there(published: Published, connection: Any, name: str) -> None:
    queue = Queue(name)(connection.default_channel)
    with connection.Producer() as producer:
        producer.publish({"n": 1}, exchange="", routing_key=name, declare=[queue])
    held = queue.get()
    assert published.run("size", name)["size"] == 0
    held.requeue()
    result = published.run("consume", name, "1", timeout=40)
    assert [each["body"] for each in result["received"]] == [{"n": 1}]
    assert [each["redelivered"] for each in result["received"]] == [True]


@pytest.mark.interop("requeue", "published->ours")
def test_what_published_gives_back_is_redelivered_here(
    published: Published, connection: Any, name: str
) -> None:
    published.run("produce", name, "2")
    published.run("close-holding", name, "1", timeout=40)
    messages = received(connection, Queue(name), 2)
    assert sorted(message.payload["i"] for message in messages) == [0, 1]
    flags = [bool(message.delivery_info.get("redelivered")) for message in messages]
    assert flags.count(True) == 1
