"""What one client makes and another deletes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from kombu import Connection, Exchange, Queue
from t.integration.sqlalchemy.databases import new_database
from t.services.pool import Servers

#: Transport -> the server it needs, and a URL.
SERVERS: dict[str, tuple[str | None, Callable[[Servers, Path], str]]] = {
    "mongodb": (
        "mongodb",
        lambda servers, _: servers.env("mongodb")["MONGODB_URL"].rpartition("/")[0] + "/shared",
    ),
    "zookeeper": ("zookeeper", lambda servers, _: servers.env("zookeeper")["ZOOKEEPER_URL"]),
    "etcd": ("etcd", lambda servers, _: servers.env("etcd")["ETCD_URL"]),
    "consul": ("consul", lambda servers, _: servers.env("consul")["CONSUL_URL"]),
    "pgmq": ("postgres", lambda servers, _: servers.env("postgres")["PGMQ_URL"]),
    "sql": (None, lambda servers, path: "sqla+" + new_database("sqlite", servers, path)),
}
TRANSPORTS = [
    pytest.param(name, marks=[pytest.mark.server(row[0])] if row[0] else [])
    for name, row in SERVERS.items()
]


@pytest.fixture(params=TRANSPORTS)
def connect(
    request: pytest.FixtureRequest, servers: Servers, tmp_path: Path
) -> Iterator[Callable[[], Any]]:
    url = SERVERS[request.param][1](servers, tmp_path)
    opened: list[Any] = []

    def connect() -> Any:
        opened.append(Connection(url))
        return opened[-1].channel()

    yield connect
    for connection in opened:
        connection.release()


@pytest.fixture
def queue() -> Queue:
    name = f"shared-{uuid4().hex[:8]}"
    return Queue(name, Exchange(f"x-{name}", type="topic"), routing_key="a.#")


def exists(channel: Any, queue: Queue) -> bool:
    """Whether another client finds it."""
    try:
        queue(channel).queue_declare(passive=True)
    except channel.connection.client.channel_errors:
        return False
    return True


def test_a_queue_that_another_deletes_is_bound_no_more(
    connect: Callable[[], Any], queue: Queue
) -> None:
    """Else what is published makes it anew, and it fills with what nobody reads."""
    maker, other, publisher = connect(), connect(), connect()
    queue(maker).declare()
    Queue(queue.name)(other).delete()
    queue.exchange(publisher).declare()
    publisher.connection.client.Producer().publish("x", exchange=queue.exchange, routing_key="a.b")
    assert not exists(publisher, queue)
    queue.exchange(maker).delete()


def test_a_queue_that_another_deleted_can_be_declared_again(
    connect: Callable[[], Any], queue: Queue
) -> None:
    maker, other = connect(), connect()
    for _ in range(2):
        queue(maker).queue_declare()
        assert exists(other, queue)
        Queue(queue.name)(other).delete()
        assert not exists(other, queue)
