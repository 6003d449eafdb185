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
    return published_python()


ETCD = pytest.param("etcd", marks=pytest.mark.server("etcd"))
CONSUL = pytest.param("consul", marks=pytest.mark.server("consul"))
NAMES = ("q-{}", "celery@{}.celery.pidbox", "an odd ü%name {}", "a/{}")


@pytest.fixture(params=[ETCD, CONSUL])
def server(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(server: str, servers: Servers) -> str:
    return str(servers.env(server)[f"{server.upper()}_URL"])


@pytest.fixture
def published(interpreter: str, url: str, tmp_path: Path) -> Published:
    return Published(interpreter, url, {}, tmp_path)


@pytest.fixture
def connection(url: str) -> Iterator[Any]:
    with Connection(url, transport_options={"lease": 2}) as connection:
        yield connection


@pytest.fixture
def name() -> str:
    return f"q-{uuid4().hex[:8]}"


@pytest.mark.parametrize("pattern", NAMES)
def test_ours_reads_what_published_wrote_in_its_order(
    published: Published, connection: Any, pattern: str
) -> None:
    name = pattern.format(uuid4().hex[:8])
    published.run("produce", name, "5", exchange="ex", binding_key="k")
    messages = received(connection, Queue(name, Exchange("ex"), routing_key="k"), 5)
    assert [message.payload["i"] for message in messages] == [0, 1, 2, 3, 4]
    assert messages[0].delivery_info["exchange"] == "ex"
    assert published.run("size", name)["size"] == 0


# On Consul each first look of 5.7's takes ten seconds.
@pytest.mark.parametrize(
    ("server", "pattern"),
    [
        *(pytest.param("etcd", each, marks=ETCD.marks) for each in NAMES),
        pytest.param("consul", NAMES[0], marks=CONSUL.marks),
    ],
    indirect=["server"],
)
def test_published_reads_what_ours_wrote(
    published: Published, connection: Any, pattern: str
) -> None:
    name = pattern.format(uuid4().hex[:8])
    with connection.Producer() as producer:
        for number in range(5):
            producer.publish({"i": number}, exchange="", routing_key=name, declare=[Queue(name)])
    assert published.run("size", name)["size"] == 5
    result = published.run("consume", name, "5", timeout=60)
    # On etcd 5.7 takes the one that it happens to see last.
    assert sorted(each["body"]["i"] for each in result["received"]) == [0, 1, 2, 3, 4]
    assert not any(each["redelivered"] for each in result["received"])


@pytest.mark.parametrize("server", [ETCD], indirect=True)
def test_what_ours_holds_published_does_not_see(
    published: Published, connection: Any, name: str
) -> None:
    published.run("produce", name, "2")
    held = Queue(name)(connection.default_channel).get()
    assert held.payload["i"] == 0
    result = published.run("consume", name, "1")
    assert [each["body"]["i"] for each in result["received"]] == [1]
    held.requeue()
    result = published.run("consume", name, "1")
    assert [each["redelivered"] for each in result["received"]] == [True]


@pytest.mark.parametrize("server", [ETCD], indirect=True)
def test_what_published_gives_back_is_redelivered_here(
    published: Published, connection: Any, name: str
) -> None:
    published.run("produce", name, "2")
    published.run("close-holding", name, "1")
    messages = received(connection, Queue(name), 2)
    assert sorted(message.payload["i"] for message in messages) == [0, 1]
    flags = [bool(message.delivery_info.get("redelivered")) for message in messages]
    assert flags.count(True) == 1


def test_both_consume_one_queue_and_each_message_comes_once(
    published: Published, connection: Any, name: str
) -> None:
    queue = Queue(name)
    queue(connection.default_channel).declare()
    process = published.start("consume", name, "5", timeout=40)
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
                connection.drain_events(timeout=0.05)
            except TimeoutError:
                continue
    theirs = [each["body"] for each in published.result(process)["received"]]
    ours += [message.payload for message in received(connection, queue, sent - 5 - len(ours))]
    assert len(theirs) == 5
    assert sorted([*ours, *theirs]) == list(range(sent))
