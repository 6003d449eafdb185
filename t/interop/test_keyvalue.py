"""Published kombu and ours on the same key-value server, both ways."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from kombu import Connection, Exchange, Queue
from t.interop.published import Published
from t.interop.receiving import received
from t.peers import published_python
from t.services.pool import Servers


@pytest.fixture(scope="session")
def interpreter() -> str:
    return published_python("python-etcd", "python-consul2")


@pytest.fixture(
    params=[
        pytest.param("etcd", marks=pytest.mark.server("etcd")),
        pytest.param("consul", marks=pytest.mark.server("consul")),
    ]
)
def url(request: pytest.FixtureRequest, servers: Servers) -> str:
    return str(servers.env(request.param)[f"{request.param.upper()}_URL"])


@pytest.fixture
def published(interpreter: str, url: str, tmp_path: Path) -> Published:
    return Published(interpreter, url, {}, tmp_path)


@pytest.fixture
def connection(url: str) -> Iterator[Any]:
    with Connection(url, transport_options={"lease": 2}) as connection:
        yield connection


@pytest.fixture(params=["q-{}", "celery@{}.celery.pidbox", "an odd ü%name {}", "a/{}"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param).format(uuid4().hex[:8])


def test_ours_reads_what_published_wrote_in_its_order(
    published: Published, connection: Any, name: str
) -> None:
    published.run("produce", name, "5", exchange="ex", binding_key="k")
    messages = received(connection, Queue(name, Exchange("ex"), routing_key="k"), 5)
    assert [message.payload["i"] for message in messages] == [0, 1, 2, 3, 4]
    assert messages[0].delivery_info["exchange"] == "ex"
    assert published.run("size", name)["size"] == 0


@pytest.mark.parametrize("command", ["consume", "get"])
def test_published_reads_what_ours_wrote(
    published: Published, connection: Any, command: str, name: str
) -> None:
    with connection.Producer() as producer:
        for number in range(5):
            producer.publish({"i": number}, exchange="", routing_key=name, declare=[Queue(name)])
    assert published.run("size", name)["size"] == 5
    result = published.run(command, name, "5")
    # On etcd 5.7 takes the one that it happens to see last.
    assert sorted(each["body"]["i"] for each in result["received"]) == [0, 1, 2, 3, 4]
    assert not any(each["redelivered"] for each in result["received"])


def test_what_ours_holds_published_does_not_see(published: Published, connection: Any) -> None:
    name = f"q-{uuid4().hex[:8]}"
    published.run("produce", name, "2")
    held = Queue(name)(connection.default_channel).get()
    assert held.payload["i"] == 0
    result = published.run("consume", name, "1")
    assert [each["body"]["i"] for each in result["received"]] == [1]
    held.requeue()
    result = published.run("consume", name, "1")
    assert [each["redelivered"] for each in result["received"]] == [True]


def test_what_published_gives_back_is_redelivered_here(
    published: Published, connection: Any
) -> None:
    name = f"q-{uuid4().hex[:8]}"
    published.run("produce", name, "2")
    published.run("close-holding", name, "1")
    messages = received(connection, Queue(name), 2)
    assert sorted(message.payload["i"] for message in messages) == [0, 1]
    flags = [bool(message.delivery_info.get("redelivered")) for message in messages]
    assert flags.count(True) == 1


def test_both_consume_one_queue_and_each_message_comes_once(
    published: Published, connection: Any
) -> None:
    name = f"q-{uuid4().hex[:8]}"
    queue = Queue(name)
    queue(connection.default_channel).declare()
    process = published.start("consume", name, "20", timeout=30)
    published.ready(process)
    ours = []

    def receive(message: Any) -> None:
        ours.append(message.payload)
        message.ack()

    with connection.Consumer(queue, on_message=receive, prefetch_count=1):
        producer = connection.Producer()
        sent = 0
        while process.poll() is None:
            producer.publish(sent, exchange="", routing_key=name)
            sent += 1
            try:
                connection.drain_events(timeout=0.01)
            except TimeoutError:
                continue
    theirs = [each["body"] for each in published.result(process)["received"]]
    ours += [message.payload for message in received(connection, queue, sent - 20 - len(ours))]
    assert len(theirs) == 20
    assert sorted([*ours, *theirs]) == list(range(sent))
